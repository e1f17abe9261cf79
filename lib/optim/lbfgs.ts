/**
 * L-BFGS (Liu & Nocedal, "On the limited memory BFGS method", 1989) as PyTorch writes it, with the strong Wolfe line search
 * of minFunc. For small problems and whole batches: every iteration evaluates the loss again and reads numbers back.
 */
import { noGrad } from "../graph.js";
import { scope, unscoped } from "../memory.js";
import { add, mul, sub } from "../ops/arithmetic.js";
import { clone } from "../ops/cast.js";
import { expectFloat, expectSameDType } from "../ops/common.js";
import { zeros } from "../ops/create.js";
import { abs, neg } from "../ops/elementwise.js";
import { copy_ } from "../ops/inplace.js";
import { amax, sum } from "../ops/reduce.js";
import { cat, reshape, slice } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { expectOption, type OptimizerOptions } from "./optimizer.js";
import { type Evaluation, strongWolfe } from "./wolfe.js";

/** Options of LBFGS. One set for all parameters. */
export interface LBFGSOptions extends OptimizerOptions {
  /** Iterations in one step(). Default 20. */
  maxIter: number;
  /** Evaluations of the loss in one step(). Default maxIter * 5 / 4. */
  maxEval: number;
  /** Stops where the largest element of the gradient is at most this. Default 1e-7. */
  toleranceGrad: number;
  /** Stops where the loss or the parameters change by at most this. Default 1e-9. */
  toleranceChange: number;
  /** How many updates the approximation remembers; each takes twice the memory of the parameters. Default 100. */
  historySize: number;
  /** How far to go along a direction: by lr alone (null, the default), or by a search. */
  lineSearch: "strongWolfe" | null;
}

/** State of L-BFGS: vectors of all parameters one behind the other, and numbers. */
export interface LBFGSState {
  /** Over all calls of step(). */
  iterations: number;
  /** Of the loss, over all calls of step(). */
  evaluations: number;
  /** The last direction and how far it was followed; null before the first step. */
  direction: Tensor | null;
  /** How far the last direction was followed. */
  length: number;
  /** Gradient and loss where that direction began. */
  previousGrad: Tensor | null;
  /** The loss where the last direction began. */
  previousLoss: number;
  /** Changes of the gradient and of the parameters, oldest first. */
  gradChanges: Tensor[];
  /** Changes of the parameters, oldest first, each as one vector. */
  moves: Tensor[];
  /** Scale of the first approximation. */
  scale: number;
  /** Those in force. */
  options: LBFGSOptions;
}

/**
 * @example
 * const w = tensor([-1.5, 2], { requiresGrad: true });
 * const optimizer = new optim.LBFGS([w], { lineSearch: "strongWolfe" });
 * await optimizer.step(() => {
 *   optimizer.zeroGrad();
 *   const loss = w.sub(1).square().mul(tensor([1, 10])).sum();
 *   loss.backward();
 *   return loss;
 * });
 */
export class LBFGS {
  /** Its step() evaluates the loss again: train.Trainer hands it a function. */
  readonly takesClosure = true;
  /** One group: L-BFGS has no options by parameter. */
  readonly paramGroups: [
    LBFGSOptions & {
      /** All parameters. */
      params: Tensor[];
    },
  ];
  private readonly params: Tensor[];
  private state: Omit<LBFGSState, "options"> = freshState();
  private running = false;

  /**
   * An option outside its range is an error that names it.
   *
   * @param params all parameters, of one dtype: groups are not supported
   * @param options lr is 1 unless given
   */
  constructor(
    params: Iterable<Tensor>,
    {
      lr = 1,
      maxIter = 20,
      maxEval = Math.floor((maxIter * 5) / 4),
      toleranceGrad = 1e-7,
      toleranceChange = 1e-9,
      historySize = 100,
      lineSearch = null,
    }: Partial<LBFGSOptions> = {},
  ) {
    this.params = [...params];
    if (this.params.length === 0) throw new Error("LBFGS: expected parameters, got none; pass model.parameters()");
    for (const p of this.params) {
      expectFloat("LBFGS", p);
      expectSameDType("LBFGS", this.params[0]!, p);
    }
    const options = { lr, maxIter, maxEval, toleranceGrad, toleranceChange, historySize, lineSearch };
    this.check(options);
    this.paramGroups = [{ ...options, params: this.params }];
  }

