/**
 * A checkpoint is one safetensors file, so that other programs can read its weights: tensors under their path in the
 * state ("model.conv.weight", "optimizer.state.0.expAvg"), and the state itself, as JSON, in the metadata. It is
 * replaced in one step (lib/io/atomic.ts): whoever resumes finds a whole one, whatever ended the process.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "../errors.js";
import { readSafetensors, writeSafetensors } from "../io/safetensors.js";
import { fromRaw, toRaw } from "../io/tensors.js";
import { addon } from "../native.js";
import { defaultGenerator } from "../random.js";
import { Tensor } from "../tensor.js";

const FORMAT = "napier-checkpoint";
const VERSION = 1;

/** Tensors, numbers (NaN and Infinity too), strings, booleans, null, bigints, and arrays and plain objects of them. */
export type State = unknown;

/**
 * Writes `state` to `path`. Values are taken at the call: training may go on while the file is written.
 *
 * @param info short texts for those who only read the header, such as versions
 */
export async function saveState(
  path: string,
  state: Record<string, State>,
  info: Record<string, string> = {},
): Promise<void> {
  const names = new Map<Tensor, string>();
  const json = JSON.stringify(pack(state, "", names));
  const raw = Object.fromEntries(
    await Promise.all([...names].map(async ([t, name]) => [name, await toRaw(t)] as const)),
  );
  await writeSafetensors(path, raw, { format: FORMAT, version: String(VERSION), ...info, state: json });
}

/** What saveState() wrote. The tensors are new ones, owned by no scope. */
export async function loadState(path: string): Promise<Record<string, State>> {
  const { tensors, metadata } = await readSafetensors(path);
  if (metadata.format !== FORMAT || metadata.state === undefined) {
    throw new Error(
      `resume: expected a checkpoint of napier in ${path}, got a safetensors file without one; load weights with io.load()`,
    );
  }
  if (Number(metadata.version) > VERSION) {
    throw new Error(
      `resume: ${path} has checkpoint version ${metadata.version}, this napier knows versions up to ${VERSION}; update napier`,
    );
  }
  const taken = new Map<string, Tensor>();
  const take = (name: string): Tensor => {
    const known = taken.get(name);
    if (known) return known;
    const raw = tensors[name];
    if (!raw) throw new Error(`resume: ${path} lacks the tensor ${name} that its state refers to`);
    const t = fromRaw(raw);
    taken.set(name, t);
    return t;
  };
  return unpack(JSON.parse(metadata.state), take) as Record<string, State>;
}

/** What a run is made of: networks, optimizers, schedules, averages, loaders. */
export interface Part {
  /** What a checkpoint holds. */
  stateDict(): State;
  /** Takes over what stateDict() gave. */
  // biome-ignore lint/suspicious/noExplicitAny: each part checks its own
  loadStateDict(state: any): unknown;
}

/** Parts by name; null: this run has none. */
export type Parts = Readonly<Record<string, Part | null>>;

/** The checkpoint of a run that writes to `out`, and the one to go on from: `out`'s, where it is there, or a path of its own. */
export async function filesOfRun(
  where: string,
  out: string | null,
  resume: boolean | string,
): Promise<{ last: string | null; from: string | null }> {
  expect(resume !== true || out !== null, where, "out, or the path of a checkpoint, with resume", "neither");
  const last = out === null ? null : join(out, "last.safetensors");
  if (out !== null) await mkdir(out, { recursive: true });
  return { last, from: resume === true ? (existsSync(last!) ? last : null) : resume === false ? null : resume };
}

/** A loader as a part, null where it cannot say where it stands. */
export const partOf = (loader: Partial<Part>): Part | null =>
  loader.stateDict !== undefined && loader.loadStateDict !== undefined ? (loader as Part) : null;

/** Writes the parts, the default generator and `progress` to `path`: all that loadRun() goes on from. */
export async function saveRun(path: string, parts: Parts, progress: { step: number } & Record<string, State>) {
  const states = Object.entries(parts).map(([name, part]) => [name, part?.stateDict() ?? null]);
  const state = { ...Object.fromEntries(states), generator: defaultGenerator.state(), progress };
  await saveState(path, state, { step: String(progress.step), isa: addon.isa() });
}

/**
 * Puts parts and default generator where saveRun() found them; gives the progress.
 *
 * @param where who asks, for errors
 * @throws Error where the file holds a part that this run lacks, or lacks one
 */
export async function loadRun<P>(where: string, path: string, parts: Parts): Promise<P> {
  expect(
    parts.loader !== null,
    where,
    "a loader with stateDict() and loadStateDict() to resume, such as data.DataLoader",
    "one without",
  );
  // biome-ignore lint/suspicious/noExplicitAny: a file holds what saveRun() put there; each part checks its own
  const state = (await loadState(path)) as any;
  for (const [name, part] of Object.entries(parts))
    if ((part === null) !== ((state[name] ?? null) === null))
      throw new Error(
        `${where}: ${path} was written ${part ? "without" : "with"} ${name}, this trainer is ${part ? "with" : "without"} one`,
      );
  for (const [name, part] of Object.entries(parts)) part?.loadStateDict(state[name]);
  defaultGenerator.load(state.generator);
  return state.progress as P;
}

// What JSON cannot hold stands as an object with this one key.
const MARK = "$napier";

/** `names`: where each tensor lies; one that stands at several places is saved once. */
function pack(value: State, path: string, names: Map<Tensor, string>): unknown {
  if (value instanceof Tensor) {
    if (!names.has(value)) names.set(value, path);
    return { [MARK]: ["tensor", names.get(value)] };
  }
  if (value === undefined) return { [MARK]: ["undefined"] };
  if (typeof value === "bigint") return { [MARK]: ["bigint", String(value)] };
  if (typeof value === "number")
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { [MARK]: ["number", Object.is(value, -0) ? "-0" : String(value)] };
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  const at = (key: string | number) => (path === "" ? String(key) : `${path}.${key}`);
  if (Array.isArray(value)) return value.map((v, i) => pack(v, at(i), names));
  if (value instanceof Map)
    return { [MARK]: ["map", [...value].map(([key, v]) => [key, pack(v, at(String(key)), names)])] };
  const prototype = Object.getPrototypeOf(value);
  if (typeof value === "object" && (prototype === Object.prototype || prototype === null)) {
    return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, pack(v, at(key), names)]));
  }
  throw new TypeError(
    `checkpoint: ${path} cannot be saved: expected tensors, numbers, texts, arrays and plain objects, got ${typeof value === "object" ? prototype?.constructor?.name : typeof value}`,
  );
}

function unpack(value: unknown, take: (name: string) => Tensor): State {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((v) => unpack(v, take));
  const marked = (value as { [MARK]?: [string, unknown] })[MARK];
  if (marked === undefined) return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, unpack(v, take)]));
  const [kind, content] = marked;
  switch (kind) {
    case "tensor":
      return take(content as string);
    case "undefined":
      return undefined;
    case "bigint":
      return BigInt(content as string);
    case "number":
      return Number(content);
    case "map":
      return new Map((content as [string, unknown][]).map(([key, v]) => [key, unpack(v, take)]));
    default:
      throw new Error(`checkpoint: unknown kind of value ${kind}`);
  }
}
