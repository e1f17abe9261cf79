/**
 * Muon: momentum whose matrices are made orthogonal (Jordan et al., "Muon: an optimizer for hidden layers in neural
 * networks", 2024). Every direction of a matrix moves alike, where Adam follows a few.
 */
import { noGrad } from "../graph.js";
import { scope } from "../memory.js";
import { k } from "../native.js";
import { add, div, maximum, mul } from "../ops/arithmetic.js";
import { sqrt, square } from "../ops/elementwise.js";
import { matmul } from "../ops/matmul.js";
import { sum } from "../ops/reduce.js";
import { t as transposed } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { expectMoments, expectOption, Optimizer, type OptimizerOptions, type OptimizerParams } from "./optimizer.js";

/** Options of Muon, for all parameters or by group. */
export interface MuonOptions extends OptimizerOptions {
  /** p shrinks by lr weightDecay p, of matrices and of the others. Default 0.1. */
  weightDecay: number;
  /** How much of the momentum a step keeps. Default 0.95. */
  momentum: number;
  /** Looks ahead by one momentum update. Default true. */
  nesterov: boolean;
  /** a, b, c of x = a x + (b x x^T + c (x x^T)^2) x, which takes singular values near 1. */
  nsCoefficients: readonly [number, number, number];
  /** How often that is applied. Default 5. */
  nsSteps: number;
  /** Least norm that a matrix is divided by. Default 1e-7. */
  eps: number;
  /** "original": the rate times sqrt(max(1, rows / cols)); "matchRmsAdamw": times 0.2 sqrt(max(rows, cols)). */
  adjustLr: "original" | "matchRmsAdamw";
  /** Of AdamW, for what is no matrix. Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Of AdamW. Default 1e-8. */
  adamEps: number;
  /** Whether the group's parameters are matrices that Muon steps, or others that AdamW does; the constructor decides it. */
  matrices: boolean;
}

/** What constructors take beside the options: the rate of what is no matrix. */
export interface MuonConstructorOptions extends Omit<MuonOptions, "matrices"> {
  /** Default: lr. */
  adamLr: number;
}

/**
 *     m = momentum m + (1 - momentum) g;  u = orthogonal(nesterov ? (1 - momentum) g + momentum m : m)
 *     p = (1 - lr weightDecay) p - lr sqrt(max(1, rows / cols)) u
 *
 * Parameters with two dimensions are stepped so, all others by AdamW with the same weight decay: each group given becomes
 * two groups, of matrices and of others. Give embeddings and the last layer to an AdamW of their own, as the authors do.
 * State: "momentum_buffer" of matrices; "exp_avg" and "exp_avg_sq" of the others.
 *
 * @example
 * const layer = new nn.Linear(4, 3);
 * const optimizer = new optim.Muon(layer.parameters(), { lr: 0.02, adamLr: 1e-3 });
 * layer.forward(ones([2, 4])).square().sum().backward();
 * optimizer.step();
 */
export class Muon extends Optimizer<MuonOptions> {
  /**
   * An option outside its range is an error that names it.
   *
   * @param params parameters, or groups of them with options of their own; those that are no matrices go by AdamW
   * @param options lr is 1e-3 and weightDecay 0.1 unless given, as in PyTorch
   */
  constructor(
    params: OptimizerParams<MuonConstructorOptions>,
    {
      lr = 1e-3,
      adamLr = lr,
      weightDecay = 0.1,
      momentum = 0.95,
      nesterov = true,
      nsCoefficients = [3.4445, -4.775, 2.0315],
      nsSteps = 5,
      eps = 1e-7,
      adjustLr = "original",
      betas = [0.9, 0.999],
      adamEps = 1e-8,
    }: Partial<MuonConstructorOptions> = {},
  ) {
    const shared = { lr, weightDecay, momentum, nesterov, nsCoefficients, nsSteps, eps, adjustLr, betas, adamEps };
    const list = [...(params as Iterable<Tensor | Group>)];
    const groups = list.every((p) => !("params" in p)) ? [{ params: list as Tensor[] }] : (list as Group[]);
    super(
      groups.flatMap((group) => splitGroup(group, adamLr)),
      { ...shared, matrices: true },
    );
  }

