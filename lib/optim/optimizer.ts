/**
 * What optimizers share: parameter groups, state, and one fused native call for all parameters that step together.
 *
 * How often a parameter was stepped is counted on the device, beside its state: the native call skips parameters, state
 * and count alike when a gradient holds no value, and nobody has to read anything back to know. Parameters whose counts
 * are equal form a cohort with one count; a parameter that misses a step (it had no gradient) takes a copy of it along.
 */

import { show } from "../errors.js";
import { noGrad } from "../graph.js";
import { fixedBy, liveOptions, noteChange, uncaptured } from "../live.js";
import { safePoint, unscoped } from "../memory.js";
import type { DType } from "../native.js";
import { clone, to } from "../ops/cast.js";
import { expectFloat, written } from "../ops/common.js";
import { zeros, zerosLike } from "../ops/create.js";
import { Tensor } from "../tensor.js";
import { inScope } from "../watch.js";

/** What every optimizer has. */
export interface OptimizerOptions {
  /** Learning rate, from 0 up. */
  lr: number;
}

/** Parameters that share options. Options may be changed between steps. */
export type ParamGroup<O> = O & {
  /** Those that go by these options. */
  params: Tensor[];
};

/** OptimizerParams, or groups of them with options of their own. */
export type OptimizerParams<O> =
  | Iterable<Tensor>
  | Iterable<
      Partial<O> & {
        /** Those that go by these options. */
        params: Iterable<Tensor>;
      }
    >;

/** State of an optimizer: tensors, numbers, booleans and plain containers of them. Parameters go by their position. */
export interface OptimizerState {
  /** By parameter: its count of steps, and its buffers under PyTorch's names. */
  state: Record<string, Record<string, Tensor>>;
  /** Options by group, and the positions of its parameters. */
  paramGroups: ({
    /** Positions of its parameters among all of them, from 0. */
    params: number[];
  } & Record<string, unknown>)[];
}

interface Cohort {
  params: Tensor[];
  /** [1]: how many steps the parameters have had. */
  step: Tensor;
  /** By name, one tensor a parameter. */
  buffers: Record<string, Tensor[]>;
  /** By name, [1]: numbers beside the count, which follow from it and the options so far. */
  scalars: Record<string, Tensor>;
}

/**
 * What every optimizer is: parameters in groups, each with options of its own, and a fused step. Base of SGD, Adam and
 * the others.
 */
export abstract class Optimizer<O extends OptimizerOptions = OptimizerOptions> {
  /** In the order in which they were added. Options may be changed here between steps: schedules do. */
  readonly paramGroups: ParamGroup<O>[] = [];
  /** Options of a group that does not name them. */
  readonly defaults: O;
  private readonly cohorts = new Map<ParamGroup<O>, Cohort[]>();

  /**
   * Parameters must be float leaves, each once; none at all is an error.
   *
   * @param params parameters, or groups of them with options of their own
   * @param defaults options of a group that does not name them
   */
  constructor(params: OptimizerParams<O>, defaults: O) {
    this.defaults = defaults;
    const list = [...(params as Iterable<Tensor | (Partial<O> & { params: Iterable<Tensor> })>)];
    if (list.length === 0) throw new Error(`${this.name}: expected parameters, got none; pass model.parameters()`);
    if (list.every((p) => p instanceof Tensor)) this.addParamGroup({ params: list } as never);
    else for (const group of list) this.addParamGroup(group as never);
  }

  private get name(): string {
    return this.constructor.name;
  }

  /** Throws for options outside their range. */
  protected abstract check(options: O): void;
  /** Names of the buffers that each parameter has under these options. */
  protected abstract bufferNames(options: O): readonly string[];
  /** Names of the numbers that parameters with equal counts share on the device; the first call gives them a value. */
  protected scalarNames(_options: O): readonly string[] {
    return [];
  }
  /** Options that update() hands to kernels as they are, so that a captured step reads them anew; default: all numbers. */
  protected readonly kernelNumbers: readonly string[] | null = null;
  /** The fused call. `buffers` are in the order of `bufferNames`, `scalars` in that of `scalarNames`. */
  protected abstract update(
    options: O,
    params: Tensor[],
    grads: Tensor[],
    buffers: Tensor[][],
    step: Tensor,
    scalars: Tensor[],
  ): void;

