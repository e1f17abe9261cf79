/**
 * Data sets: a length, and the batch of any indices. Tensors stay where the kernels are; a batch is gathered natively.
 */

import { expect, show } from "../errors.js";
import { unscoped } from "../memory.js";
import { k } from "../native.js";
import { checkIndices } from "../ops/common.js";
import { alias, empty, fromTyped, type Tensor } from "../tensor.js";
import { collate, type Field, takeRows } from "./collate.js";
import type { Pass, SampleKey } from "./draws.js";
import { deriveSeed, permutation } from "./order.js";
import type { SubsetSource } from "./subsetSource.js";
import type { Transform } from "./transforms.js";

/** Anything with examples 0 to length - 1. */
export interface Dataset {
  /** Number of examples. */
  readonly length: number;
  /** The examples at `indices`, field by field: [n, ...] tensors that belong to the caller. */
  batch(indices: Int32Array, pass: Pass): Tensor[] | Promise<Tensor[]>;
  /** How worker threads make the same examples, where they can: a module (see DataLoader) and what it gets. */
  readonly worker?: {
    /** Address of the module that a worker imports. */
    module: URL;
    /** What the function that it exports gets; must survive structuredClone(). */
    options: unknown;
  };
}

const indicesOf = (where: string, indices: Int32Array, length: number): Tensor => {
  const ids = fromTyped(indices, [indices.length], "int32");
  checkIndices(where, "indices", ids, length);
  return ids;
};

/** Applies a transform to the first field; frees what it replaces. */
export function transformFirst(transform: Transform, fields: Tensor[], key: SampleKey): Tensor[] {
  const [x, ...rest] = fields as [Tensor, ...Tensor[]];
  const y = transform.apply(x, key);
  if (y !== x) x.free();
  return [y, ...rest];
}

/** Options of TensorDataset. */
export interface TensorDatasetOptions {
  /** What batches of the first tensor go through, such as Normalize for bytes. Default none. */
  transform?: Transform | null;
}

/**
 * Tensors whose rows (dimension 0) are the examples.
 *
 * @example
 * const dataset = new data.TensorDataset([randn([100, 3]), tensor(new Int32Array(100))]);
 */
export class TensorDataset implements Dataset {
  /** The fields of all examples, [length, ...] each. */
  readonly tensors: readonly Tensor[];
  /** Extent 0 of the tensors. */
  readonly length: number;
  /** May be changed between epochs. */
  transform: Transform | null;

  /**
   * Holds aliases of the tensors, no copies: a change in place is seen by later batches.
   *
   * @param tensors one a field, of one length; none, or different lengths, are an error
   */
  constructor(tensors: readonly Tensor[], { transform = null }: TensorDatasetOptions = {}) {
    if (tensors.length === 0) throw new Error("TensorDataset: expected at least one tensor, got none");
    const length = tensors[0]!.shape[0];
    for (const t of tensors) {
      expect(
        t.ndim > 0 && t.shape[0] === length,
        "TensorDataset",
        `tensors of one length, [${length},...]`,
        tensors.map((u) => show(u.shape)).join(" "),
      );
    }
    this.tensors = unscoped(() => tensors.map((t) => alias(t)));
    for (const [i, t] of this.tensors.entries()) t.storage.range = tensors[i]!.storage.range;
    this.length = length!;
    this.transform = transform;
  }

  /** Rows of every tensor, gathered natively; the first field through `transform`. */
  batch(indices: Int32Array, pass: Pass): Tensor[] {
    const ids = indicesOf("TensorDataset", indices, this.length);
    const fields = this.tensors.map((t) => takeRows(t, ids));
    const batch = this.transform ? transformFirst(this.transform, fields, { ...pass, samples: ids, indices }) : fields;
    ids.free();
    return batch;
  }
}

/**
 * Examples that a function makes or reads one by one, such as files. It may be asynchronous; the examples of a batch are
 * asked for together.
 *
 * @example
 * const squares = new data.ExampleDataset(100, (i) => [tensor([i / 100]), (i / 100) ** 2]);
 */
export class ExampleDataset implements Dataset {
  /**
   * Nothing is asked for until a batch is.
   *
   * @param length number of examples
   * @param get makes the fields of one example; the pass is for what draws at random
   * @param join makes a batch of examples, default data.collate
   */
  constructor(
    readonly length: number,
    private readonly get: (index: number, pass: Pass) => readonly Field[] | Promise<readonly Field[]>,
    private readonly join: (examples: readonly (readonly Field[])[]) => Tensor[] = collate,
  ) {
    if (!Number.isSafeInteger(length) || length < 0)
      throw new RangeError(`ExampleDataset: expected a length from 0 up, got ${length}`);
  }

  /** The examples, asked for at once and joined. Rejects with the first error of `get`. */
  async batch(indices: Int32Array, pass: Pass): Promise<Tensor[]> {
    const examples = await Promise.all(Array.from(indices, async (i) => this.get(i, pass)));
    return unscoped(() => this.join(examples));
  }
}

/** Some examples of another data set, in the order of `indices`. */
export class Subset implements Dataset {
  /** Where the examples come from. */
  readonly dataset: Dataset;
  /** Their numbers there. */
  readonly indices: Int32Array;

  /** @throws RangeError for an index that the data set does not have */
  constructor(dataset: Dataset, indices: ArrayLike<number>) {
    this.dataset = dataset;
    this.indices = Int32Array.from(indices);
    const bad = Array.from(indices).find((i) => !Number.isInteger(i) || i < 0 || i >= dataset.length);
    if (bad !== undefined) throw new RangeError(`Subset: expected indices from 0 to ${dataset.length - 1}, got ${bad}`);
  }

