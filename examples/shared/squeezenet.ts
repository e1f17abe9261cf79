/**
 * SqueezeNet 1.0 with its published weights for ImageNet and 25 of ImageNet's validation pictures, or one with random
 * weights and drawn scenes where no directory is given.
 *
 *     squeezenet1_0_deepcompressed.safetensors   under torchvision's keys; Caffe's pictures: blue first, levels less a mean
 *     imagenet_val_25_X_u8_nhwc.npy              uint8 [25,224,224,3], red first
 *     imagenet_val_25_y.npy                      [25]
 *     imagenet_class_names.json                  1,000 names
 *
 * Pictures are the notebooks' here: red first, less ImageNet's mean, of a deviation near 1. The first convolution's weights
 * take over what Caffe's differ by, so that they can be looked at as pictures too.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  data,
  type explain,
  interpolate,
  io,
  manualSeed,
  models,
  noGrad,
  scope,
  type Tensor,
  tensor,
  train,
} from "napier";

export const seed = 231;
/** Levels of a pixel that are 0 to the network, red first; and how many are 1. */
const MEAN = [123, 117, 104];
export const LEVELS = 58;

/** Black and white, one a channel: bounds of the pixels. */
export const range: explain.PixelRange = [0, 255].map((level) =>
  tensor(
    MEAN.map((mean) => (level - mean) / LEVELS),
    [3, 1, 1],
  ),
) as [Tensor, Tensor];

export interface ImageNetPictures {
  name: "imagenet-val-25" | "fallback";
  model: models.SqueezeNet;
  /** [n, 3, h, w], about mean 0 and deviation 1. */
  x: Tensor;
  labels: number[];
  /** Of each class. */
  names: string[];
}

async function imageNet(directory: string): Promise<ImageNetPictures> {
  const file = (name: string) => join(directory, name);
  const model = new models.SqueezeNet({ version: "1.0", finalPadding: 1 }).eval();
  const weights = await io.load(file("squeezenet1_0_deepcompressed.safetensors"));
  const first = weights["features.0.weight"]!;
  weights["features.0.weight"] = noGrad(() => first.flip([1]).mul(LEVELS));
  model.loadStateDict(weights);
  const bytes = await io.loadNpy(file("imagenet_val_25_X_u8_nhwc.npy"));
  const y = await io.loadNpy(file("imagenet_val_25_y.npy"));
  const names = JSON.parse(await readFile(file("imagenet_class_names.json"), "utf8")) as string[];
  return {
    name: "imagenet-val-25",
    model,
    x: fromLevels(bytes.permute([0, 3, 1, 2])),
    labels: Array.from(await y.data(), Number),
    names: names.map((name) => name.split(",")[0]!),
  };
}

async function scenes(): Promise<ImageNetPictures> {
  const { test } = await data.scenes({ train: 1, test: 25, heldOut: 1, size: 64 });
  manualSeed(seed);
  const model = new models.SqueezeNet({ version: "1.0", finalPadding: 1, classes: data.SCENE_KINDS.length }).eval();
  const labels = test.scenes.map(({ objects }) => data.SCENE_KINDS.indexOf(objects[0]!.kind));
  return { name: "fallback", model, x: fromLevels(test.pictures), labels, names: [...data.SCENE_KINDS] };
}

/** Published weights and pictures of a directory, or random ones and drawings where none is given. */
export const squeezeNet = (directory?: string): Promise<ImageNetPictures> =>
  directory ? imageNet(directory) : scenes();

const mean = tensor(MEAN, [3, 1, 1]);

/** Levels from 0 to 255 [n, 3, h, w], as the network takes them. */
export const fromLevels = (levels: Tensor): Tensor =>
  scope(() => noGrad(() => levels.to("float32").sub(mean).div(LEVELS)));

/** Back to levels, rounded, as a file would have them. */
export const toLevels = (x: Tensor): Tensor => scope(() => noGrad(() => x.mul(LEVELS).add(mean).clamp(0, 255).round()));

/** Pictures [n, 3, h, w] of any one scale, in another size. */
export const resized = (x: Tensor, size: number): Tensor =>
  noGrad(() => interpolate(x, { size: [size, size], mode: "bilinear", antialias: true }));

/** Levels [n, 3, h, w] as a grid of tiles of `size` pixels: examples/results/NAME.png, or runs/NAME.png of drawn scenes. */
export async function savePictures(
  dataset: ImageNetPictures["name"],
  name: string,
  levels: Tensor,
  { size, columns }: { size: number; columns: number },
): Promise<void> {
  const folder = dataset === "fallback" ? "runs" : "examples/results";
  await train.saveImageGrid(`${folder}/${name}.png`, resized(levels, size), { range: [0, 255], columns });
}
