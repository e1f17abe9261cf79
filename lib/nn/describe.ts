/**
 * How layers show their arguments.
 */

/** A first argument and options, as describe() shows them. */
export const listed = (first: unknown, options: object): string =>
  [JSON.stringify(first), ...Object.entries(options).map(([key, v]) => `${key}: ${JSON.stringify(v)}`)].join(", ");
