/** @file Elementwise kernels within their bounds, on every 16,381st float32, in every instruction set; test/long has more. */
import { expect, it } from "vitest";
import { ACCURACY, withEach, worstOf } from "../accuracy.js";

it.each(Object.entries(ACCURACY))("%s", (_, accurate) => {
  withEach((isa) => {
    const worst = worstOf(accurate, 16381);
    expect(worst.error, `${isa}: ${JSON.stringify(worst)}`).toBeLessThanOrEqual(1);
  });
});
