/**
 * DataLoader: batches in the order of (seed, epoch), at a position that can be saved and restored. A hand-written loop
 * over it leaves the event loop free: next() resolves when at most two batches of work are pending on the device.
 */
import { safePoint, unscoped } from "../memory.js";
import { addon, breathe } from "../native.js";
import { defaultGenerator, type Generator } from "../random.js";
import { fromTyped, type Tensor } from "../tensor.js";
import { type Dataset, transformFirst } from "./dataset.js";
import type { Pass, SampleKey } from "./draws.js";
import type { BatchTransform } from "./mix.js";
import { deriveSeed } from "./order.js";
import { type Batches, RandomSampler, type Sampler, SequentialSampler } from "./samplers.js";
import { IterableDataset } from "./stream.js";
import type { Transform } from "./transforms.js";
import { WorkerPool } from "./workers.js";

/** Options of DataLoader. */
export interface DataLoaderOptions {
  /** Examples in a batch. Default 1. */
  batchSize?: number;
  /** Another order in each epoch. Default false. */
  shuffle?: boolean;
  /** Leaves out a last batch that is not full. Default false. */
  dropLast?: boolean;
  /** Which examples an epoch visits, in which order; excludes `shuffle`. Default: all, in order or shuffled. */
  sampler?: Sampler;
  /** Which batches an epoch has; excludes batchSize, shuffle, dropLast and sampler. */
  batchSampler?: Batches;
  /** Batches prepared ahead of the one asked for. Default 2, or 2 a worker. */
  prefetch?: number;
  /** What order and random transforms depend on. Default: the seed of `generator` when the loader is made. */
  seed?: number;
  /** Default: the one that manualSeed() sets. */
  generator?: Generator;
  /** What the first field of each batch goes through, after the data set's own transform. Default none. */
  transform?: Transform | null;
  /** What whole batches go through last, such as data.MixUp: pictures and labels change together. Default none. */
  mix?: BatchTransform | null;
  /** Threads that make the examples. Default 0, this one; 1 where the data set is a module. */
  workers?: number;
  /** What the function that a module exports gets; copied to each worker. */
  workerOptions?: unknown;
  /** Keeps the workers from one epoch to the next, until close(). Default false: an epoch starts and ends its own. */
  persistentWorkers?: boolean;
}

/** Where a loader stands. */
export interface DataLoaderState {
  /** What the order depends on; a loader takes it over. */
  seed: number;
  /** From 0. */
  epoch: number;
  /** Batches given out in this epoch. */
  position: number;
  /** 0 with a batchSampler. */
  batchSize: number;
  /** Of an epoch; -1 for a stream of unknown length. */
  examples: number;
}

/** A pass through the data, and how far it has come. */
interface Cursor {
  readonly epoch: number;
  position: number;
  started: boolean;
  /** Whether a stream has given its last batch. */
  ended: boolean;
}

const cursorAt = (epoch: number, position = 0): Cursor => ({ epoch, position, started: false, ended: false });

/** One pass, as it is being made. */
interface Making {
  /** Batches; Infinity where only a stream knows. */
  length: number;
  /** Makes batch b; null behind the end of a stream. */
  make(b: number): Promise<{ batch: Tensor[]; last: boolean } | null>;
  close(): void | Promise<void>;
}

/**
 * Each `for await` is one epoch; leaving it early abandons the epoch, and the next loop starts the one after it. A batch
 * belongs to whoever receives it: the loader never frees or reuses it.
 *
 * With the address of a module, `new DataLoader(new URL("./mine.js", import.meta.url), { workers: 2 })`, worker threads
 * make the examples: its default export is { length, get(index, pass) }, or a function of `workerOptions` that makes
 * it; get() gives an array of fields, plain numbers and arrays (data.PlainField), no tensors. The batches are the same
 * for any number of workers. Errors name the example.
 *
 * @example
 * const dataset = new data.TensorDataset([randn([100, 3]), zeros([100], { dtype: "int32" })]);
 * const loader = new data.DataLoader(dataset, { batchSize: 32, shuffle: true });
 * for await (const [x, y] of loader) console.log(x.shape, y.shape);
 */
export class DataLoader implements AsyncIterable<Tensor[]> {
  /** Where the examples come from. */
  readonly dataset: Dataset | IterableDataset | URL;
  /** Examples in a batch; 0 with a batchSampler. */
  readonly batchSize: number;
  /** Whether each epoch has another order. */
  readonly shuffle: boolean;
  /** Whether a last batch that is not full is left out. */
  readonly dropLast: boolean;
  /** Batches prepared ahead of the one asked for. */
  readonly prefetch: number;
  /** What the first field of each batch goes through, or null. */
  readonly transform: Transform | null;
  /** What whole batches go through last, or null. */
  readonly mix: BatchTransform | null;
  /** Threads that make the examples; 0: this one. */
  readonly workers: number;
  /** Whether the workers stay between epochs, until close(). */
  readonly persistentWorkers: boolean;
  private readonly sampler: Sampler | undefined;
  private readonly batchSampler: Batches | undefined;
  /** What workers import, and its options. */
  private readonly module: { module: URL; options: unknown } | null;
  private pool: WorkerPool | null = null;
  /** Length of the data set; null while only the workers could know. */
  private known: number | null;
  private userSeed: number;
  private cursor = cursorAt(0);
  /** A state that is checked when the length is known. */
  private unchecked: DataLoaderState | null = null;

