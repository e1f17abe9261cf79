/**
 * Which steps of a run are captured (lib/capture.ts): all of them, none, or, by default, those of a batch's shape once
 * three such steps in a row have run the same kernels. A sampler's asking of its network is a step too.
 *
 * A captured step does in JavaScript what it did when it was recorded. So what a step does is looked at, not assumed: its
 * kernels, their shapes and numbers, host data, reads of values, tensors that it has from the step before. Where a step
 * cannot be captured the run goes on uncaptured, before the attempt could leave anything behind. Each epoch's first step
 * runs uncaptured and is compared.
 */
import { CapturedSteps } from "../capture.js";
import { changesSoFar } from "../live.js";
import { addon } from "../native.js";
import type { Module } from "../nn/module.js";
import { changedNumber, differenceOf, type Noted, type NotedCall, StepNoter } from "./alike.js";
import type { Batch } from "./options.js";

const RESTLESS = 2; // changes of a number in a row: one may be an epoch's
const KINDS = 8; // shapes of batches: more stay uncaptured

/** Steps of one shape. */
interface Kind {
  /** The last steps, as long as they are alike. */
  steps: Pick<Noted<unknown>, "calls" | "live">[];
  /** How often in a row a number of theirs has changed. */
  restless: number;
  /** The captured step. */
  recorded: NotedCall[] | null;
  /** The epoch in which it was compared last, and what was known to have changed then. */
  epoch: number;
  changes: number;
}

/** What StepRunner may know of its steps. */
export interface StepRunnerOptions {
  /** Steps in a row that must be alike before one is recorded; two, to see what they carry over. Default 3. */
  alike?: number;
  /** Whether a step frees all that it makes but its answer, so that no garbage has to be looked for. Default false. */
  tidy?: boolean;
}

export class StepRunner<R> {
  readonly #captured: CapturedSteps<[Batch[]], R>;
  readonly #noter = new StepNoter();
  readonly #kinds = new Map<string, Kind>();
  readonly #alike: number;
  #epoch = 0;
  #notice: string | null = null;

  /**
   * @param model what the step trains, with all modules whose mode or hooks matter to it
   * @param when "always": from the first step on; "alike": as above; "never"
   * @param run one step
   */
  constructor(
    private readonly model: Module,
    private when: "always" | "alike" | "never",
    private readonly run: (group: Batch[]) => R,
    { alike = 3, tidy = false }: StepRunnerOptions = {},
  ) {
    this.#captured = new CapturedSteps(run, 0, KINDS, tidy);
    this.#alike = alike;
  }

  beginEpoch(): void {
    this.#epoch++;
  }

  async step(group: Batch[]): Promise<R> {
    if (this.when === "always") return this.#captured.call([group]);
    if (this.when === "never") return this.run(group);
    const shapes = group.map((batch) => batch.map((t) => `${t.dtype}[${t.shape}]`).join(" ")).join("; ");
    let kind = this.#kinds.get(shapes);
    if (!kind) {
      if (this.#kinds.size === KINDS) return this.run(group);
      this.#kinds.set(shapes, (kind = { steps: [], restless: 0, recorded: null, epoch: 0, changes: 0 }));
    }
    const known = kind.steps.length === this.#alike && kind.epoch === this.#epoch && kind.changes === changesSoFar();
    if (!known) return this.#look(kind, group);
    if (!kind.recorded && !this.#record(kind, group)) return this.run(group);
    return this.#captured.call([group]);
  }

  /** Why the run goes on uncaptured, once. */
  takeNotice(): string | null {
    const notice = this.#notice;
    this.#notice = null;
    return notice;
  }

  free(): void {
    this.#captured.free();
  }

  /** A step that runs uncaptured and is compared. */
  #look(kind: Kind, group: Batch[]): R {
    if (this.model.modules().some((m) => m.hasHooks)) {
      this.#giveUp(null);
      return this.run(group);
    }
    const before = changesSoFar();
    const { value, calls, live, reads, carries } = this.#noter.note(() => this.run(group));
    const after = changesSoFar();
    const last = kind.steps.at(-1);
    const difference = last ? differenceOf(last.calls, calls) : null;
    const changed = last && !difference ? changedNumber(last.calls, calls, [last.live, live]) : null;
    if (difference && kind.recorded && kind.changes === before)
      throw new Error(
        `fit: this step differs from those that were captured: ${difference}. What a step does must not change while it is ` +
          "captured; pass capture: false to the Trainer",
      );
    kind.restless = changed ? kind.restless + 1 : 0;
    if (reads !== null) this.#giveUp(`the step reads values${reads && ` (${reads})`}`);
    else if (after !== before) this.#giveUp("the step changes a module's mode or where a tensor's memory is");
    else if (carries && last && !difference) this.#giveUp("the step uses a tensor that the step before made");
    else if (kind.restless === RESTLESS) this.#giveUp(`the step is not the same each time: ${changed}`);
    if (difference || changed) [kind.steps, kind.recorded] = [[], null];
    kind.steps = [...kind.steps.slice(1 - this.#alike), { calls, live }];
    [kind.epoch, kind.changes] = [this.#epoch, after];
    return value;
  }

  /** Records a step, which must be those that were looked at; false: it cannot be captured. */
  #record(kind: Kind, group: Batch[]): boolean {
    const gradients = this.model.parameters().map((p) => [p, p.grad] as const);
    try {
      this.#captured.forget([group]);
      const { calls } = this.#noter.note(() => this.#captured.prepare([group]));
      for (const step of kind.steps) {
        const difference = differenceOf(step.calls, calls) ?? changedNumber(step.calls, calls);
        if (difference) throw new Error(`the step is not the same each time: ${difference}`);
      }
      kind.recorded = calls;
      addon.emptyCache(); // what the uncaptured steps used
      return true;
    } catch (error) {
      for (const [p, grad] of gradients) p.grad = grad;
      this.#giveUp((error as Error).message.replace(/^capture: /, ""));
      return false;
    }
  }

  #giveUp(why: string | null): void {
    this.when = "never";
    this.#captured.free();
    if (why !== null) this.#notice ??= `the steps of this run are not captured: ${why}`;
  }
}
