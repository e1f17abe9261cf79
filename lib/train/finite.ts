/**
 * What happens to a run whose loss is no number any more. A guard is queued with each step: where the loss or a gradient
 * is NaN or infinite, the gradients fail natively, in this step and in those that JavaScript has queued behind it, so the
 * optimizer changes nothing and the weights stay as they were before the step. The run then ends, after the step was run
 * again in the NaN finder: the error names the op and the module.
 */
import { AnomalyError, detectAnomaly } from "../anomaly.js";
import { unscoped } from "../memory.js";
import { addon, handleOf } from "../native.js";
import { zeros } from "../ops/create.js";
import { defaultGenerator } from "../random.js";
import type { Tensor } from "../tensor.js";
import type { Batch, Model } from "./options.js";

/** A step that may turn out to have gone wrong. */
interface Recent {
  step: number;
  group: Batch[];
  /** The generator's state before it: a second run draws the same. */
  random: ReturnType<typeof defaultGenerator.state>;
  /** Resolves when it has run; rejects where it, or one before, has gone wrong. */
  settled: Promise<unknown> | null;
}

// Without the step's number: a captured step (lib/capture.ts) has its guards recorded once.
const LOSS = "fit: the loss of this step is NaN or infinite";
const GRADIENT = "fit: the loss of this step is finite, and a gradient of it is NaN or infinite";

export class FiniteGuard {
  readonly #model: Model;
  // Fails with the first step that goes wrong, and stays so.
  readonly #flag: Tensor = unscoped(() => zeros([1]));
  readonly #recent: Recent[] = [];

  /** @param on whether it looks at anything: otherwise it only keeps the batches of pending steps */
  constructor(
    model: Model,
    private readonly on: boolean,
  ) {
    this.#model = model;
  }

  /** Before each step; its batches are this guard's until done() answers them. */
  begin(step: number, group: Batch[]): void {
    this.#recent.push({ step, group, random: defaultGenerator.state(), settled: null });
  }

  loss(value: Tensor): void {
    if (!this.on) return;
    addon.guard([handleOf(value, "fit")], [handleOf(this.#flag, "fit")], LOSS);
  }

  /** After backward, before anything uses the gradients. */
  gradients(): void {
    if (!this.on) return;
    const handles = this.#model.parameters().flatMap((p) => (p.grad ? [handleOf(p.grad, "fit")] : []));
    const flag = handleOf(this.#flag, "fit");
    addon.guard(handles, [flag, ...handles], GRADIENT);
  }

  /** Ends a step: resolves when all that was called so far has run; rejects where a step has gone wrong. */
  settled(): Promise<unknown> {
    const read = addon.read(handleOf(this.#flag, "fit"));
    read.catch(() => {}); // thrown where it is awaited
    const step = this.#recent.at(-1);
    if (step) step.settled ??= read;
    return read;
  }

  /** The oldest step was good: the batches it used. */
  done(): Batch[] {
    return this.#recent.shift()?.group ?? [];
  }

  /** The batches of all steps; ends the guard. */
  end(): Batch[] {
    this.#flag.free();
    return this.#recent.splice(0).flatMap(({ group }) => group);
  }

  /**
   * The error to end the run with: `error`, or, where a loss or a gradient was not finite, what the finder says.
   * `searched`: the optimizer computes the loss at several points in a step, and may have moved the weights.
   */
  async explain(error: unknown, searched: boolean, runAgain: (group: Batch[]) => void): Promise<unknown> {
    const bad = await this.#firstBad();
    if (bad === null) return error;
    const said = bad.sentence.replace("this step", `step ${bad.step}`);
    const after = defaultGenerator.state();
    let found: string;
    let cause: unknown;
    try {
      defaultGenerator.load(bad.random);
      await detectAnomaly(() => runAgain(bad.group));
      found = await this.#blame(bad.group);
    } catch (e) {
      cause = e;
      found =
        e instanceof AnomalyError
          ? `Run again in the finder, the first op to blame is ${e.message}.`
          : `It could not be run again to find out why: ${(e as Error).message}.`;
    } finally {
      defaultGenerator.load(after);
    }
    const kept = searched ? "" : " The weights are as they were before that step.";
    return new Error(`${said}. ${found}${kept}`, { cause });
  }

  async #firstBad(): Promise<(Recent & { sentence: string }) | null> {
    for (const recent of this.#recent) {
      const sentence = await (recent.settled ?? this.settled()).then(
        () => null,
        (why: Error) => why.message,
      );
      if (sentence === LOSS || sentence === GRADIENT) return { ...recent, sentence };
      if (sentence !== null) return null; // another failure
    }
    return null;
  }

  /** No op made it: it came in with the weights or the batch. */
  async #blame(group: Batch[]): Promise<string> {
    const named: [string, Tensor][] = [
      ...this.#model.namedParameters().map(([name, p]) => [`parameter ${name}`, p] as [string, Tensor]),
      ...this.#model.namedBuffers().map(([name, b]) => [`buffer ${name}`, b] as [string, Tensor]),
      ...group.flatMap((batch) => batch.map((t, i) => [`tensor ${i} of the batch`, t] as [string, Tensor])),
    ];
    const bad: string[] = [];
    for (const [name, t] of named) {
      if (t.dtype !== "float32" && t.dtype !== "float64") continue;
      const values: Float32Array | Float64Array = await t.data(t.dtype);
      const wrong = values.length - values.filter(Number.isFinite).length;
      if (wrong > 0) bad.push(`${name} (${wrong} of ${t.size} elements)`);
    }
    return bad.length > 0
      ? `No op made it: NaN or infinite already were ${bad.join(", ")}.`
      : "Run again in the finder, all of it was finite: what the step computes depends on more than its batch and the default generator.";
  }
}