  /**
   * Options that exclude each other are an error. No example is made, and no worker started, before the first batch is
   * asked for.
   *
   * @param dataset a data set, a stream, or the address of a module that worker threads import
   */
  constructor(dataset: Dataset | IterableDataset | URL, options: DataLoaderOptions = {}) {
    const {
      batchSize = 1,
      shuffle = false,
      dropLast = false,
      sampler,
      batchSampler,
      workers = dataset instanceof URL ? 1 : 0,
      workerOptions,
      persistentWorkers = false,
      prefetch = Math.max(2, 2 * workers),
      generator = defaultGenerator,
      seed = generator.seed,
      transform = null,
      mix = null,
    } = options;
    expectWhole("batchSize", batchSize, 1);
    expectWhole("prefetch", prefetch, 0);
    expectWhole("seed", seed, Number.MIN_SAFE_INTEGER);
    expectWhole("workers", workers, dataset instanceof URL ? 1 : 0);
    const refuse = (expected: string, got: string) => {
      throw new TypeError(`DataLoader: expected ${expected}, got ${got}`);
    };
    const set = dataset as Partial<Dataset> | null | undefined;
    const isSet = typeof set?.batch === "function" && Number.isSafeInteger(set.length) && set.length! >= 0;
    if (!isSet && !(dataset instanceof URL) && !(dataset instanceof IterableDataset))
      refuse(
        "a data set (with a length and batch()), an IterableDataset, or a module's URL",
        `${Array.isArray(dataset) ? "an array; new TensorDataset([x, y]) makes a data set of tensors" : dataset === null ? "null" : typeof dataset}`,
      );
    const given = (names: (keyof DataLoaderOptions)[]) => names.filter((name) => options[name]).join(", ");
    if (batchSampler && given(["batchSize", "shuffle", "dropLast", "sampler"]))
      refuse("batchSampler alone", `also ${given(["batchSize", "shuffle", "dropLast", "sampler"])}`);
    if (sampler && shuffle) refuse("a sampler or shuffle", "both; samplers bring their own order");
    if (dataset instanceof IterableDataset) {
      if (given(["shuffle", "sampler", "batchSampler", "workers"]))
        refuse(
          "a stream without shuffle, sampler, batchSampler and workers",
          `${given(["shuffle", "sampler", "batchSampler", "workers"])}; shuffle with IterableDataset's shuffleBuffer`,
        );
    } else if (!(dataset instanceof URL) && workers > 0 && !dataset.worker) {
      refuse(
        "a data set that workers can make",
        `workers ${workers} and one whose tensors are in this thread; give the address of a module, new URL("./mine.js", import.meta.url)`,
      );
    }
    this.dataset = dataset;
    this.batchSize = batchSampler ? 0 : batchSize;
    this.shuffle = shuffle;
    this.dropLast = dropLast;
    this.sampler = sampler;
    this.batchSampler = batchSampler;
    this.prefetch = prefetch;
    this.userSeed = seed;
    this.transform = transform;
    this.mix = mix;
    this.workers = workers;
    this.persistentWorkers = persistentWorkers;
    if (dataset instanceof URL) this.module = { module: dataset, options: workerOptions };
    else this.module = workers > 0 ? (dataset as Dataset).worker! : null;
    this.known = dataset instanceof URL ? null : (dataset.length ?? -1);
  }

  /** Starts the workers, where there are any, and waits until they know the data set: then `length` is known. */
  async ready(): Promise<void> {
    if (this.module === null) return;
    this.pool ??= this.startWorkers();
    this.known = await this.pool.ready;
  }

  /** Ends workers that ready() or persistentWorkers left running. */
  async close(): Promise<void> {
    const { pool } = this;
    this.pool = null;
    await pool?.close();
  }

  /** close(), for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Examples in an epoch; -1 where only a stream knows. */
  private get examples(): number {
    if (this.sampler) return this.sampler.length;
    if (this.known === null)
      throw new Error(
        "DataLoader: the length of a module's data set is known once workers have opened it; await loader.ready() first",
      );
    return this.known;
  }

  /** Batches in an epoch; Infinity for a stream that was not told its length. */
  get length(): number {
    if (this.batchSampler) return this.batchSampler.length;
    const { examples } = this;
    if (examples < 0) return Number.POSITIVE_INFINITY;
    const n = examples / this.batchSize;
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
    return this.cursor.ended || this.cursor.position >= this.length;
  }

  /** Where the loader stands; plain numbers. The batch in hand counts as given out. */
  stateDict(): DataLoaderState {
    const { epoch, position } = this.cursor;
    return { seed: this.userSeed, epoch, position, batchSize: this.batchSize, examples: this.examples };
  }