  /** Number of examples. */
  get length(): number {
    return this.indices.length;
  }

  /** That of the whole data set, where it has one: worker threads read the part. */
  get worker(): { module: URL; options: unknown } | undefined {
    const whole = this.dataset.worker;
    if (whole === undefined) return undefined;
    const options: SubsetSource = { module: whole.module.href, options: whole.options, indices: this.indices };
    return { module: new URL("./subsetSource.js", import.meta.url), options };
  }

  /** Batch of the data set behind it, with its transform; random ones are keyed by the number there. */
  batch(indices: Int32Array, pass: Pass): Tensor[] | Promise<Tensor[]> {
    return this.dataset.batch(
      indices.map((i) => expectIndex("Subset", i, this.indices)),
      pass,
    );
  }
}

function expectIndex(where: string, i: number, indices: Int32Array): number {
  const found = indices[i];
  if (found === undefined) throw new RangeError(`${where}: expected indices from 0 to ${indices.length - 1}, got ${i}`);
  return found;
}

/**
 * Divides a data set at random into parts that share no example.
 *
 * @param parts lengths, or shares that add up to 1 (rounded down; what is left goes to the first parts, one each)
 * @example
 * const dataset = new data.TensorDataset([randn([100, 3])]);
 * const [train, validation] = data.randomSplit(dataset, [0.9, 0.1], { seed: 1 });
 */
export function randomSplit(
  dataset: Dataset,
  parts: readonly number[],
  { seed = 231 }: { seed?: number } = {},
): Subset[] {
  const lengths = lengthsOf(dataset.length, parts);
  const order = permutation(dataset.length, deriveSeed(seed), 0);
  let from = 0;
  return lengths.map((n) => new Subset(dataset, order.subarray(from, (from += n))));
}

function lengthsOf(total: number, parts: readonly number[]): number[] {
  const sum = parts.reduce((a, b) => a + b, 0);
  if (parts.every((n) => Number.isSafeInteger(n) && n >= 0) && sum === total) return [...parts];
  if (!parts.every((share) => share >= 0 && share <= 1) || Math.abs(sum - 1) > 1e-9) {
    throw new RangeError(
      `randomSplit: expected lengths that add up to ${total} or shares that add up to 1, got ${parts.join(", ")}`,
    );
  }
  const lengths = parts.map((share) => Math.floor(share * total));
  let left = total - lengths.reduce((a, b) => a + b, 0);
  for (let i = 0; left > 0; i = (i + 1) % lengths.length, left--) lengths[i]!++;
  return lengths;
}

/** Data sets one after the other; their fields must have the same shapes and dtypes. */
export class ConcatDataset implements Dataset {
  /** The parts, in order. */
  readonly datasets: readonly Dataset[];
  /** Where each begins. */
  private readonly starts: readonly number[];
  /** Sum of the parts' lengths. */
  readonly length: number;

  /**
   * Fields are compared when a batch has rows of several parts.
   *
   * @param datasets the parts, in order
   */
  constructor(datasets: readonly Dataset[]) {
    this.datasets = [...datasets];
    let at = 0;
    this.starts = datasets.map((d) => (at += d.length) - d.length);
    this.length = at;
  }

  /** Batches of the parts concerned, put together in the order of `indices`. */
  async batch(indices: Int32Array, pass: Pass): Promise<Tensor[]> {
    const inside: number[][] = this.datasets.map(() => []);
    const places = Array.from(indices, (i): [part: number, row: number] => {
      if (!(i >= 0 && i < this.length))
        throw new RangeError(`ConcatDataset: expected indices from 0 to ${this.length - 1}, got ${i}`);
      const part = this.starts.findLastIndex((start, d) => start <= i && this.datasets[d]!.length > 0);
      return [part, inside[part]!.push(i - this.starts[part]!) - 1];
    });
    const used = inside.flatMap((list, d) => (list.length > 0 ? [d] : []));
    const batches = await Promise.all(used.map((d) => this.datasets[d]!.batch(Int32Array.from(inside[d]!), pass)));
    if (batches.length === 1) return batches[0]!;
    return unscoped(() => {
      const first = used.map((_, u) => used.slice(0, u).reduce((n, d) => n + inside[d]!.length, 0));
      const rows = fromTyped(
        Int32Array.from(places, ([part, row]) => first[used.indexOf(part)]! + row),
        [indices.length],
        "int32",
      );
      const fields = batches[0]!.map((_, f) => {
        const together = concatRows(batches.map((b) => b[f]!));
        const y = takeRows(together, rows);
        together.free();
        return y;
      });
      rows.free();
      for (const t of batches.flat()) t.free();
      return fields;
    });
  }
}

function concatRows(parts: Tensor[]): Tensor {
  const [first] = parts as [Tensor];
  const row = first.shape.slice(1);
  const y = empty([parts.reduce((n, t) => n + t.shape[0]!, 0), ...row], first.dtype);
  let at = 0;
  for (const t of parts) {
    const same = t.dtype === first.dtype && show(t.shape.slice(1)) === show(row);
    expect(
      same,
      "ConcatDataset",
      `${first.dtype} rows ${show(row)} in every data set`,
      `${t.dtype} ${show(t.shape.slice(1))}`,
    );
    if (t.size > 0) k.writeStrided(y, t, at, 1, t.size, 1);
    at += t.size;
  }
  const ranges = parts.map((t) => t.storage.range);
  if (ranges.every((r) => r !== null))
    y.storage.range = [Math.min(...ranges.map((r) => r![0])), Math.max(...ranges.map((r) => r![1]))];
  return y;
}
