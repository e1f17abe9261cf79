/**
 * Scaled dot-product attention (Vaswani et al. 2017): y = softmax(scale q k^T + mask) v.
 *
 * The kernel keeps the log sum exp of each row of scores and makes the scores again in the backward pass, block by block
 * (Dao et al. 2022, "FlashAttention"): the score matrix [t, s] never exists. The composed form below stores it; it is the
 * second derivative's, and that of a mask with a gradient.
 */

import { expect, show } from "../errors.js";
import { isGradEnabled, record } from "../graph.js";
import { k as kernels } from "../native.js";
import { type Draw, defaultGenerator, Generator } from "../random.js";
import { empty, sizeOfShape, type Tensor } from "../tensor.js";
import { add, div, equal, greaterEqual, mul, sub, where } from "./arithmetic.js";
import { broadcastShapes, broadcastStrides, expectFloat, expectSameDType } from "./common.js";
import { arange, full, ones } from "./create.js";
import { exp } from "./elementwise.js";
import { matmul } from "./matmul.js";
import { dropout, type GeneratorOption } from "./random.js";
import { amax, sum, sumTo } from "./reduce.js";
import { expand, reshape, slice, unsqueeze } from "./shape.js";

/** Options of scaledDotProductAttention and attentionWithWeights. */
export interface AttentionOptions extends GeneratorOption {
  /**
   * Broadcasts to the scores [..., t, s]. bool: true where a query may look; floats of q's dtype: added to the scores. A
   * float mask that requires a gradient gets one, and the scores are then stored.
   */
  mask?: Tensor | null;
  /** Query i sees keys 0 to i only. May be combined with `mask`. Default false. */
  causal?: boolean;
  /** Probability that a weight is dropped; the caller passes 0 in eval mode. Default 0. */
  dropout?: number;
  /** What scores are multiplied by. Default 1 / sqrt(d). */
  scale?: number;
  /** k and v may have fewer heads (their dimension -3), each shared by as many neighbouring queries. Default false. */
  enableGqa?: boolean;
}

/** Everything but tensors: what the kernels are called with, and shapes. */
interface Plan {
  /** Leading dimensions of q and y, and of k and v. */
  lead: number[];
  leadKv: number[];
  t: number;
  s: number;
  d: number;
  dv: number;
  group: number;
  causal: boolean;
  scale: number;
  p: number;
  draw: Draw;
}

/**
 * Attention of queries to keys, for every leading index.
 *
 * A row whose keys are all masked gives 0 and gradient 0, as in PyTorch since 2.5 (before: NaN): a padded row then never
 * spoils a sum. With `causal` query i sees keys 0 to i, also where t and s differ (PyTorch's rule).
 *
 * Memory: beside y one number a query, and while it runs about 1 MB a thread (more for wide heads): linear in t and s.
 *
 * @param q [..., t, d]
 * @param k [..., s, d]
 * @param v [..., s, dv]; leading dimensions of q, k and v broadcast
 * @returns [..., t, dv]
 * @example
 * const [q, k, v] = [randn([2, 4, 10, 16]), randn([2, 4, 10, 16]), randn([2, 4, 10, 16])];
 * const y = scaledDotProductAttention(q, k, v, { causal: true }); // [2, 4, 10, 16]
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  {
    mask = null,
    causal = false,
    dropout: p = 0,
    scale,
    enableGqa = false,
    generator = defaultGenerator,
  }: AttentionOptions = {},
): Tensor {
  const op = "scaledDotProductAttention";
  expectFloat(op, q);
  expectSameDType(op, q, k);
  expectSameDType(op, q, v);
  const shapes = `q ${show(q.shape)}, k ${show(k.shape)}, v ${show(v.shape)}`;
  expect(q.ndim >= 2 && k.ndim >= 2 && v.ndim >= 2, op, "q [...,t,d], k [...,s,d] and v [...,s,dv]", shapes);
  const [t, d] = q.shape.slice(-2) as [number, number];
  const [s, dv] = v.shape.slice(-2) as [number, number];
  expect(k.shape.at(-1) === d && d > 0, op, "q and k with one number of features", shapes);
  expect(k.shape.at(-2) === s, op, "k and v with one number of keys", shapes);
  expect(dv > 0, op, "v with at least one feature", shapes);
  expect(typeof p === "number" && p >= 0 && p <= 1, op, "a dropout between 0 and 1", `${p}`);
  const factor = scale ?? 1 / Math.sqrt(d);
  expect(Number.isFinite(factor), op, "a finite scale", `${scale}`);

  let leadKv = broadcastShapes(op, k.shape.slice(0, -2), v.shape.slice(0, -2));
  let lead = q.shape.slice(0, -2);
  let group = 1;
  if (enableGqa) {
    const [heads, shared] = [lead.at(-1) ?? 1, leadKv.at(-1) ?? 1];
    expect(shared > 0 && heads % shared === 0, op, "heads of q that are a multiple of those of k and v", shapes);
    group = heads / shared;
    const outer = broadcastShapes(op, lead.slice(0, -1), leadKv.slice(0, -1));
    [lead, leadKv] = [
      [...outer, heads],
      [...outer, shared],
    ];
  } else {
    lead = broadcastShapes(op, lead, leadKv);
    leadKv = lead;
  }
  const draw = p > 0 ? generator.next() : { seed: 0, draw: 0 };
  const plan: Plan = { lead, leadKv, t, s, d, dv, group, causal, scale: factor, p, draw };
  return attend(
    expand(q, [...lead, t, d]),
    expand(k, [...leadKv, s, d]),
    expand(v, [...leadKv, s, dv]),
    mask && additive(op, mask, q, [...lead, t, s]),
    plan,
  );
}

/** The mask as what is added to the scores, not expanded; errors where it does not broadcast to them. */
function additive(op: string, mask: Tensor, q: Tensor, scores: number[]): Tensor {
  const fits =
    mask.ndim <= scores.length && mask.shape.every((e, i) => e === 1 || e === scores[scores.length - mask.ndim + i]);
  expect(fits, op, `a mask that broadcasts to the scores ${show(scores)}`, show(mask.shape));
  if (mask.dtype === "bool") return where(mask, full([], 0, { dtype: q.dtype }), Number.NEGATIVE_INFINITY);
  if (mask.dtype !== q.dtype)
    throw new TypeError(
      `${op}: expected a mask of dtype bool or ${q.dtype}, got ${mask.dtype}; convert it with .to("${q.dtype}")`,
    );
  return mask;
}

function attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | null, plan: Plan): Tensor {
  if (mask?.requiresGrad && isGradEnabled()) return composed(q, k, v, mask, plan);
  const { lead, t, dv } = plan;
  const y = empty([...lead, t, dv], q.dtype);
  const lse = empty([...lead, t], q.dtype);
  kernels.attention(y, lse, q, k, v, flat(mask, plan), plan.scale, plan.p, ...sizeOf(mask, plan));
  return record(y, "scaledDotProductAttention", { q, k, v }, { q, k, v, mask, y, lse }, (dy, saved) =>
    gradients(dy, saved, plan),
  );
}

type Saved = { q: Tensor; k: Tensor; v: Tensor; mask: Tensor | null; y: Tensor; lse: Tensor };
type Made = { q: Tensor; k: Tensor; v: Tensor };

function gradients(dy: Tensor, { q, k, v, mask, y, lse }: Saved, plan: Plan) {
  let made: Made | undefined;
  const of = (name: keyof Made) => () => {
    made ??= isGradEnabled() ? composedGradients(dy, { q, k, v, mask }, plan) : fused();
    return made[name];
  };
  const fused = (): Made => {
    const [dq, dk, dv] = [empty(q.shape, q.dtype), empty(k.shape, k.dtype), empty(v.shape, v.dtype)];
    const size = sizeOf(mask, plan);
    kernels.attentionGrad(dq, dk, dv, dy, y, lse, q, k, v, flat(mask, plan), plan.scale, plan.p, ...size);
    return { q: dq, k: dk, v: dv };
  };
  return { q: of("q"), k: of("k"), v: of("v") };
}

/** The kernels read masks of four dimensions by strides; one with more leading dimensions that repeat is expanded. */
function flat(mask: Tensor | null, { lead, t, s }: Plan): Tensor | null {
  return mask && stridesOf(mask, lead) === null ? expand(mask, [...lead, t, s]) : mask;
}
function stridesOf(mask: Tensor, lead: readonly number[]): [number, number, number, number] | null {
  const shape = [...lead.map(() => 1), 1, 1].map((_, i, all) => mask.shape[i - all.length + mask.ndim] ?? 1);
  const outer = shape.slice(0, Math.max(0, lead.length - 1));
  const whole = outer.every((e, i) => e === lead[i]);
  if (!whole && sizeOfShape(outer) !== 1) return null;
  const strides = broadcastStrides(shape, shape);
  const [col, row, head] = [strides.at(-1)!, strides.at(-2)!, strides.at(-3) ?? 0];
  return [whole ? sizeOfShape(shape.slice(outer.length)) : 0, head, row, col];
}