  /**
   * Adds parameters with options of their own; those not given are the optimizer's.
   *
   * @throws Error for a parameter that is no leaf, no float, or in a group already
   */
  addParamGroup({ params, ...own }: Partial<O> & { params: Iterable<Tensor> }): void {
    if (typeof (params as Iterable<Tensor> | undefined)?.[Symbol.iterator] !== "function") {
      throw new TypeError(`${this.name}: expected tensors, or groups { params, ... }, got ${typeof params}`);
    }
    const group = { ...this.defaults, ...own, params: [...params] } as ParamGroup<O>;
    this.check(group);
    const known = new Set(this.paramGroups.flatMap((g) => g.params));
    for (const p of group.params) {
      if (!(p instanceof Tensor))
        throw new TypeError(`${this.name}: expected parameters to be tensors, got ${typeof p}`);
      expectFloat(this.name, p);
      if (!p.isLeaf)
        throw new Error(
          `${this.name}: expected leaves, got a tensor ${show(p.shape)} that was made by an op; pass detach().requiresGrad_()`,
        );
      if (known.has(p))
        throw new Error(`${this.name}: a parameter ${show(p.shape)} appears twice; each belongs to one group`);
      known.add(p);
    }
    noteChange();
    this.paramGroups.push(group);
  }

  /** Forgets the gradients of all parameters: sets them to null. */
  zeroGrad(): void {
    for (const group of this.paramGroups) for (const p of group.params) if (p.requiresGrad) p.grad = null;
  }

  /** Updates every parameter that has a gradient. Where a gradient holds no value (its op failed), nothing changes. */
  step(): void {
    inScope(`${this.name}.step`, () =>
      unscoped(() => {
        for (const group of this.paramGroups) this.stepGroup(group);
      }),
    );
    safePoint();
  }

  private stepGroup(group: ParamGroup<O>): void {
    const names = this.bufferNames(group);
    const scalarNames = this.scalarNames(group);
    const cohorts = uncaptured(() => this.cohortsOf(group, names, scalarNames));
    this.cohorts.set(group, cohorts);
    const options = liveOptions(group, this.kernelNumbers);
    fixedBy(() => this.bufferNames(group));
    for (const { params, step, buffers, scalars } of cohorts) {
      const grads = params.flatMap((p) => p.grad ?? []);
      if (grads.length === 0) continue;
      this.update(
        options,
        params,
        grads,
        names.map((name) => buffers[name]!),
        step,
        scalarNames.map((name) => scalars[name]!),
      );
      for (const p of params) written(p);
    }
  }

  /** The group's parameters by how often they were stepped; new ones get their state. */
  private cohortsOf(group: ParamGroup<O>, names: readonly string[], scalarNames: readonly string[]): Cohort[] {
    const known = (this.cohorts.get(group) ?? []).filter((c) => names.every((name) => c.buffers[name]));
    const seen = new Set(known.flatMap((c) => c.params));
    const cohorts: Cohort[] = [];
    for (const cohort of known) cohorts.push(...splitByGradient(cohort));
    const fresh = new Map<DType, Tensor[]>();
    for (const p of group.params) {
      if (!p.grad || seen.has(p)) continue;
      fresh.set(p.dtype, [...(fresh.get(p.dtype) ?? []), p]);
    }
    for (const [dtype, params] of fresh) {
      const buffers = Object.fromEntries(names.map((name) => [name, params.map((p) => zerosLike(p))]));
      const scalars = Object.fromEntries(scalarNames.map((name) => [name, zeros([1], { dtype })]));
      cohorts.push({ params, step: zeros([1], { dtype }), buffers, scalars });
    }
    return cohorts;
  }

  /** The state as it is: the tensors are the optimizer's own and change with the next step; copy or save them first. */
  stateDict(): OptimizerState {
    const position = new Map(this.paramGroups.flatMap((g) => g.params).map((p, i) => [p, i]));
    const state: OptimizerState["state"] = {};
    for (const cohort of [...this.cohorts.values()].flat()) {
      cohort.params.forEach((p, i) => {
        const own = Object.entries(cohort.buffers).map(([name, tensors]) => [name, tensors[i]!]);
        state[position.get(p)!] = { step: cohort.step, ...cohort.scalars, ...Object.fromEntries(own) };
      });
    }
    const paramGroups = this.paramGroups.map(({ params, ...options }) => ({
      ...options,
      params: params.map((p) => position.get(p)!),
    }));
    return { state, paramGroups };
  }

