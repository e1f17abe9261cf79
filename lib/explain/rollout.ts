/** Attention that flows through a transformer's layers, as a map over the picture. */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { interpolate } from "../ops/interpolate.js";
import type { Tensor } from "../tensor.js";
import { attentionRollout } from "./layers.js";

/** Options of rolloutMap(). */
export interface RolloutMapOptions {
  /** Whether the first token is a class token: the map is what reaches it. Else the mean over the tokens. Default true. */
  classToken?: boolean;
  /** How the patches become pixels: each a square of one value, or smoothed. Default "nearest". */
  mode?: "nearest" | "bilinear";
}

/**
 * attentionRollout() as a map in a picture's size: how much each patch reaches the class token at the end, or, where there
 * is none, the tokens in the mean. Patches lie in rows of a square grid, as VisionTransformer cuts them.
 *
 * @param maps weights of each layer, first to last, [n, heads, t, t]: VisionTransformer.attentionMaps(x)
 * @param size height and width of the picture in pixels, or one number for both
 * @returns [n, h, w]
 * @throws Error where the patches are no square grid
 * @example
 * const vit = new models.VisionTransformer({ classes: 3, imageSize: 8, patch: 4, dim: 8, depth: 2, heads: 2 });
 * const map = explain.rolloutMap(vit.attentionMaps(randn([2, 3, 8, 8])), 8); // [2, 8, 8]
 */
export function rolloutMap(
  maps: readonly Tensor[],
  size: number | readonly [height: number, width: number],
  { classToken = true, mode = "nearest" }: RolloutMapOptions = {},
): Tensor {
  return noGrad(() => {
    const flow = attentionRollout(maps);
    const [n, t] = flow.shape as [number, number, number];
    const patches = classToken ? t - 1 : t;
    const side = Math.round(Math.sqrt(patches));
    const what = classToken ? "tokens of a square grid and a class token" : "tokens of a square grid";
    expect(side > 0 && side ** 2 === patches, "rolloutMap", what, show(flow.shape));
    const reached = classToken ? flow.slice(null, 0, [1]) : flow.mean(1);
    return interpolate(reached.reshape([n, 1, side, side]), { size, mode }).squeeze(1);
  });
}
