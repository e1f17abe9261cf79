/**
 * Pictures drawn by a diffusion model: `npm run bench -- sampling`. The U-Net of examples/diffusion.ts (28x28, classes), 50
 * steps of DDIM with guidance, so 100 times the network; by GaussianDiffusion.sample with the network captured, by eager with
 * the network as it is. PyTorch's stands in bench/rivals/torch_sampling.py. FLOPs: those of forward by summary().
 */
import type { Case } from "./cases.js";

const STEPS = 50;

export const sampling: Case[] = [1, 4, 64].map((n) => ({
  name: `DDIM ${STEPS} steps, guidance, U-Net 28x28 dim 16 batch ${n}`,
  op: "sampling",
  params: { n, steps: STEPS },
  gflop: 0.1063 * 2 * STEPS * n,
  gbyte: 0,
  items: { count: n, of: "pictures" },
}));