  /**
   * Takes over a state that stateDict() gave: copies its tensors, and the options of its groups. Steps continue bit for
   * bit. Waits for the counts of steps if they are still being computed.
   *
   * @throws Error where groups, shapes or buffers do not fit this optimizer
   */
  loadStateDict({ state, paramGroups }: OptimizerState): void {
    const what = `${this.name}.loadStateDict`;
    if (paramGroups?.length !== this.paramGroups.length) {
      throw new Error(`${what}: expected ${this.paramGroups.length} parameter groups, got ${paramGroups?.length}`);
    }
    const cohorts = new Map<ParamGroup<O>, Cohort[]>();
    const options: Partial<O>[] = [];
    this.paramGroups.forEach((group, g) => {
      const { params: positions, ...loaded } = paramGroups[g]!;
      if (positions.length !== group.params.length) {
        throw new Error(`${what}: expected ${group.params.length} parameters in group ${g}, got ${positions.length}`);
      }
      const merged = { ...group, ...loaded, params: group.params } as ParamGroup<O>;
      this.check(merged);
      options.push(loaded as Partial<O>);
      const byCount = new Map<string, Cohort>();
      const counts = new Map<Tensor, number>(); // parameters share the tensors that count
      group.params.forEach((p, i) => {
        const found = state[positions[i]!];
        if (!found) return;
        const scalarNames = this.scalarNames(merged);
        for (const name of [...this.bufferNames(merged), ...scalarNames, "step"]) {
          const t = found[name];
          const shape = name === "step" || scalarNames.includes(name) ? [1] : p.shape;
          if (!t || show(t.shape) !== show(shape)) {
            throw new Error(
              `${what}: expected "${name}" of shape ${show(shape)} for parameter ${positions[i]}, got ${t ? show(t.shape) : "none"}`,
            );
          }
        }
        const numberOf = (t: Tensor): number => {
          const known = counts.get(t) ?? t.itemSync();
          counts.set(t, known);
          return known;
        };
        const { step, ...rest } = found as { step: Tensor } & Record<string, Tensor>;
        const buffers = Object.fromEntries(Object.entries(rest).filter(([name]) => !scalarNames.includes(name)));
        const shared = scalarNames.map((name) => numberOf(rest[name]!));
        const key = `${numberOf(step)} ${shared} ${p.dtype} ${Object.keys(buffers)}`;
        let cohort = byCount.get(key);
        if (!cohort) {
          const scalars = Object.fromEntries(scalarNames.map((name) => [name, ownCopy(rest[name]!, p.dtype)]));
          byCount.set(key, (cohort = { params: [], step: ownCopy(step, p.dtype), buffers: {}, scalars }));
        }
        cohort.params.push(p);
        for (const [name, t] of Object.entries(buffers)) (cohort.buffers[name] ??= []).push(ownCopy(t, p.dtype));
      });
      cohorts.set(group, [...byCount.values()]);
    });
    noteChange(); // captured steps hold the old state
    this.paramGroups.forEach((group, g) => void Object.assign(group, options[g]));
    this.cohorts.clear();
    for (const [group, own] of cohorts) this.cohorts.set(group, own);
  }
}

const ownCopy = (t: Tensor, dtype: DType): Tensor =>
  unscoped(() => noGrad(() => (t.dtype === dtype ? clone(t) : to(t, dtype))));

/** A cohort of which only some have gradients becomes two; the one that waits keeps a count of its own. */
function splitByGradient(cohort: Cohort): Cohort[] {
  const has = cohort.params.map((p) => p.grad !== null);
  if (has.every(Boolean) || !has.some(Boolean)) return [cohort];
  const part = (which: boolean, { step, scalars }: Pick<Cohort, "step" | "scalars">): Cohort => {
    const pick = <T>(list: T[]) => list.filter((_, i) => has[i] === which);
    const buffers = Object.fromEntries(Object.entries(cohort.buffers).map(([name, tensors]) => [name, pick(tensors)]));
    return { params: pick(cohort.params), step, buffers, scalars };
  };
  const copies = Object.fromEntries(Object.entries(cohort.scalars).map(([name, t]) => [name, clone(t)]));
  return [part(true, cohort), part(false, { step: clone(cohort.step), scalars: copies })];
}

/** Throws `SGD: expected lr from 0 up, got -1` unless low <= value < high. */
export function expectOption(
  where: string,
  name: string,
  value: number,
  low = 0,
  high = Number.POSITIVE_INFINITY,
): void {
  if (typeof value === "number" && value >= low && value < high) return;
  const range = high === Number.POSITIVE_INFINITY ? `a number from ${low} up` : `a number from ${low} to below ${high}`;
  throw new RangeError(`${where}: expected ${name} to be ${range}, got ${value}`);
}

/** Throws for options that Adam and its relatives share and that lie outside their range. */
export function expectMoments(
  where: string,
  o: { lr: number; betas: readonly [number, number]; eps?: number; weightDecay: number },
): void {
  expectOption(where, "lr", o.lr);
  expectOption(where, "betas[0]", o.betas?.[0], 0, 1);
  expectOption(where, "betas[1]", o.betas?.[1], 0, 1);
  if (o.eps !== undefined) expectOption(where, "eps", o.eps);
  expectOption(where, "weightDecay", o.weightDecay);
}