  private check(o: LBFGSOptions): void {
    expectOption("LBFGS", "lr", o.lr);
    expectOption("LBFGS", "maxIter", o.maxIter, 1);
    expectOption("LBFGS", "maxEval", o.maxEval, 1);
    expectOption("LBFGS", "toleranceGrad", o.toleranceGrad);
    expectOption("LBFGS", "toleranceChange", o.toleranceChange);
    expectOption("LBFGS", "historySize", o.historySize, 1);
    if (o.lineSearch !== null && o.lineSearch !== "strongWolfe")
      throw new RangeError(`LBFGS: expected lineSearch "strongWolfe" or null, got ${JSON.stringify(o.lineSearch)}`);
  }

  /** Sets all gradients to null. */
  zeroGrad(): void {
    for (const p of this.params) if (p.requiresGrad) p.grad = null;
  }

  /**
   * Up to maxIter iterations. Resolves to the loss before the first.
   *
   * @param closure clears the gradients, computes the loss, calls backward() and returns the loss; it is called again for
   *   every evaluation, and its numbers are read back each time
   * @throws Error while another step of this optimizer is running
   */
  async step(closure: () => Tensor): Promise<number> {
    if (this.running) throw new Error("LBFGS.step: expected no step in progress; await the last one first");
    this.running = true;
    try {
      return await this.iterate(closure);
    } finally {
      this.running = false;
    }
  }

  private async iterate(closure: () => Tensor): Promise<number> {
    const [o] = this.paramGroups;
    const s = this.state;
    const first = await this.evaluate(closure);
    let { loss, grad } = first;
    let evaluations = 1;
    s.evaluations++;
    if ((await largest(grad)) <= o.toleranceGrad) return first.loss;
    for (let n = 1; n <= o.maxIter; n++) {
      s.iterations++;
      const direction = s.direction && s.previousGrad ? await this.direction(grad) : owned(() => neg(grad));
      const slope = await dot(grad, direction);
      const start = s.iterations === 1 ? Math.min(1, 1 / (await owned(() => sum(abs(grad))).item())) * o.lr : o.lr;
      Object.assign(s, { direction, previousGrad: grad, previousLoss: loss, length: start });
      if (slope > -o.toleranceChange) break;
      const before = loss;
      let used = 0;
      if (o.lineSearch) {
        const origin = this.flat((p) => p);
        const at = async (t: number): Promise<Evaluation> => {
          this.place(origin, direction, t);
          const { loss, grad } = await this.evaluate(closure);
          return { t, loss, grad, slope: await dot(grad, direction) };
        };
        const found = await strongWolfe(at, { t: 0, loss, grad, slope }, start, {
          size: await largest(direction),
          tolerance: o.toleranceChange,
        });
        ({ loss, grad } = found.best);
        s.length = found.best.t;
        used = found.evaluations;
        this.place(origin, direction, s.length);
      } else {
        this.place(
          this.flat((p) => p),
          direction,
          start,
        );
        if (n < o.maxIter) {
          ({ loss, grad } = await this.evaluate(closure));
          used = 1;
        }
      }
      evaluations += used;
      s.evaluations += used;
      if (n === o.maxIter || evaluations >= o.maxEval) break;
      if ((await largest(grad)) <= o.toleranceGrad) break;
      if ((await largest(direction)) * s.length <= o.toleranceChange) break;
      if (Math.abs(loss - before) < o.toleranceChange) break;
    }
    return first.loss;
  }

