/**
 * What happens to a run whose loss is no number any more. A guard is queued with each step: where the loss or a gradient
 * is NaN or infinite, the gradients fail natively, in this step and in those that JavaScript has queued behind it, so the
 * optimizer changes nothing and the weights stay as they were before the step. The run then ends, after the step was run
 * again in the NaN finder: the error names the op and the module.
 */
import { AnomalyError, detectAnomaly } from "../anomaly.js";
import { live } from "../live.js";
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
}

const lossSentence = (step: number | "#") => `fit: the loss of step ${step} is NaN or infinite`;
const gradientSentence = (step: number | "#") =>
  `fit: the loss of step ${step} is finite, and a gradient of it is NaN or infinite`;

export class FiniteGuard {
  readonly #model: Model;
  // Fails with the first step that goes wrong, and stays so.
  readonly #flag: Tensor = unscoped(() => zeros([1]));
  readonly #recent: Recent[] = [];

  constructor(model: Model) {
    this.#model = model;
  }

  /** Before each step; its batches are this guard's until done() answers them. */
  begin(step: number, group: Batch[]): void {
    this.#recent.push({ step, group, random: defaultGenerator.state() });
  }

  /** After backward, before anything uses the gradients: looks at the mean loss, then at them. */
  check(loss: Tensor): void {
    const flag = handleOf(this.#flag, "fit");
    const grads = this.#model.parameters().flatMap((p) => (p.grad ? [handleOf(p.grad, "fit")] : []));
    const step = live(() => this.#recent.at(-1)!.step);
    addon.guard([handleOf(loss, "fit")], [flag], lossSentence("#"), step);
    addon.guard(grads, [flag, ...grads], gradientSentence("#"), step);
  }

  /** Resolves when all that was called so far has run; rejects where a step has gone wrong. */
  settled(): Promise<unknown> {
    const read = addon.read(handleOf(this.#flag, "fit"));
    read.catch(() => {}); // thrown where it is awaited
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

  /** The error to end the run with: `error`, or, where a loss or a gradient was not finite, what the finder says. */
  async explain(error: unknown, runAgain: (group: Batch[]) => void): Promise<unknown> {
    const failed = await this.settled().then(
      () => null,
      (why: Error) => why.message,
    );
    const bad = this.#recent.find(({ step }) => failed === lossSentence(step) || failed === gradientSentence(step));
    if (!bad) return error;
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
    return new Error(`${failed}. ${found} The weights are as they were before that step.`, { cause });
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
