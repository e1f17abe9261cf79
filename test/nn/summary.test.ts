/** @file summary() of every family: rows and counts, and that pictures are followed beside other inputs. */
import type { nn } from "napier";
import { expect, test } from "vitest";
import { SMALLEST } from "../models/smallest.js";

const summaryOf = (name: keyof typeof SMALLEST) => SMALLEST[name]!.make().summary(SMALLEST[name]!.inputs());

test.each(Object.entries(SMALLEST))("%s", (_, { make, inputs }) => {
  const model: nn.Module = make();
  const [x, before] = [inputs(), model.modules().map((m) => m.training)];
  const text = model.summary(x);
  const parameters = model.parameters().reduce((n, p) => n + p.size, 0);
  expect(text).toContain(`Parameters: ${parameters.toLocaleString("en-US")} (`);
  // Outputs in an object have their shapes, too.
  expect(text.split("\n")[2]).toMatch(new RegExp(`^${model.constructor.name} +\\[`));
  expect(/ {2}(\d+|\d+x\d+|all)$/m.test(text), text).toBe(x.some((t) => t.ndim === 4));
  expect(model.modules().map((m) => m.training)).toEqual(before);
});

// From the layers: 7x7; a 3x3 first and, until the first 2x2 of stride 2, four more; a patch of 4x4; 5x5, 2x2 of stride 2,
// 5x5 at every other pixel, 2x2 of stride 2.
test.each([
  ["UNet", "init_conv: Conv2d", "7"],
  ["UNet, the assignment's", "init_conv: Conv2d", "3"],
  ["DiT", "x_embedder: PatchEmbed", "4"],
  ["DcganDiscriminator", "5: MaxPool2d", "16"],
])("the field of %s, of several inputs, at %s: %s pixels", (name, row, field) => {
  const line = summaryOf(name)
    .split("\n")
    .find((l) => l.includes(row))!;
  expect(line.split(/\s{2,}/).at(-1)).toBe(field);
});