  /** The two-loop recursion: minus the approximated inverse Hessian times the gradient, after taking in the last move. */
  private async direction(grad: Tensor): Promise<Tensor> {
    const s = this.state;
    const change = owned(() => sub(grad, s.previousGrad!));
    const move = owned(() => mul(s.direction!, s.length));
    const curvature = await dot(change, move);
    if (curvature > 1e-10) {
      if (s.moves.length === this.paramGroups[0].historySize) {
        s.moves.shift();
        s.gradChanges.shift();
      }
      s.moves.push(move);
      s.gradChanges.push(change);
      s.scale = curvature / (await dot(change, change));
    }
    return owned(() => {
      // All on the device: nothing of the recursion is read back.
      const product = (a: Tensor, b: Tensor): Tensor => sum(mul(a, b));
      const weights = s.moves.map((move, i) => product(s.gradChanges[i]!, move));
      const shares: Tensor[] = [];
      let q = neg(grad);
      for (let i = s.moves.length - 1; i >= 0; i--) {
        shares[i] = product(s.moves[i]!, q).div(weights[i]!);
        q = sub(q, mul(s.gradChanges[i]!, shares[i]!));
      }
      q = mul(q, s.scale);
      for (let i = 0; i < s.moves.length; i++) {
        const share = product(s.gradChanges[i]!, q).div(weights[i]!);
        q = add(q, mul(s.moves[i]!, sub(shares[i]!, share)));
      }
      return q;
    });
  }

  private async evaluate(closure: () => Tensor): Promise<{ loss: number; grad: Tensor }> {
    const loss = await closure().item();
    return { loss, grad: this.flat((p) => p.grad ?? zeros(p.shape, { dtype: p.dtype })) };
  }

  /** One vector of what `of` gives for each parameter; a copy. */
  private flat(of: (p: Tensor) => Tensor): Tensor {
    return owned(() => cat(this.params.map((p) => reshape(of(p).detach(), [-1]))));
  }

  /** parameters = origin + t direction */
  private place(origin: Tensor, direction: Tensor, t: number): void {
    scope(() =>
      noGrad(() => {
        const at = add(origin, mul(direction, t));
        let from = 0;
        for (const p of this.params) {
          copy_(p, reshape(slice(at, [from, from + p.size]), p.shape));
          from += p.size;
        }
      }),
    );
  }

  /** The state as it is; copy or save its tensors before the next step. */
  stateDict(): LBFGSState {
    const { params: _, ...options } = this.paramGroups[0];
    const { gradChanges, moves } = this.state;
    return { ...this.state, gradChanges: [...gradChanges], moves: [...moves], options };
  }

  /**
   * Takes over a state that stateDict() gave, and copies its tensors.
   *
   * @throws Error where its vectors do not have one element a parameter element
   */
  loadStateDict({ options, ...state }: LBFGSState): void {
    const n = this.params.reduce((n, p) => n + p.size, 0);
    const vectors = [state.direction, state.previousGrad, ...state.gradChanges, ...state.moves];
    const wrong = vectors.find((v) => v && v.size !== n);
    if (wrong) throw new Error(`LBFGS.loadStateDict: expected vectors of ${n} elements, got ${wrong.size}`);
    if (state.gradChanges.length !== state.moves.length)
      throw new Error(
        `LBFGS.loadStateDict: expected as many gradChanges as moves, got ${state.gradChanges.length} and ${state.moves.length}`,
      );
    this.check(options);
    const copy = (t: Tensor): Tensor => owned(() => clone(t));
    this.state = {
      ...state,
      direction: state.direction && copy(state.direction),
      previousGrad: state.previousGrad && copy(state.previousGrad),
      gradChanges: state.gradChanges.map(copy),
      moves: state.moves.map(copy),
    };
    Object.assign(this.paramGroups[0], options);
  }
}

const freshState = (): Omit<LBFGSState, "options"> => ({
  iterations: 0,
  evaluations: 0,
  direction: null,
  length: 0,
  previousGrad: null,
  previousLoss: 0,
  gradChanges: [],
  moves: [],
  scale: 1,
});

/** A tensor of the optimizer's own, made outside the user's scopes and graph; what it was made from ends here. */
const owned = (make: () => Tensor): Tensor => unscoped(() => noGrad(() => scope(make)));
const dot = (a: Tensor, b: Tensor): Promise<number> => owned(() => sum(mul(a, b))).item();
const largest = (x: Tensor): Promise<number> => owned(() => amax(abs(x))).item();
