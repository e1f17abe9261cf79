/** Whole networks in evaluation mode: `npm run bench -- inference`. The result is read each time. */
import type { Case } from "./cases.js";

/** ResNet-18 at 224 pixels: 1.81 * 10^9 multiply-adds a picture. */
export const inference: Case[] = [1, 16].map((n) => ({
  name: `resnet18 224 batch ${n}`,
  op: "inference",
  params: { n },
  gflop: 3.63 * n,
  gbyte: 0,
}));
