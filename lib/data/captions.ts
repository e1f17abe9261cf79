/**
 * Pictures with captions as a data set: texts become rows of tokens of one length.
 */
import { expect } from "../errors.js";
import { unscoped } from "../memory.js";
import { fromTyped, type Tensor } from "../tensor.js";
import { TensorDataset } from "./dataset.js";
import type { WordTokenizer } from "./tokenizer.js";
import type { Transform } from "./transforms.js";

/** Options of captionDataset(). */
export interface CaptionDatasetOptions {
  /** Tokens of a row, with <start> and <end>. Default: those of the longest caption. */
  length?: number;
  /** What the pictures of a batch go through. Default none. */
  transform?: Transform | null;
}

/**
 * Batches of pictures and of their captions as int32 [n, length]: <start>, the words, <end>, <pad>. What models.CLIP and
 * the captioners take.
 *
 * @param pictures [n, ...]; bytes stay bytes unless `transform` makes something else of them
 * @throws ShapeError for another number of captions
 * @example
 * const { train, normalize } = await data.scenes({ train: 8, test: 0, heldOut: 0 });
 * const tokenizer = new data.WordTokenizer(train.captions);
 * const set = data.captionDataset(train.pictures, train.captions, tokenizer, { transform: normalize });
 * const [x, tokens] = set.batch(Int32Array.of(0, 1), { seed: 1, epoch: 0 }); // [2, 3, 32, 32], [2, 10] or shorter
 */
export function captionDataset(
  pictures: Tensor,
  captions: readonly string[],
  tokenizer: WordTokenizer,
  { length = framedLength(captions, tokenizer), transform = null }: CaptionDatasetOptions = {},
): TensorDataset {
  const n = pictures.shape[0] ?? 0;
  expect(captions.length === n, "captionDataset", `a caption for each of ${n} pictures`, `${captions.length} captions`);
  const rows = new Int32Array(n * length);
  captions.forEach((caption, i) => {
    rows.set(tokenizer.frame(caption, length), i * length);
  });
  return unscoped(() => {
    const tokens = fromTyped(rows, [n, length], "int32", false);
    const dataset = new TensorDataset([pictures, tokens], { transform });
    tokens.free();
    return dataset;
  });
}

const framedLength = (captions: readonly string[], tokenizer: WordTokenizer): number =>
  2 + captions.reduce((most, caption) => Math.max(most, tokenizer.encode(caption).length), 0);
