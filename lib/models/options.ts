/** @file What every model of the zoo is told about its pictures, and what their constructors share. */
import type { Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import type { Tensor } from "../tensor.js";

/** Options of every model. */
export interface ModelOptions {
  /** Number of classes: scores a picture. Default 10; 1000 for models made for ImageNet. */
  classes?: number;
  /** Channels of a picture. Default 1; 3 for models made for colour pictures. */
  inChannels?: number;
  /** Height and width of a picture in pixels. Default 28; what its paper used for the others. Most models take any size. */
  imageSize?: number;
}

/** What a model made for ImageNet assumes. */
export const IMAGENET: Required<ModelOptions> = { classes: 1000, inChannels: 3, imageSize: 224 };
/** What a model made for CIFAR-10 assumes. */
export const CIFAR: Required<ModelOptions> = { classes: 10, inChannels: 3, imageSize: 32 };

/** The options with their defaults; throws for what is no positive whole number, or too small a picture. */
export function modelOptions(
  model: string,
  given: ModelOptions,
  smallest = 1,
  defaults: Required<ModelOptions> = { classes: 10, inChannels: 1, imageSize: 28 },
): Required<ModelOptions> {
  const options = { ...defaults };
  for (const [name, from] of [
    ["classes", 1],
    ["inChannels", 1],
    ["imageSize", smallest],
  ] as const) {
    options[name] = wholeNumber(model, name, given[name] ?? defaults[name], from);
  }
  return options;
}

/** `value`, where it is a whole number from `from` up. */
export function wholeNumber(model: string, name: string, value: number, from = 1): number {
  if (!Number.isSafeInteger(value) || value < from)
    throw new RangeError(`${model}: expected ${name} to be a whole number from ${from} up, got ${value}`);
  return value;
}

/** `value`, where it is a share from 0 to 1. */
export function share(model: string, name: string, value: number): number {
  if (!(value >= 0 && value <= 1)) throw new RangeError(`${model}: expected ${name} to be from 0 to 1, got ${value}`);
  return value;
}

/**
 * Throws a sentence where x is not [n, inChannels, h, w] with sides of at least `smallest`.
 *
 * @param last side of the maps that the last batch normalisation gets of a side of x: in training it takes means over them
 *   and the batch, so one place of one picture is too little
 */
export function expectPictures(
  model: Module,
  x: Tensor,
  inChannels: number,
  smallest: number,
  last?: (side: number) => number,
): void {
  const [n, c, h, w] = x.shape;
  const name = model.constructor.name;
  if (!(x.ndim === 4 && c === inChannels && h! >= smallest && w! >= smallest))
    throw new RangeError(
      `${name}: expected pictures [n,${inChannels},h,w] of at least ${smallest}x${smallest} pixels, got [${x.shape}]`,
    );
  const learns = () => model.modules().some((m) => m instanceof BatchNorm2d && m.training);
  if (last && n === 1 && last(h!) * last(w!) === 1 && learns())
    throw new RangeError(
      `${name}: expected two pictures or more in training, for batch normalisation over 1x1 places, got [${x.shape}]; call eval() to score one, or take larger pictures`,
    );
}

/** Sets `module[name] = child` for names that a loop makes. */
export function place<M extends Module>(module: Module, name: string, child: M): M {
  (module as unknown as Record<string, Module>)[name] = child;
  return child;
}
