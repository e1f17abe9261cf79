/**
 * Exponential moving average of a model's weights (Polyak & Juditsky 1992; in deep learning: Tarvainen & Valpola, "Mean
 * teachers", 2017): often a better model than the last step's. One fused call an update.
 */

import { show } from "../errors.js";
import { noGrad } from "../graph.js";
import { unscoped } from "../memory.js";
import { type DType, FLOATS, k } from "../native.js";
import { clone } from "../ops/cast.js";
import { written } from "../ops/common.js";
import type { Tensor } from "../tensor.js";
import { expectOption } from "./optimizer.js";

/** A module, or anything else that names its parameters and buffers. */
export interface Averaged {
  /** What is averaged, by names that stay the same. */
  namedParameters(): Iterable<[string, Tensor]>;
  /** Averaged where they are floats, copied where they are not. */
  namedBuffers(): Iterable<[string, Tensor]>;
}

const tensorsOf = (model: Averaged): Record<string, Tensor> =>
  Object.fromEntries([...model.namedParameters(), ...model.namedBuffers()]);

/** Options of EMA. */
export interface EMAOptions {
  /** What an update keeps of the average. Default 0.999. */
  decay?: number;
  /** Starts with a shorter memory: the decay of update t is at most (1 + t) / (10 + t). Default false. */
  warmup?: boolean;
}

/** What EMA.stateDict() gives: tensors and a number, as safetensors files and checkpoints hold them. */
export interface EMAState {
  /** How often update() was called; warm-up depends on it. */
  updates: number;
  /** By the model's names. */
  averages: Record<string, Tensor>;
}

/**
 * average = decay average + (1 - decay) p for parameters and float buffers; integer buffers are copied.
 *
 * @example
 * const model = new nn.Linear(2, 3);
 * const ema = new optim.EMA(model, { decay: 0.99 });
 * ema.update(); // after optimizer.step()
 * ema.apply(); // evaluate with the averages ...
 * ema.restore(); // ... and train on
 */
export class EMA {
  /** What an update keeps of the average. */
  readonly decay: number;
  /** Whether the first updates keep less of it. */
  readonly warmup: boolean;
  private readonly model: Averaged;
  private averages: Record<string, Tensor>;
  private updates = 0;
  /** The model's own values while the averages stand in for them. */
  private own: Record<string, Tensor> | null = null;

  /**
   * The averages start as copies of the model's present values: as much memory again.
   *
   * @param model what is averaged; its tensors are looked up by name at every update
   */
  constructor(model: Averaged, { decay = 0.999, warmup = false }: EMAOptions = {}) {
    expectOption("EMA", "decay", decay, 0, 1);
    this.model = model;
    this.decay = decay;
    this.warmup = warmup;
    this.averages = copies(tensorsOf(model));
  }

  /** What the next update keeps of the average, after `updates` of them. */
  protected decayOf(updates: number): number {
    return this.warmup ? Math.min(this.decay, (1 + updates) / (10 + updates)) : this.decay;
  }

  /** Takes the model's present values into the average. */
  update(): void {
    if (this.own) throw new Error("EMA.update: the averages are in the model; call restore() first");
    const decay = this.decayOf(this.updates);
    const floats = new Map<DType, [Tensor[], Tensor[]]>();
    const now = tensorsOf(this.model);
    for (const [name, average] of Object.entries(this.averages)) {
      const value = expectSame("EMA.update", name, now[name], average);
      if (!FLOATS.includes(value.dtype)) {
        copyInto(average, value);
        continue;
      }
      let lists = floats.get(value.dtype);
      if (!lists) floats.set(value.dtype, (lists = [[], []]));
      lists[0].push(average);
      lists[1].push(value);
    }
    for (const [averages, values] of floats.values()) {
      k.ema(averages, values, decay);
      averages.forEach(written);
    }
    this.updates++;
  }

  /** Puts the averages into the model; restore() brings its own values back. */
  apply(): void {
    if (this.own) throw new Error("EMA.apply: the averages are in the model already; call restore() first");
    const now = tensorsOf(this.model);
    for (const [name, average] of Object.entries(this.averages)) expectSame("EMA.apply", name, now[name], average);
    this.own = copies(now);
    copyAll(now, this.averages);
  }

  /** Undoes apply(). */
  restore(): void {
    if (!this.own) throw new Error("EMA.restore: nothing to restore; call apply() first");
    copyAll(tensorsOf(this.model), this.own);
    for (const t of Object.values(this.own)) t.free();
    this.own = null;
  }

  /** The averages themselves, by name; they change with the next update. */
  stateDict(): EMAState {
    return { updates: this.updates, averages: { ...this.averages } };
  }

  /**
   * Takes over a state that stateDict() gave, as copies.
   *
   * @throws Error where a name, dtype or shape differs from the model's
   */
  loadStateDict({ updates, averages }: EMAState): void {
    for (const [name, average] of Object.entries(this.averages))
      expectSame("EMA.loadStateDict", name, averages[name], average);
    this.averages = copies(Object.fromEntries(Object.keys(this.averages).map((name) => [name, averages[name]!])));
    this.updates = updates;
  }
}

function expectSame(where: string, name: string, t: Tensor | undefined, like: Tensor): Tensor {
  if (t && show(t.shape) === show(like.shape) && t.dtype === like.dtype) return t;
  throw new Error(
    `${where}: expected "${name}" as ${like.dtype} ${show(like.shape)}, got ${t ? `${t.dtype} ${show(t.shape)}` : "none"}`,
  );
}

const copies = (tensors: Record<string, Tensor>): Record<string, Tensor> =>
  unscoped(() => noGrad(() => Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, clone(t)]))));

function copyAll(into: Record<string, Tensor>, from: Record<string, Tensor>): void {
  for (const [name, t] of Object.entries(from)) copyInto(into[name]!, t);
}

function copyInto(y: Tensor, x: Tensor): void {
  if (x.size > 0) k.copyStrided(y, x, 0, 1, x.size, 1);
  written(y);
}
