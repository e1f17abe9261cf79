/**
 * Training steps of models that the examples train: `npm run bench -- zoo`. Each is a step as the Trainer runs it, captured,
 * its loss read; the models are those of lib/models, PyTorch's stand in bench/rivals/torch_zoo.py, and both must have the
 * same number of parameters. FLOPs: three times those of forward by summary().
 */
import type { Case } from "./cases.js";

const step = (name: string, count: number, of: "pictures" | "tokens", gflop: number): Case => ({
  ...{ name, op: "zoo", params: {}, gflop, gbyte: 0, suite: "zoo", items: { count, of } },
});

export const zoo: Case[] = [
  step("ResNet-20 32x32 batch 128", 128, "pictures", 31.1),
  step("ViT patch 4 dim 192 depth 6 batch 64", 64, "pictures", 70.2),
  step("GPT 4x128 context 64 batch 12", 12 * 64, "tokens", 3.96),
];