  /** The next `for await` continues where stateDict() was taken: the same batches come, in the middle of an epoch too. */
  loadStateDict(state: DataLoaderState): void {
    const { seed, epoch, position } = state;
    expectWhole("epoch", epoch, 0);
    expectWhole("position", position, 0);
    if (this.known === null && !this.sampler) this.unchecked = state;
    else this.checkState(state);
    this.userSeed = seed;
    this.cursor = cursorAt(epoch, position);
  }

  private checkState({ batchSize, examples }: DataLoaderState): void {
    if (batchSize === this.batchSize && examples === this.examples) return;
    throw new Error(
      `DataLoader.loadStateDict: expected a state of ${this.examples} examples in batches of ${this.batchSize}, ` +
        `got ${examples} in batches of ${batchSize}; the same batches would not come`,
    );
  }

  /** One epoch: the rest of the present one where it was resumed, else the next. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Tensor[], void, void> {
    if (this.cursor.started) this.cursor = cursorAt(this.cursor.epoch + 1);
    const { cursor } = this;
    cursor.started = true;
    const making = await this.open({ seed: deriveSeed(this.userSeed), epoch: cursor.epoch }, cursor.position);
    let asked = cursor.position;
    const ahead: ReturnType<Making["make"]>[] = [];
    const settled: Promise<void>[] = [];
    try {
      while (cursor.position < making.length) {
        for (; asked < making.length && ahead.length <= this.prefetch; asked++) {
          const made = making.make(asked);
          made.catch(() => {}); // thrown where the batch is given out
          ahead.push(made);
        }
        settled.push(addon.settled());
        if (settled.length > 2) await settled.shift();
        const made = await ahead.shift()!;
        if (made === null) break;
        await breathe();
        safePoint();
        cursor.position++;
        cursor.ended = made.last;
        yield made.batch;
      }
      if (this.cursor === cursor) this.cursor = cursorAt(cursor.epoch + 1);
    } finally {
      for (const made of ahead)
        made.then(
          (m) => m && free(m.batch),
          () => {},
        );
      await making.close();
    }
  }

  /** Begins a pass at batch `position`. */
  private async open(pass: Pass, position: number): Promise<Making> {
    if (this.dataset instanceof IterableDataset) return this.openStream(this.dataset, pass, position);
    const pool = this.module ? (this.pool ?? this.startWorkers()) : null;
    this.pool = this.persistentWorkers ? pool : null;
    const close = async () => {
      if (pool && !this.persistentWorkers) await pool.close();
    };
    try {
      if (pool) this.known = await pool.ready;
      if (this.unchecked) this.checkState(this.unchecked);
      this.unchecked = null;
      const batches = this.batchesOf(pass);
      const make = async (b: number) => ({
        batch: await this.makeBatch(batches(b), pass, pool),
        last: b === this.length - 1,
      });
      return { length: this.length, make, close };
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** The indices of batch b of a pass. */
  private batchesOf(pass: Pass): (b: number) => Int32Array {
    if (this.batchSampler) {
      const batches = this.batchSampler.batches(pass);
      return (b) => batches[b]!;
    }
    const { examples } = this;
    const sampler = this.sampler ?? new (this.shuffle ? RandomSampler : SequentialSampler)(examples);
    const order = sampler.order(pass);
    return (b) => order.slice(b * this.batchSize, (b + 1) * this.batchSize);
  }

  private openStream(dataset: IterableDataset, pass: Pass, position: number): Making {
    const { batchSize, dropLast } = this;
    const batches = dataset.batches(pass, { batchSize, dropLast, position });
    const make = async () => {
      const { value, done } = await batches.next();
      if (done) return null;
      const rows = value.batch[0]?.shape[0] ?? 0;
      const indices = Int32Array.from({ length: rows }, (_, i) => value.first + i);
      return { batch: this.transformed(value.batch, indices, pass), last: value.last };
    };
    // Not waited for: the generator may be busy with what nobody wants any more.
    const close = () => void batches.return().catch(() => {});
    return { length: this.length, make, close };
  }

  private startWorkers(): WorkerPool {
    const { module, options } = this.module!;
    return new WorkerPool(module, options, this.workers);
  }

  private async makeBatch(indices: Int32Array, pass: Pass, pool: WorkerPool | null): Promise<Tensor[]> {
    const made = pool ? pool.run(indices, pass) : unscoped(() => (this.dataset as Dataset).batch(indices, pass));
    return this.transformed(await made, indices, pass);
  }

  private transformed(fields: Tensor[], indices: Int32Array, pass: Pass): Tensor[] {
    const { transform, mix } = this;
    if (transform === null && mix === null) return fields;
    return unscoped(() => {
      const samples = fromTyped(indices, [indices.length], "int32");
      const key: SampleKey = { ...pass, samples, indices };
      const batch = transform ? transformFirst(transform, fields, key) : fields;
      const mixed = mix ? mix.applyBatch(batch, key) : batch;
      for (const t of [samples, ...batch]) if (!mixed.includes(t)) t.free();
      return mixed;
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
