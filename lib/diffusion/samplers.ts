/**
 * Samplers: from noise to pictures along a falling sequence of times. All of them ask the network for x_0 and the noise at
 * x_t and differ in how they go to the next time; a step to "before 0" answers x_0.
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { ScopeInParts, unscoped } from "../memory.js";
import { addon, breathe } from "../native.js";
import { where } from "../ops/arithmetic.js";
import { full } from "../ops/create.js";
import { type GeneratorOption, randn } from "../ops/random.js";
import { storagesSoFar, type Tensor } from "../tensor.js";
import type { GaussianDiffusion, Prediction, SamplingDenoiser } from "./process.js";

/**
 * - `ddpm`: ancestral sampling (Ho et al. 2020), noise at each step
 * - `ddim`: the deterministic path (Song et al., "Denoising diffusion implicit models", 2020), or with `eta` between both
 * - `dpm++2m`: DPM-Solver++ of second order (Lu et al. 2022), which uses the last prediction again
 * - `heun`: Heun's method on the probability flow (Karras et al. 2022), two predictions a step
 */
export type Sampler = "ddpm" | "ddim" | "dpm++2m" | "heun";

/** Options of GaussianDiffusion.sample(). */
export interface SampleOptions extends GeneratorOption {
  /** Default "ddim". */
  sampler?: Sampler;
  /** Steps, evenly over the times. Default: all for "ddpm", else at most 50. */
  steps?: number;
  /** Share of "ddpm"'s noise in "ddim": 0 is deterministic, 1 is "ddpm". Default 0. */
  eta?: number;
  /** What the pictures are conditioned on. Default null. */
  condition?: Tensor | null;
  /**
   * Classifier-free guidance (Ho & Salimans 2022): output without the condition + guidance times what the condition
   * changes. 1 is the condition as it is; the paper's w is guidance - 1. Default 1.
   */
  guidance?: number;
  /** Bound predicted pictures to [-1, 1]. Default true. */
  clip?: boolean;
  /** The noise to begin with. Default: drawn. */
  start?: Tensor;
  /** Keeps `image` where the bool `mask` (it broadcasts to the pictures) is true, and draws the rest (Lugmayr et al., "RePaint", 2022). */
  inpaint?: {
    /** In [-1, 1]. */
    image: Tensor;
    /** True at what is known. */
    mask: Tensor;
    /** How often each step is gone, so that the known and the drawn agree. Default 1. */
    resample?: number;
  };
  /** Called behind each step with the pictures so far (x_0 as predicted) and the time. They are freed afterwards: clone() to keep. */
  onStep?: (xStart: Tensor, t: number) => void;
}

/** What a step knows: where it stands, where it goes, ab at both (1 before time 0), and the prediction. */
interface Step {
  x: Tensor;
  xStart: Tensor;
  noise: Tensor;
  now: number;
  next: number;
  /** The prediction of the last step, and log(signal / noise) there. */
  last: { xStart: Tensor; lambda: number } | null;
  predict: (x: Tensor, t: number) => Promise<Prediction>;
  /** Runs a part of the step, without gradient, in the step's scope. */
  within: <T>(fn: () => T) => T;
  time: number;
  nextTime: number;
  draw: () => Tensor;
  eta: number;
}

function ddim({ xStart, noise, now, next, eta, draw }: Step): Tensor {
  if (next === 1) return xStart;
  const sigma = eta * Math.sqrt(((1 - now / next) * (1 - next)) / (1 - now));
  const mean = xStart.mul(Math.sqrt(next)).add(noise.mul(Math.sqrt(Math.max(0, 1 - next - sigma ** 2))));
  return sigma > 0 ? mean.add(draw().mul(sigma)) : mean;
}

const lambdaOf = (ab: number): number => Math.log(ab / (1 - ab)) / 2;

function dpmSolver({ x, xStart, now, next, last }: Step): Tensor {
  if (next === 1) return xStart;
  const h = lambdaOf(next) - lambdaOf(now);
  let d = xStart;
  if (last) {
    const r = (lambdaOf(now) - last.lambda) / h;
    d = xStart.mul(1 + 1 / (2 * r)).sub(last.xStart.mul(1 / (2 * r)));
  }
  return x.mul(Math.sqrt((1 - next) / (1 - now))).sub(d.mul(Math.sqrt(next) * Math.expm1(-h)));
}

async function heun({ x, noise, xStart, now, next, nextTime, predict, within }: Step): Promise<Tensor> {
  if (next === 1) return xStart;
  // In y = x / signal and s = noise / signal the path is dy/ds = the noise.
  const [s, to] = [Math.sqrt(1 / now - 1), Math.sqrt(1 / next - 1)];
  const y = within(() => x.div(Math.sqrt(now)));
  const euler = within(() => y.add(noise.mul(to - s)).mul(Math.sqrt(next)));
  const there = await predict(euler, nextTime);
  return within(() => y.add(noise.add(there.noise).mul((to - s) / 2)).mul(Math.sqrt(next)));
}

