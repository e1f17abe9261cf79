/**
 * @file Elementwise kernels within their bounds on every 61st float32, in the instruction set in use; with
 * NAPIER_EVERY_FLOAT=1 on all of them, which takes an hour.
 */
import { expect, it } from "vitest";
import { ACCURACY, worstOf } from "../accuracy.js";

const stride = process.env.NAPIER_EVERY_FLOAT ? 1 : 61;

it.each(Object.entries(ACCURACY))("%s", (_, accurate) => {
  const worst = worstOf(accurate, stride);
  expect(worst.error, JSON.stringify(worst)).toBeLessThanOrEqual(1);
});
