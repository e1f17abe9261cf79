/**
 * Tables of taps for interpolate(): how each mode makes output i of one axis from neighbouring inputs. The rules, rounding
 * included, are PyTorch's (aten/src/ATen/native/UpSample.h).
 */

export type InterpolateMode = "nearest" | "nearest-exact" | "linear" | "bilinear" | "trilinear" | "bicubic" | "area";

/** Output i is the sum of `taps` inputs from start[i] on, weighed by weights[i taps ...]. taps 0: output i is input i. */
export interface Taps {
  taps: number;
  start: Int32Array;
  weights: Float64Array;
}

/** One axis of an interpolation. */
export interface Axis {
  mode: InterpolateMode;
  /** Extents before and after. */
  input: number;
  output: number;
  /** The factor that was asked for, or null: by the extents. */
  factor: number | null;
  alignCorners: boolean;
  antialias: boolean;
}

/** The cubic convolution of Keys (1981). */
function cubic(distance: number, a: number): number {
  const x = Math.abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/** (first input, weights) of output i. */
type Filter = (i: number) => [first: number, weights: number[]];

function filterOf({ mode, input, output, factor, alignCorners, antialias }: Axis): Filter {
  const last = input - 1;
  const ratio = factor === null ? input / output : 1 / factor;
  if (mode === "nearest" || mode === "nearest-exact") {
    const scale = Math.fround(ratio); // PyTorch's is a float
    const shift = mode === "nearest" ? 0 : 0.5;
    if (output === input) return (i) => [i, [1]];
    return (i) => [Math.min(Math.floor(Math.fround((i + shift) * scale)), last), [1]];
  }
  if (mode === "area") {
    return (i) => {
      const first = Math.floor((i * input) / output);
      const count = Math.ceil(((i + 1) * input) / output) - first;
      return [first, new Array<number>(count).fill(1 / count)];
    };
  }
  const scale = alignCorners ? (output > 1 ? last / (output - 1) : 0) : ratio;
  const isCubic = mode === "bicubic";
  if (antialias) {
    // The filter is stretched over the inputs that an output covers, and its weights made to sum to 1.
    const stretch = Math.max(scale, 1);
    const support = (isCubic ? 2 : 1) * stretch;
    const weigh = isCubic ? (x: number) => cubic(x, -0.5) : (x: number) => Math.max(1 - Math.abs(x), 0);
    return (i) => {
      const center = scale * (i + 0.5);
      const first = Math.max(Math.trunc(center - support + 0.5), 0);
      const count = Math.max(Math.min(Math.trunc(center + support + 0.5), input) - first, 0);
      const weights = Array.from({ length: count }, (_, k) => weigh((k + first - center + 0.5) / stretch));
      const total = weights.reduce((a, b) => a + b, 0);
      return [first, total === 0 ? weights : weights.map((w) => w / total)];
    };
  }
  const source = (i: number): number => (alignCorners ? scale * i : scale * (i + 0.5) - 0.5);
  if (isCubic) {
    return (i) => {
      const base = Math.min(Math.floor(source(i)), last);
      const far = Math.min(Math.max(source(i) - base, 0), 1);
      return [base - 1, [-1, 0, 1, 2].map((k) => cubic(far - k, -0.75))];
    };
  }
  return (i) => {
    const at = Math.max(source(i), 0);
    const base = Math.min(Math.floor(at), last);
    const far = Math.min(Math.max(at - base, 0), 1);
    return [base, [1 - far, far]];
  };
}

/** The table of one axis. Taps beyond an edge are taken at the edge. */
export function tapsOf(axis: Axis): Taps {
  const { input, output } = axis;
  const filter = filterOf(axis);
  const inside = (at: number): number => Math.min(Math.max(at, 0), input - 1);
  let taps = 1;
  let same = input === output; // whether output i is input i, for all of them
  for (let i = 0; i < output; i++) {
    const [first, weights] = filter(i);
    taps = Math.max(taps, inside(first + weights.length - 1) - inside(first) + 1);
    same &&= weights.every((w, k) => w === (first + k === i ? 1 : 0));
  }
  if (same) return { taps: 0, start: new Int32Array(0), weights: new Float64Array(0) };
  const start = new Int32Array(output);
  const table = new Float64Array(output * taps);
  for (let i = 0; i < output; i++) {
    const [first, weights] = filter(i);
    // A shorter list at the end begins earlier, with zeros before it.
    start[i] = Math.min(inside(first), input - taps);
    for (let k = 0; k < weights.length; k++) table[i * taps + inside(first + k) - start[i]!]! += weights[k]!;
  }
  return { taps, start, weights: table };
}