const STEPS: Record<Sampler, (step: Step) => Tensor | Promise<Tensor>> = {
  ddpm: (step) => ddim({ ...step, eta: 1 }),
  ddim,
  "dpm++2m": dpmSolver,
  heun,
};

/** Steps that a sampler takes where none are asked for. */
export const defaultSteps = (sampler: Sampler, timesteps: number): number =>
  sampler === "ddpm" ? timesteps : Math.min(50, timesteps);

/** `steps` times from `timesteps` - 1 to 0, evenly. */
function timesOf(timesteps: number, steps: number): number[] {
  return Array.from({ length: steps }, (_, i) => Math.floor(((steps - i) * timesteps) / steps) - 1);
}

export async function sample(
  process: GaussianDiffusion,
  network: SamplingDenoiser,
  shape: readonly number[],
  {
    sampler = "ddim",
    steps = defaultSteps(sampler, process.timesteps),
    eta = 0,
    condition = null,
    guidance = 1,
    clip = true,
    start,
    inpaint,
    onStep,
    generator,
  }: SampleOptions = {},
): Promise<Tensor> {
  const op = "GaussianDiffusion.sample";
  if (!Object.hasOwn(STEPS, sampler))
    throw new RangeError(`${op}: expected a sampler ${Object.keys(STEPS).join(", ")}, got ${JSON.stringify(sampler)}`);
  if (!Number.isSafeInteger(steps) || steps < 1 || steps > process.timesteps)
    throw new RangeError(`${op}: expected steps from 1 to ${process.timesteps}, got ${steps}`);
  if (!(eta >= 0 && eta <= 1)) throw new RangeError(`${op}: expected eta from 0 to 1, got ${eta}`);
  expect(shape.length >= 2, op, "a shape [n, ...] of pictures", show(shape));
  if (start) expect(show(start.shape) === show(shape), op, `a start of shape ${show(shape)}`, show(start.shape));
  const rounds = inpaint?.resample ?? 1;
  if (!Number.isSafeInteger(rounds) || rounds < 1)
    throw new RangeError(`${op}: expected inpaint.resample to be a whole number from 1 up, got ${rounds}`);

  const n = shape[0]!;
  const step = new ScopeInParts();
  // noGrad() refuses promises, so what may be one goes through it in an array.
  const within = <T>(fn: () => T): T => step.run(() => noGrad(() => [fn()] as const))[0];
  const draw = () => randn(shape, { generator });
  const ask = async (x: Tensor, t: Tensor, given: Tensor | null): Promise<Tensor> => {
    const inside = new ScopeInParts(); // of what the network makes on its way
    const before = storagesSoFar();
    let output: Tensor | undefined;
    try {
      [output] = await Promise.all(inside.run(() => noGrad(() => [network(x, t, given)] as const)));
    } finally {
      inside.close(output);
    }
    if (output.storage.birth > before) step.adopt(output); // else it is somebody's
    return output;
  };
  const predict = async (x: Tensor, time: number): Promise<Prediction> => {
    const t = within(() => full([n], time, { dtype: "int32" }));
    const given = await ask(x, t, condition);
    const without = condition !== null && guidance !== 1 ? await ask(x, t, null) : null;
    return within(() => {
      const output = without ? without.add(given.sub(without).mul(guidance)) : given;
      const { xStart, noise } = process.predictions(output, x, t, clip);
      return { xStart: xStart === output || xStart === x ? xStart.clone() : xStart, noise }; // it is freed, those may be somebody's
    });
  };
  const times = timesOf(process.timesteps, steps);
  const ab = (time: number) => (time < 0 ? 1 : process.alphasCumprod[time]!);

  let x = noGrad(() => (start ? start.clone() : draw()));
  let last: Step["last"] = null;
  let done = false;
  try {
    for (const [i, time] of times.entries()) {
      const nextTime = times[i + 1] ?? -1;
      const [now, next] = [ab(time), ab(nextTime)];
      for (let round = 0; round < rounds; round++) {
        const { xStart, noise } = await predict(x, time);
        const known = { x, xStart, noise, now, next, last, predict, within, time, nextTime, draw, eta };
        const moved = await within(() => STEPS[sampler](known));
        const made = within(() => {
          let y = moved;
          if (inpaint) {
            const image =
              nextTime < 0
                ? inpaint.image
                : process.qSample(inpaint.image, full([n], nextTime, { dtype: "int32" }), draw());
            y = where(inpaint.mask, image, y);
            if (round < rounds - 1) y = y.mul(Math.sqrt(now / next)).add(draw().mul(Math.sqrt(1 - now / next))); // back to this time
          }
          unscoped(() => onStep?.(xStart, time));
          return y === xStart ? y.clone() : y;
        });
        step.close([made, xStart]);
        x.free();
        x = made;
        if (round < rounds - 1)
          xStart.free(); // the next round is at this time again: between equal times there is no slope
        else {
          last?.xStart.free();
          last = { xStart, lambda: lambdaOf(now) };
        }
        await addon.settled();
        await breathe();
      }
    }
    done = true;
    return x;
  } finally {
    step.close();
    last?.xStart.free();
    if (!done) x.free();
  }
}