  protected override check(o: MuonOptions): void {
    expectMoments("Muon", o);
    expectOption("Muon", "momentum", o.momentum, 0, 1);
    expectOption("Muon", "adamEps", o.adamEps);
    if (!Number.isSafeInteger(o.nsSteps) || o.nsSteps < 1)
      throw new RangeError(`Muon: expected nsSteps to be a whole number from 1 up, got ${o.nsSteps}`);
    if (o.nsCoefficients?.length !== 3)
      throw new RangeError(`Muon: expected three nsCoefficients, got ${o.nsCoefficients?.length}`);
    if (o.adjustLr !== "original" && o.adjustLr !== "matchRmsAdamw")
      throw new RangeError(
        `Muon: expected adjustLr "original" or "matchRmsAdamw", got ${JSON.stringify(o.adjustLr satisfies never)}`,
      );
  }

  /** Adds parameters with options of their own; those not given are the optimizer's. */
  override addParamGroup(group: Group): void {
    if (group.matrices !== undefined || typeof (group.params as unknown) !== "object") super.addParamGroup(group);
    else for (const part of splitGroup(group, group.lr ?? this.defaults.lr)) super.addParamGroup(part);
  }

  protected override readonly kernelNumbers = ["lr", "weightDecay"] as const;

  protected override bufferNames({ matrices }: MuonOptions): readonly string[] {
    return matrices ? ["momentum_buffer"] : ["exp_avg", "exp_avg_sq"];
  }

  protected override update(
    o: MuonOptions,
    params: Tensor[],
    grads: Tensor[],
    buffers: Tensor[][],
    step: Tensor,
  ): void {
    if (!o.matrices) {
      const [m, v] = buffers as [Tensor[], Tensor[]];
      k.adam(params, grads, m, v, [], step, o.lr, o.betas[0], o.betas[1], o.adamEps, o.weightDecay, 1, 0);
      return;
    }
    const [m] = buffers as [Tensor[]];
    scope(() =>
      noGrad(() => {
        const mix = (keep: Tensor, fresh: Tensor): Tensor => add(mul(keep, o.momentum), mul(fresh, 1 - o.momentum));
        const fresh = grads.map((g, i) => mix(m[i]!, g));
        const updates = grads.map((g, i) => orthogonal(o.nesterov ? mix(fresh[i]!, g) : fresh[i]!, o));
        // One call at the end: where one gradient holds no value, no parameter moves.
        k.muon(params, updates, m, fresh, step, o.lr, o.weightDecay);
      }),
    );
  }
}

type Group = Partial<MuonConstructorOptions> & { params: Iterable<Tensor>; matrices?: boolean };

/** Matrices, and what AdamW steps; no group without parameters. */
function splitGroup({ adamLr, ...group }: Group, defaultAdamLr: number): Group[] {
  const params = [...group.params];
  const others = { ...group, lr: adamLr ?? group.lr ?? defaultAdamLr, matrices: false };
  return [
    { ...group, params: params.filter((p) => p.shape.length === 2), matrices: true },
    { ...others, params: params.filter((p) => p.shape.length !== 2) },
  ].filter((part) => part.params.length > 0);
}

/** The matrix with its singular values taken near 1 by a Newton-Schulz iteration, times what its shape asks of the rate. */
function orthogonal(given: Tensor, { nsCoefficients: [a, b, c], nsSteps, eps, adjustLr }: MuonOptions): Tensor {
  const [rows, cols] = given.shape as [number, number];
  const tall = rows > cols; // the smaller product: x x^T of the wide form
  const wide = tall ? transposed(given) : given;
  let x = div(wide, maximum(sqrt(sum(square(wide))), eps));
  for (let i = 0; i < nsSteps; i++) {
    const gram = matmul(x, x, { transB: true });
    x = add(mul(x, a), matmul(add(mul(gram, b), mul(matmul(gram, gram), c)), x));
  }
  const scale = adjustLr === "original" ? Math.sqrt(Math.max(1, rows / cols)) : 0.2 * Math.sqrt(Math.max(rows, cols));
  return mul(tall ? transposed(x) : x, scale);
}
