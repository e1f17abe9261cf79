/**
 * EventWriter: TensorBoard's event files, without TensorFlow and without Python.
 */
import { mkdirSync, readdirSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { show } from "../errors.js";
import { noGrad } from "../graph.js";
import { unscoped } from "../memory.js";
import { to } from "../ops/cast.js";
import { Tensor } from "../tensor.js";
import { encodePng, type PngSize } from "../viz/png.js";
import * as messages from "./eventMessages.js";
import { frame } from "./records.js";

/** Options of EventWriter. */
export interface EventWriterOptions {
  /** What is added goes to the file at the latest after so many seconds, so that TensorBoard sees running jobs. Default 2. */
  flushSeconds?: number;
  /** The run goes on from this step: TensorBoard forgets what earlier files of the folder say of it and later ones. Default: nothing is forgotten. */
  purgeStep?: number;
}

const NAME = /^events\.out\.tfevents\.(\d+)\./;
const BUCKETS = 64;

/**
 * Writes numbers, histograms, pictures and texts for `tensorboard --logdir`, as PyTorch's SummaryWriter does. Each writer
 * makes a file of its own in the folder. What is added waits in memory until flush(), close(), or two seconds have passed;
 * an error of the disk is thrown by the next flush() or close().
 *
 * @example
 * const writer = new train.EventWriter("runs/mine");
 * for (let step = 0; step < 3; step++) writer.addScalar("loss/train", 1 / (step + 1), step);
 * await writer.addHistogram("weights", randn([100]), 3);
 * await writer.close();
 */
export class EventWriter {
  /** The file. */
  readonly path: string;
  readonly #flushMs: number;
  #file: FileHandle | null = null;
  #bytes = 0;
  #waiting: Buffer[] = [];
  /** Values on their way from the device. */
  readonly #reads = new Set<Promise<void>>();
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  #failed: { error: unknown } | null = null;
  #closed = false;

  /**
   * @param directory where the file goes; made when missing
   * @throws the error of the file system; RangeError for options out of range
   */
  constructor(directory: string, { flushSeconds = 2, purgeStep }: EventWriterOptions = {}) {
    if (!(flushSeconds > 0)) throw new RangeError(`EventWriter: expected flushSeconds above 0, got ${flushSeconds}`);
    mkdirSync(directory, { recursive: true });
    // Readers take the files of a folder by name: a new one must come after those that are there.
    const times = readdirSync(directory).map((name) => Number(NAME.exec(name)?.[1] ?? 0));
    const time = Math.max(Math.floor(Date.now() / 1000), ...times.map((t) => t + 1));
    const host = hostname().replace(/[^\w.-]/g, "_") || "localhost";
    this.path = join(directory, `events.out.tfevents.${String(time).padStart(10, "0")}.${host}.${process.pid}`);
    this.#flushMs = flushSeconds * 1000;
    this.#add(0, messages.fileVersion());
    if (purgeStep !== undefined) this.#add(stepOf("EventWriter", purgeStep), messages.sessionStart());
  }

  /** Length of the file so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** One number: a point of the curve `tag`. "loss/train" stands in the group "loss". */
  addScalar(tag: string, value: number, step: number): void {
    this.#add(stepOf("addScalar", step), messages.scalar(tag, numberOf("addScalar", value)));
  }

  /** Several numbers of one step, each as `tag/name`. */
  addScalars(tag: string, values: Readonly<Record<string, number>>, step: number): void {
    const all = Object.entries(values).map(([name, x]) => [`${tag}/${name}`, numberOf("addScalars", x)] as const);
    this.#add(stepOf("addScalars", step), messages.scalars(all));
  }

  /**
   * How values are distributed, in 64 buckets of equal width; those that are not finite are left out. A tensor's values are
   * taken at the call: training may go on.
   */
  async addHistogram(tag: string, values: Tensor | ArrayLike<number>, step: number): Promise<void> {
    const at = stepOf("addHistogram", step);
    await this.#read(async () => {
      const array = values instanceof Tensor ? await wide(values) : values;
      this.#add(at, messages.histogram(tag, histogramOf(array)));
    });
  }

  /**
   * A picture.
   *
   * @param image a tensor [h, w], [1, h, w], [3, h, w] or [4, h, w] (grey, RGB, RGBA), uint8 from 0 to 255 or floats from 0
   *   to 1 (others are clamped); or pixels row by row, such as viz's imageGrid() gives
   */
  async addImage(tag: string, image: Tensor | (PngSize & { pixels: Uint8Array }), step: number): Promise<void> {
    const at = stepOf("addImage", step);
    const size = image instanceof Tensor ? sizeOf(image) : image;
    await this.#read(async () => {
      const pixels = image instanceof Tensor ? await pixelsOf(image, size) : image.pixels;
      this.#add(at, messages.image(tag, size, encodePng(pixels, size)));
    });
  }

  /** A text, which TensorBoard shows as Markdown. */
  addText(tag: string, content: string, step: number): void {
    this.#add(stepOf("addText", step), messages.markdown(tag, content));
  }

  /**
   * The hyper-parameters of this run, for TensorBoard's table of runs.
   *
   * @param metrics tags of scalars that the table shows beside them
   */
  addHparams(values: Readonly<Record<string, messages.HparamValue>>, metrics: readonly string[] = []): void {
    for (const event of messages.hparams(values, metrics, Date.now() / 1000)) this.#add(0, event);
  }

  /** Resolves when all that was added so far is in the file. */
  async flush(): Promise<void> {
    await Promise.all(this.#reads);
    this.#write();
    await this.#writing;
    if (this.#failed) throw this.#failed.error;
  }

  /** Flushes and closes the file; nothing can be added afterwards. */
  async close(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.flush();
    } finally {
      this.#closed = true;
      if (this.#timer) clearTimeout(this.#timer);
      await this.#file?.close();
    }
  }

  /** close(), at the end of the block of `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #add(step: number, content: Buffer): void {
    if (this.#closed) throw new Error(`EventWriter: ${this.path} is closed; make a new writer`);
    this.#waiting.push(frame(messages.event(Date.now() / 1000, step, content)));
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#write();
    }, this.#flushMs).unref();
  }

  async #read(read: () => Promise<void>): Promise<void> {
    if (this.#closed) throw new Error(`EventWriter: ${this.path} is closed; make a new writer`);
    const reading = read();
    const known = reading.catch(() => {}).then(() => void this.#reads.delete(known));
    this.#reads.add(known);
    await reading;
  }

  /** Hands what waits to the disk, as whole records, after what was handed over before. */
  #write(): void {
    const records = Buffer.concat(this.#waiting.splice(0));
    if (records.length === 0) return;
    this.#writing = this.#writing
      .then(async () => {
        this.#file ??= await open(this.path, "ax");
        await this.#file.appendFile(records);
        this.#bytes += records.length;
      })
      .catch((error) => void (this.#failed ??= { error }));
  }
}

function stepOf(where: string, step: number): number {
  if (Number.isSafeInteger(step) && step >= 0) return step;
  throw new RangeError(`${where}: expected step to be a whole number from 0 up, got ${step}`);
}

function numberOf(where: string, x: number): number {
  if (typeof x === "number") return x;
  throw new TypeError(`${where}: expected a number, got ${typeof x}; await tensor.item()`);
}

function histogramOf(values: ArrayLike<number>): messages.Histogram {
  let [min, max, count, sum, sumOfSquares] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (!Number.isFinite(x)) continue;
    if (x < min) min = x;
    if (x > max) max = x;
    count++;
    sum += x;
    sumOfSquares += x * x;
  }
  if (count === 0) return { min: 0, max: 0, count: 0, sum: 0, sumOfSquares: 0, limits: [0], counts: [0] };
  const width = max / BUCKETS - min / BUCKETS; // does not overflow where max - min would
  if (!(width > 0)) return { min, max, count, sum, sumOfSquares, limits: [max], counts: [count] };
  const counts = new Array<number>(BUCKETS).fill(0);
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (Number.isFinite(x)) counts[Math.min(BUCKETS - 1, Math.max(0, Math.floor(x / width - min / width)))]!++;
  }
  const limits = counts.map((_, i) => (i === BUCKETS - 1 ? max : min + (i + 1) * width));
  return { min, max, count, sum, sumOfSquares, limits, counts };
}

function sizeOf(image: Tensor): PngSize {
  const [channels, height, width] = image.ndim === 2 ? [1, ...image.shape] : image.shape;
  const known = image.dtype === "uint8" || image.dtype === "float32" || image.dtype === "float64";
  if ((image.ndim !== 2 && image.ndim !== 3) || ![1, 3, 4].includes(channels!) || !known)
    throw new TypeError(
      `addImage: expected an image [h,w] or [c,h,w] with 1, 3 or 4 channels, uint8 or float, got ${image.dtype} ${show(image.shape)}`,
    );
  return { width: width!, height: height!, channels: channels as 1 | 3 | 4 };
}

/** A tensor's values, whatever its dtype. */
function wide(t: Tensor): Promise<Float64Array> {
  const converted = unscoped(() => noGrad(() => to(t.detach(), "float64")));
  const values = converted.data("float64");
  converted.free();
  return values;
}

/** Pixels row by row, channels innermost. */
async function pixelsOf(image: Tensor, { width, height, channels }: PngSize): Promise<Uint8Array> {
  const scale = image.dtype === "uint8" ? 1 : 255;
  const values = await wide(image);
  const pixels = new Uint8ClampedArray(values.length); // rounds and clamps; NaN is 0
  const plane = width * height;
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < plane; i++) pixels[i * channels + c] = values[c * plane + i]! * scale;
  return new Uint8Array(pixels.buffer);
}
