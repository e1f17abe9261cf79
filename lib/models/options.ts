/** @file What every model of the zoo is told about its pictures. */

/** Options of every model. */
export interface ModelOptions {
  /** Number of classes: scores a picture. Default 10. */
  classes?: number;
  /** Channels of a picture. Default 1. */
  inChannels?: number;
  /** Height and width of a picture in pixels. Default 28. */
  imageSize?: number;
}

/** The options with their defaults; throws for what is no positive whole number, or too small a picture. */
export function modelOptions(
  model: string,
  { classes = 10, inChannels = 1, imageSize = 28 }: ModelOptions,
  smallest = 1,
): Required<ModelOptions> {
  for (const [name, value, from] of [
    ["classes", classes, 1],
    ["inChannels", inChannels, 1],
    ["imageSize", imageSize, smallest],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < from)
      throw new RangeError(`${model}: expected ${name} to be a whole number from ${from} up, got ${value}`);
  }
  return { classes, inChannels, imageSize };
}
