/** @file Elementwise kernels within their bounds on every float32, in the instruction set in use. */
import { expect, it } from "vitest";
import { ACCURACY, worstOf } from "../accuracy.js";

it.each(Object.entries(ACCURACY))("%s", (_, accurate) => {
  const worst = worstOf(accurate, 1);
  expect(worst.error, JSON.stringify(worst)).toBeLessThanOrEqual(1);
});