/** seed, draw and the fields of AttentionSize. */
function sizeOf(mask: Tensor | null, { lead, t, s, d, dv, group, causal, draw }: Plan): [number, number, ...number[]] {
  const heads = Math.max(1, lead.at(-1) ?? 1);
  const strides = mask ? (stridesOf(mask, lead) ?? [heads * t * s, t * s, s, 1]) : [0, 0, 0, 0];
  return [draw.seed, draw.draw, sizeOfShape(lead), group, t, s, d, dv, Number(causal), heads, ...strides];
}

// ---- Composed of ops: scores are stored

/** The factors of dropout for [..., t, s]: the kernel's words, of rows rounded up to 64. */
function keepFactors({ lead, t, s, p, draw }: Plan, dtype: Tensor["dtype"]): Tensor {
  const wide = Math.ceil(s / 64) * 64;
  const generator = new Generator().load(draw);
  return slice(dropout(ones([...lead, t, wide], { dtype }), p, { generator }), ...lead.map(() => null), null, [0, s]);
}

/** Keys and values beside each query of their group. */
function repeated(x: Tensor, { lead, group }: Plan): Tensor {
  if (group === 1) return x;
  const tail = x.shape.slice(-2);
  const at = x.ndim - 2;
  const wide = expand(unsqueeze(x, at), [...x.shape.slice(0, at), group, ...tail]);
  return reshape(wide, [...lead, ...tail]);
}

/** softmax(scale q k^T + mask), 0 in rows that see nothing. */
function weights(q: Tensor, k: Tensor, mask: Tensor | null, plan: Plan): Tensor {
  let scores = mul(matmul(q, repeated(k, plan), { transB: true }), plan.scale);
  if (mask) scores = add(scores, mask);
  if (plan.causal) {
    const sees = greaterEqual(unsqueeze(arange(plan.t), 1), arange(plan.s));
    scores = where(sees, scores, Number.NEGATIVE_INFINITY);
  }
  if (plan.s === 0) return scores;
  const top = amax(scores, -1, { keepDims: true }).detach();
  const e = exp(sub(scores, where(equal(top, Number.NEGATIVE_INFINITY), 0, top)));
  const total = sum(e, -1, { keepDims: true });
  return div(e, where(equal(total, 0), 1, total));
}

function composed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | null, plan: Plan): Tensor {
  const w = weights(q, k, mask, plan);
  return matmul(plan.p > 0 ? mul(w, keepFactors(plan, w.dtype)) : w, repeated(v, plan));
}

function composedGradients(dy: Tensor, { q, k, v, mask }: Omit<Saved, "y" | "lse">, plan: Plan): Made {
  const w = weights(q, k, mask, plan);
  const keep = plan.p > 0 ? keepFactors(plan, w.dtype) : null;
  const kept = (x: Tensor) => (keep ? mul(x, keep) : x);
  const { group, leadKv } = plan;
  const shared = (x: Tensor): Tensor => {
    if (group === 1) return x;
    const tail = x.shape.slice(-2);
    const split = reshape(x, [...leadKv, group, ...tail]);
    return reshape(sumTo(split, [...leadKv, 1, ...tail]), [...leadKv, ...tail]);
  };
  const dw = kept(matmul(dy, repeated(v, plan), { transB: true }));
  const ds = mul(mul(w, sub(dw, sum(mul(w, dw), -1, { keepDims: true }))), plan.scale);
  return {
    q: matmul(ds, repeated(k, plan)),
    k: shared(matmul(ds, q, { transA: true })),
    v: shared(matmul(kept(w), dy, { transA: true })),
  };
}

/**
 * The weights themselves and what they make: [y, weights], weights [..., t, s] before dropout. For looking at attention;
 * the scores are stored.
 */
export function attentionWithWeights(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = {},
): [y: Tensor, weights: Tensor] {
  const { mask = null, causal = false, dropout: p = 0, scale, generator = defaultGenerator } = options;
  const op = "attentionWithWeights";
  expectFloat(op, q);
  expect(!options.enableGqa, op, "as many heads in q as in k and v", "enableGqa");
  const lead = broadcastShapes(op, q.shape.slice(0, -2), k.shape.slice(0, -2));
  const [t, d, s, dv] = [q.shape.at(-2)!, q.shape.at(-1)!, k.shape.at(-2)!, v.shape.at(-1)!];
  const draw = p > 0 ? generator.next() : { seed: 0, draw: 0 };
  const plan: Plan = { lead, leadKv: lead, t, s, d, dv, group: 1, causal, scale: scale ?? 1 / Math.sqrt(d), p, draw };
  const w = weights(q, k, mask && additive(op, mask, q, [...lead, t, s]), plan);
  return [matmul(p > 0 ? mul(w, keepFactors(plan, w.dtype)) : w, v), w];
}
