/**
 * Noise schedules: how much of the picture is left after t of T steps, as the betas of each step in float64.
 */

const clipped = (betas: Float64Array): Float64Array => betas.map((b) => Math.min(Math.max(b, 0), 0.999));

/** Betas of a curve of what is left, with alphaBar(0) as 1. */
function betasOf(timesteps: number, alphaBar: (share: number) => number): Float64Array {
  const start = alphaBar(0);
  const left = Array.from({ length: timesteps + 1 }, (_, i) => alphaBar(i / timesteps) / start);
  return clipped(Float64Array.from({ length: timesteps }, (_, i) => 1 - left[i + 1]! / left[i]!));
}

/** Betas from 1e-4 to 0.02 (Ho et al., "Denoising diffusion probabilistic models", 2020), scaled to `timesteps`. */
export function linearSchedule(timesteps: number): Float64Array {
  const [from, to] = [0.1 / timesteps, 20 / timesteps];
  return Float64Array.from({ length: timesteps }, (_, i) =>
    timesteps === 1 ? from : from + ((to - from) * i) / (timesteps - 1),
  );
}

/** cos^2 of (t/T + s) / (1 + s) quarter turns is left (Nichol & Dhariwal, "Improved DDPM", 2021). */
export function cosineSchedule(timesteps: number, s = 0.008): Float64Array {
  return betasOf(timesteps, (t) => Math.cos((((t + s) / (1 + s)) * Math.PI) / 2) ** 2);
}

/** A sigmoid from `start` to `end` is left (Jabri et al., "Scalable adaptive computation", 2022). */
export function sigmoidSchedule(timesteps: number, { start = -3, end = 3, tau = 1 } = {}): Float64Array {
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  const [first, last] = [sigmoid(start / tau), sigmoid(end / tau)];
  return betasOf(timesteps, (t) => (last - sigmoid((t * (end - start) + start) / tau)) / (last - first));
}

/** The schedules by name. */
export const SCHEDULES = {
  /** See linearSchedule(). */
  linear: linearSchedule,
  /** See cosineSchedule(). */
  cosine: cosineSchedule,
  /** See sigmoidSchedule(). */
  sigmoid: sigmoidSchedule,
} as const;
