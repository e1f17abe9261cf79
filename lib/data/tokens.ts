/**
 * A long row of tokens as a data set of windows: what language models are trained on.
 */
import { expect } from "../errors.js";
import { fromTyped, type Tensor } from "../tensor.js";
import type { Dataset } from "./dataset.js";

/**
 * Windows of `context` tokens and, one further, the tokens that follow each: [n, context] and [n, context], int32. Example i
 * starts at token i; with `stride` at i * stride.
 *
 * @example
 * const tokenizer = new data.CharTokenizer("hello world");
 * const windows = new data.TokenWindows(tokenizer.encode("hello world"), 4);
 * const loader = new data.DataLoader(windows, { batchSize: 2, shuffle: true, seed: 1 });
 */
export class TokenWindows implements Dataset {
  /** Number of windows. */
  readonly length: number;
  readonly #ids: Int32Array;

  /** @throws Error for fewer than context + 1 tokens */
  constructor(
    ids: ArrayLike<number>,
    /** Tokens of a window. */
    readonly context: number,
    /** Tokens between the starts of two windows. */
    readonly stride = 1,
  ) {
    for (const [name, n] of Object.entries({ context, stride }))
      expect(Number.isSafeInteger(n) && n >= 1, "TokenWindows", `${name} from 1 up`, `${n}`);
    expect(ids.length > context, "TokenWindows", `more than ${context} tokens`, `${ids.length}`);
    this.#ids = Int32Array.from(ids);
    this.length = Math.floor((ids.length - context - 1) / stride) + 1;
  }

  batch(indices: Int32Array): Tensor[] {
    const { context, stride, length } = this;
    const x = new Int32Array(indices.length * context);
    const y = new Int32Array(indices.length * context);
    indices.forEach((index, row) => {
      if (!(index >= 0 && index < length))
        throw new RangeError(`TokenWindows: expected indices from 0 to ${length - 1}, got ${index}`);
      const from = index * stride;
      x.set(this.#ids.subarray(from, from + context), row * context);
      y.set(this.#ids.subarray(from + 1, from + 1 + context), row * context);
    });
    const shape = [indices.length, context];
    return [fromTyped(x, shape, "int32"), fromTyped(y, shape, "int32")];
  }
}
