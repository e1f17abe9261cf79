/**
 * A line search for the strong Wolfe conditions (Nocedal & Wright, "Numerical optimization", algorithms 3.5 and 3.6), step
 * for step that of minFunc and PyTorch: widen an interval until it holds a good point, then narrow it by cubic interpolation.
 */
import type { Tensor } from "../tensor.js";

/** The loss at distance t along the direction, its gradient, and the gradient's product with the direction. */
export interface Evaluation {
  t: number;
  loss: number;
  grad: Tensor;
  slope: number;
}

/** Least point of the cubic through two points with their slopes, within [low, high]. */
function cubicMinimum(a: Evaluation, b: Evaluation, low = Math.min(a.t, b.t), high = Math.max(a.t, b.t)): number {
  const d1 = a.slope + b.slope - (3 * (a.loss - b.loss)) / (a.t - b.t);
  const square = d1 ** 2 - a.slope * b.slope;
  if (!(square >= 0)) return (low + high) / 2;
  const d2 = Math.sqrt(square);
  const at =
    a.t <= b.t
      ? b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
      : a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2));
  return Math.min(Math.max(at, low), high);
}

const ARMIJO = 1e-4;
const CURVATURE = 0.9;
const MOST_ITERATIONS = 25;

/**
 * @param at evaluates the loss at a distance
 * @param origin the evaluation at 0
 * @param first the distance to try first
 * @param options size: largest element of the direction; tolerance: an interval that moves no element by more ends the search
 */
export async function strongWolfe(
  at: (t: number) => Promise<Evaluation>,
  origin: Evaluation,
  first: number,
  { size, tolerance }: { size: number; tolerance: number },
): Promise<{ best: Evaluation; evaluations: number }> {
  let now = await at(first);
  let evaluations = 1;
  let previous = origin;
  let iteration = 0;
  let done = false;
  let bracket: Evaluation[] | null = null;
  const tooHigh = (e: Evaluation): boolean => e.loss > origin.loss + ARMIJO * e.t * origin.slope;
  const flatEnough = (e: Evaluation): boolean => Math.abs(e.slope) <= -CURVATURE * origin.slope;

  while (iteration < MOST_ITERATIONS) {
    if (tooHigh(now) || (iteration > 1 && now.loss >= previous.loss)) {
      bracket = [previous, now];
      break;
    }
    if (flatEnough(now)) {
      bracket = [now];
      done = true;
      break;
    }
    if (now.slope >= 0) {
      bracket = [previous, now];
      break;
    }
    const next = cubicMinimum(previous, now, now.t + 0.01 * (now.t - previous.t), now.t * 10);
    previous = now;
    now = await at(next);
    evaluations++;
    iteration++;
  }
  bracket ??= [origin, now];

  let stuck = false;
  const orderOf = (b: Evaluation[]): [number, number] => (b[0]!.loss <= b.at(-1)!.loss ? [0, 1] : [1, 0]);
  let [low, high] = orderOf(bracket);
  while (!done && iteration < MOST_ITERATIONS) {
    const [a, b] = bracket as [Evaluation, Evaluation];
    if (Math.abs(b.t - a.t) * size < tolerance) break;
    let t = cubicMinimum(a, b);
    const [least, most] = [Math.min(a.t, b.t), Math.max(a.t, b.t)];
    const edge = 0.1 * (most - least);
    if (Math.min(most - t, t - least) < edge) {
      // Close to an end for the second time, or at it: a tenth inwards.
      if (stuck || t >= most || t <= least) {
        t = Math.abs(t - most) < Math.abs(t - least) ? most - edge : least + edge;
        stuck = false;
      } else stuck = true;
    } else stuck = false;
    now = await at(t);
    evaluations++;
    iteration++;
    if (tooHigh(now) || now.loss >= bracket[low]!.loss) {
      bracket[high] = now;
      [low, high] = orderOf(bracket);
      continue;
    }
    if (flatEnough(now)) done = true;
    else if (now.slope * (bracket[high]!.t - bracket[low]!.t) >= 0) bracket[high] = bracket[low]!;
    bracket[low] = now;
  }
  return { best: bracket[bracket.length === 1 ? 0 : low]!, evaluations };
}
