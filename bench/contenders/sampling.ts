/** The cases of bench/sampling.ts; bench/rivals/torch_sampling.py has the same network. */
import { capture, diffusion, full, manualSeed, models, noGrad, type Tensor } from "napier";
import type { Case } from "../cases.js";
import type { Checked } from "./serve.js";

/** A batch, its pixels read; what is compared is the number of parameters. */
export function samplingRun({ params }: Case, eager: boolean): Checked {
  manualSeed(0);
  const { n, steps } = params as { n: number; steps: number };
  const sizes = { dim: 16, dimMults: [2, 4], channels: 1, classes: 10, dropout: 0 };
  const network = new models.UNet({ layout: "cs231n", ...sizes }).eval();
  const process = new diffusion.GaussianDiffusion({ objective: "v" });
  const forward = (x: Tensor, t: Tensor, c: Tensor | null) => noGrad(() => network.forward(x, t, c));
  const denoise = eager ? forward : capture(forward, { warmup: 0 });
  const condition = full([n], 3, { dtype: "int32" });
  const run = async () => {
    const x = await process.sample(denoise, [n, 1, 28, 28], { steps, condition, guidance: 3 });
    await x.data();
    x.free();
  };
  return { run, result: async () => [network.parameters().reduce((sum, p) => sum + p.size, 0)] };
}
