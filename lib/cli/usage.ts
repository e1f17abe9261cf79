/**
 * What commands share: reading options with node:util, and the errors whose text is all that a user should see.
 */
import { parseArgs } from "node:util";

/** A wrong option or argument: its sentence on stderr, exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Something outside is missing, such as a data set: its sentence on stderr, exit code 1. */
export class Failure extends Error {
  override name = "Failure";
}

/** One option of a command. */
export interface Option {
  /** What its value is called in the help; absent for a switch. */
  value?: string;
  help: string;
}

export type Given<O extends Record<string, Option>> = { [K in keyof O]?: O[K]["value"] extends string ? string : true };

/** Reads `args` by a command's table of options. */
export function readOptions<O extends Record<string, Option>>(command: string, table: O, args: string[]): Given<O> {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { value }]) => [
      name,
      { type: value === undefined ? ("boolean" as const) : ("string" as const) },
    ]),
  );
  const hint = `See "napier ${command} --help".`;
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true, strict: true });
    if (positionals.length > 0)
      throw new UsageError(`napier ${command}: unexpected argument "${positionals[0]}". ${hint}`);
    return values as Given<O>;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const option = /'(-[^' ]*)/.exec(message)?.[1] ?? "";
    if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION")
      throw new UsageError(`napier ${command}: there is no option ${option}. ${hint}`);
    throw new UsageError(`napier ${command}: ${message.split("\n")[0]!.replace(/\.$/, "")}. ${hint}`);
  }
}

/** A whole number from an option, `fallback` where it is not given. */
export function wholeNumber(
  command: string,
  name: string,
  text: string | undefined,
  fallback: number,
  least = 1,
): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value;
  throw new UsageError(`napier ${command}: expected --${name} to be a whole number from ${least} up, got "${text}".`);
}

/** A positive number from an option. */
export function positiveNumber(command: string, name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value > 0) return value;
  throw new UsageError(`napier ${command}: expected --${name} to be a number above 0, got "${text}".`);
}

/** One of a few words. */
export function oneOf<T extends string>(
  command: string,
  name: string,
  text: string | undefined,
  words: readonly T[],
  fallback: T,
): T {
  if (text === undefined) return fallback;
  if ((words as readonly string[]).includes(text)) return text as T;
  throw new UsageError(`napier ${command}: expected --${name} to be one of ${words.join(", ")}, got "${text}".`);
}

/** The lines of a command's help for its options. */
export function describeOptions(table: Record<string, Option>): string {
  const rows = Object.entries(table).map(
    ([name, { value, help }]) => [`--${name}${value ? ` ${value}` : ""}`, help] as const,
  );
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, help]) => `  ${name.padEnd(width)}  ${help}`).join("\n");
}
