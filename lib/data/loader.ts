/**
 * DataLoader: batches in the order of (seed, epoch), at a position that can be saved and restored. A hand-written loop
 * over it leaves the event loop free: next() resolves when at most two batches of work are pending on the device.
 */
import { safePoint, unscoped } from "../memory.js";
import { addon, breathe } from "../native.js";
import { defaultGenerator, type Generator } from "../random.js";
import { fromTyped, type Tensor } from "../tensor.js";
import { type Dataset, transformFirst } from "./dataset.js";
import { deriveSeed, inOrder, permutation } from "./order.js";
import type { Transform } from "./transforms.js";

export interface DataLoaderOptions {
  /** Examples in a batch. Default 1. */
  batchSize?: number;
  /** Another order in each epoch. Default false. */
  shuffle?: boolean;
  /** Leaves out a last batch that is not full. Default false. */
  dropLast?: boolean;
  /** Batches prepared ahead of the one asked for. Default 2. */
  prefetch?: number;
  /** What order and random transforms depend on. Default: the seed of `generator` when the loader is made. */
  seed?: number;
  /** Default: the one that manualSeed() sets. */
  generator?: Generator;
  /** What the first field of each batch goes through, after the data set's own transform. Default none. */
  transform?: Transform | null;
}

/** Where a loader stands. */
export interface DataLoaderState {
  seed: number;
  epoch: number;
  /** Batches given out in this epoch. */
  position: number;
  batchSize: number;
  examples: number;
}

/** A pass through the data, and how far it has come. */
interface Cursor {
  readonly epoch: number;
  position: number;
  started: boolean;
}

/**
 * Each `for await` is one epoch; leaving it early abandons the epoch, and the next loop starts the one after it. A batch
 * belongs to whoever receives it: the loader never frees or reuses it.
 *
 * @example
 * const dataset = new data.TensorDataset([randn([100, 3]), zeros([100], { dtype: "int32" })]);
 * const loader = new data.DataLoader(dataset, { batchSize: 32, shuffle: true });
 * for await (const [x, y] of loader) console.log(x.shape, y.shape);
 */
export class DataLoader implements AsyncIterable<Tensor[]> {
  readonly dataset: Dataset;
  readonly batchSize: number;
  readonly shuffle: boolean;
  readonly dropLast: boolean;
  readonly prefetch: number;
  readonly transform: Transform | null;
  private userSeed: number;
  private cursor: Cursor = { epoch: 0, position: 0, started: false };

  constructor(
    dataset: Dataset,
    {
      batchSize = 1,
      shuffle = false,
      dropLast = false,
      prefetch = 2,
      generator = defaultGenerator,
      seed = generator.seed,
      transform = null,
    }: DataLoaderOptions = {},
  ) {
    expectWhole("batchSize", batchSize, 1);
    expectWhole("prefetch", prefetch, 0);
    expectWhole("seed", seed, Number.MIN_SAFE_INTEGER);
    this.dataset = dataset;
    this.batchSize = batchSize;
    this.shuffle = shuffle;
    this.dropLast = dropLast;
    this.prefetch = prefetch;
    this.userSeed = seed;
    this.transform = transform;
  }

  /** Batches in an epoch. */
  get length(): number {
    const n = this.dataset.length / this.batchSize;
    return this.dropLast ? Math.floor(n) : Math.ceil(n);
  }

  /** The epoch that batches come from, from 0. */
  get epoch(): number {
    return this.cursor.epoch;
  }

  /** Batches given out in this epoch. */
  get position(): number {
    return this.cursor.position;
  }

  /** Whether every batch of this epoch was given out. */
  get isAtEnd(): boolean {
    return this.cursor.position >= this.length;
  }

  /** Where the loader stands; plain numbers. The batch in hand counts as given out. */
  stateDict(): DataLoaderState {
    const { epoch, position } = this.cursor;
    return { seed: this.userSeed, epoch, position, batchSize: this.batchSize, examples: this.dataset.length };
  }

  /** The next `for await` continues where stateDict() was taken: the same batches come, in the middle of an epoch too. */
  loadStateDict({ seed, epoch, position, batchSize, examples }: DataLoaderState): void {
    expectWhole("epoch", epoch, 0);
    expectWhole("position", position, 0);
    if (batchSize !== this.batchSize || examples !== this.dataset.length) {
      throw new Error(
        `DataLoader.loadStateDict: expected a state of ${this.dataset.length} examples in batches of ${this.batchSize}, ` +
          `got ${examples} in batches of ${batchSize}; the same batches would not come`,
      );
    }
    this.userSeed = seed;
    this.cursor = { epoch, position, started: false };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Tensor[], void, void> {
    if (this.cursor.started) this.cursor = { epoch: this.cursor.epoch + 1, position: 0, started: false };
    const { cursor, length } = this;
    cursor.started = true;
    const seed = deriveSeed(this.userSeed);
    const order = this.shuffle ? permutation(this.dataset.length, seed, cursor.epoch) : inOrder(this.dataset.length);
    let asked = cursor.position;
    const ahead: Promise<Tensor[]>[] = [];
    const settled: Promise<void>[] = [];
    try {
      while (cursor.position < length) {
        for (; asked < length && ahead.length <= this.prefetch; asked++) {
          const batch = this.make(order.slice(asked * this.batchSize, (asked + 1) * this.batchSize), {
            seed,
            epoch: cursor.epoch,
          });
          batch.catch(() => {}); // thrown where the batch is given out
          ahead.push(batch);
        }
        settled.push(addon.settled());
        if (settled.length > 2) await settled.shift();
        const ready = ahead.shift()!;
        await ready;
        await breathe();
        safePoint();
        cursor.position++;
        yield ready;
      }
      if (this.cursor === cursor) this.cursor = { epoch: cursor.epoch + 1, position: 0, started: false };
    } finally {
      for (const batch of ahead) batch.then(free, () => {});
    }
  }

  private async make(indices: Int32Array, pass: { seed: number; epoch: number }): Promise<Tensor[]> {
    const fields = await unscoped(() => this.dataset.batch(indices, pass));
    const { transform } = this;
    if (transform === null) return fields;
    return unscoped(() => {
      const samples = fromTyped(indices, [indices.length], "int32");
      const batch = transformFirst(transform, fields, samples, pass);
      samples.free();
      return batch;
    });
  }
}

function free(batch: Tensor[]): void {
  for (const t of batch) t.free();
}

function expectWhole(name: string, value: number, from: number): void {
  if (!Number.isSafeInteger(value) || value < from)
    throw new RangeError(`DataLoader: expected ${name} to be a whole number from ${from} up, got ${value}`);
}
