/**
 * The errors that napier throws. Every message names the op, what was expected, what came, and what to do about it.
 */

/** A shape, dtype or option that an op cannot work with. */
export class ShapeError extends Error {
  /** "ShapeError", as it stands in messages. */
  override name = "ShapeError";
}

/** `[2,3,4]`, as shapes stand in messages. */
export const show = (shape: readonly number[]): string => `[${shape.join(",")}]`;

/** Whether two shapes have the same extents. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let d = 0; d < a.length; d++) if (a[d] !== b[d]) return false;
  return true;
}

/** Throws `op: expected ..., got ...` unless `ok`. */
export function expect(ok: boolean, op: string, expected: string, got: string): asserts ok {
  if (!ok) throw new ShapeError(`${op}: expected ${expected}, got ${got}`);
}
