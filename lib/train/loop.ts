/**
 * The training loop: what one fit() does, step by step.
 *
 * No step waits for a number. Losses and metrics add up on the device; at log points their totals are queued to be read
 * and arrive steps later. A step is only begun when at most two are still being computed, so that the event loop stays
 * free and memory bounded. Everything a resumed run needs is in `state` and in the stateDicts of the parts.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { noGrad } from "../graph.js";
import { scope, unscoped } from "../memory.js";
import { addon, breathe } from "../native.js";
import { clipGradNorm, clipGradValue, ReduceLROnPlateau } from "../optim/index.js";
import { defaultGenerator } from "../random.js";
import type { Tensor } from "../tensor.js";
import type { RunContext } from "./callbacks.js";
import { StepRunner } from "./capturing.js";
import { loadState, saveState } from "./checkpoint.js";
import { type Finding, keyOf } from "./diagnosis.js";
import { evaluateModel, release } from "./evaluate.js";
import type { EndReason, EpochEvent, FitResult, Scores, TrainEvent, ValidationEvent } from "./events.js";
import { FiniteGuard } from "./finite.js";
import { MetricsLog } from "./log.js";
import { addCounts, type Counts, type Measures, noCounts, scoresOf, Totals } from "./metrics.js";
import { Monitor, type MonitorState } from "./monitor.js";
import {
  type Batch,
  type BatchSource,
  type ClosureOptimizer,
  type FitSettings,
  type StepOptimizer,
  type TrainerSettings,
  takesClosure,
} from "./options.js";

const AHEAD = 2; // steps that may be pending when the next begins

/** Where a run stands, at the end of a step. */
interface Progress {
  step: number;
  /** Finished epochs. */
  epoch: number;
  /** Samples since the run's beginning. */
  samples: number;
  /** Batches of the current epoch. */
  epochBatches: number;
  /** Seconds in training steps, of the run and of its current epoch. */
  seconds: number;
  epochSeconds: number;
  /** Since the last step event. */
  windowSeconds: number;
  /** Of the epoch up to the last step event. */
  epochCounts: Counts;
  history: (EpochEvent | ValidationEvent)[];
  /** The epoch whose validation is to be done: a run may be interrupted in it. */
  validationDue: number | null;
  monitor: MonitorState;
  logBytes: number;
  /** What the last diagnosis found, by key. */
  diagnosed: string[];
}

/** What a step leaves for the loop, beside the weights. */
type StepResult = {
  norm: Tensor | null;
  measures: Measures[];
};

/** A window on its way from the device. */
interface PendingWindow {
  step: number;
  tells: boolean;
  numbers: Promise<{ counts: Counts; gradientNorm: number | null; measured: Scores | null; at: number }>;
  learningRate: number;
}

export class Loop {
  readonly #trainer: TrainerSettings;
  readonly #fit: FitSettings;
  readonly #loader: BatchSource;
  readonly #emit: (event: TrainEvent) => Promise<void>;
  readonly #totals: Totals;
  readonly #monitor: Monitor;
  readonly #steps: StepRunner<StepResult>;
  /** The run as callbacks see it. */
  readonly #context: RunContext;
  #log: MetricsLog | null = null;
  #p: Progress = {
    step: 0,
    epoch: 0,
    samples: 0,
    epochBatches: 0,
    seconds: 0,
    epochSeconds: 0,
    windowSeconds: 0,
    epochCounts: noCounts(),
    history: [],
    validationDue: null,
    monitor: { best: null, waited: 0 },
    logBytes: 0,
    diagnosed: [],
  };
  #stop: EndReason | null = null;
  readonly #guard: FiniteGuard;
  #pending: Promise<unknown>[] = [];
  #windows: PendingWindow[] = [];
  #norm: Tensor | null = null;
  #mark = 0; // when the last window's steps were done, or training went on
  #savedAt = 0; // ms, of the last checkpoint
  #unsaved = true; // whether something happened since
  #resumed = false;

  constructor(
    trainer: TrainerSettings,
    fit: FitSettings,
    loader: BatchSource,
    emit: (event: TrainEvent) => Promise<void>,
  ) {
    this.#trainer = trainer;
    this.#fit = fit;
    this.#loader = loader;
    this.#emit = emit;
    this.#totals = new Totals(trainer.metrics);
    this.#monitor = new Monitor(fit.monitor, fit.earlyStopping);
    this.#guard = new FiniteGuard(trainer.model, trainer.stopAtNaN);
    this.#steps = this.#stepRunner();
    this.#context = this.#contextOf(trainer);
  }

  /** Ends the run after the current step; the first reason stays. */
  stop(reason: EndReason): void {
    this.#stop ??= reason;
  }

  async run(): Promise<FitResult> {
    const { out, model, optimizer, seed } = this.#trainer;
    if (seed !== null) defaultGenerator.manualSeed(seed);
    if (out) await mkdir(out, { recursive: true });
    await this.#resume();
    if (out) this.#log = await MetricsLog.open(join(out, "metrics.jsonl"), this.#p.logBytes);
    const modes = model.modules().map((m) => [m, m.training] as const);
    model.train();
    this.#savedAt = performance.now();
    const { callbacks, epochs, steps } = this.#fit;
    try {
      await callbacks.call("onFitStart", this.#context);
      if (this.#p.validationDue !== null && !this.#stop) await this.#validate(this.#p.validationDue);
      if (this.#monitor.outOfPatience) this.stop("earlyStopping");
      while (!this.#stop && this.#p.epoch < epochs && this.#p.step < steps) await this.#epoch();
      const validated = this.#p.history.some((e) => e.type === "validation" && e.step === this.#p.step);
      if (!this.#stop && !validated && this.#p.epochBatches > 0) await this.#validate(this.#p.epoch + 1);
      const result = await this.#end();
      await callbacks.call("onFitEnd", result, this.#context);
      return result;
    } catch (failure) {
      const error = await this.#guard.explain(failure, takesClosure(optimizer), (group) => this.#runAgain(group));
      await callbacks.tellException(error, this.#context);
      throw error;
    } finally {
      for (const [m, training] of modes) m.training = training;
      this.#dropPending();
      this.#steps.free();
      await this.#log?.close();
    }
  }

  #contextOf({ model, optimizer, schedule, out, metrics }: TrainerSettings): RunContext {
    const loop = this;
    return {
      model,
      optimizer,
      schedule,
      out,
      metrics: ["loss", ...metrics.map((m) => m.name)],
      get step() {
        return loop.#p.step;
      },
      get epoch() {
        return loop.#p.epoch + 1;
      },
      logEvery: this.#fit.logEvery,
      get resumed() {
        return loop.#resumed;
      },
      stop: () => this.stop("stopped"),
    };
  }

  // ---- Steps

  async #epoch(): Promise<void> {
    const p = this.#p;
    await this.#fit.callbacks.call("onEpochStart", this.#context);
    this.#steps.beginEpoch();
    this.#mark = performance.now();
    let complete = true;
    for await (const group of groups(this.#loader, this.#trainer.accumulate)) {
      await this.#step(group);
      await this.#afterStep();
      if (this.#stop || p.step >= this.#fit.steps) {
        // Only the loader knows whether this was the last batch; a stopped run finds out when it is resumed.
        complete = !this.#stop && p.epochBatches === this.#loader.length;
        if (!complete) break; // else the loader ends its epoch itself: its state is then the beginning of the next one
      }
    }
    await this.#drain();
    if (complete) await this.#endEpoch();
  }

  /** One optimizer step over the batches of a group, each weighted by its samples: the gradient of the whole group's mean. */
  async #step(group: Batch[]): Promise<void> {
    const { optimizer, ema } = this.#trainer;
    this.#guard.begin(this.#p.step + 1, group);
    if (takesClosure(optimizer)) await this.#closureStep(optimizer, group);
    else {
      const { norm, measures } = await this.#steps.step(group);
      this.#norm?.free();
      this.#norm = norm;
      for (const measured of measures) this.#totals.addMeasures(measured);
      for (const { sum } of measures.flatMap((m) => m.parts)) sum.free();
    }
    ema?.update();
    this.#moveSchedule("step");
    this.#unsaved = true;
    this.#p.step++;
    this.#p.samples += group.reduce((n, [x]) => n + (x.shape[0] ?? 1), 0);
    this.#p.epochBatches += group.length;
    this.#pending.push(this.#guard.settled());
  }

  /** Waits for the oldest step that is pending. */
  async #oldestStep(): Promise<void> {
    await this.#pending[0];
    this.#pending.shift();
    release(this.#loader, this.#guard.done());
  }

  /** The gradients of a group once more, for nobody. */
  #runAgain(group: Batch[]): void {
    this.#trainer.optimizer.zeroGrad();
    this.#gradients(group, false).loss.free();
  }

  /** Forward, backward, clipping and the optimizer: what may be captured. */
  #wholeStep(optimizer: StepOptimizer, group: Batch[]): StepResult {
    const { model, clipNorm, clipValue } = this.#trainer;
    optimizer.zeroGrad();
    const { loss, measures } = this.#gradients(group, true);
    loss.free();
    this.#guard.gradients();
    this.#fit.callbacks.callNow("onGradients", this.#context);
    const norm = clipNorm === null ? null : unscoped(() => clipGradNorm(model.parameters(), clipNorm));
    if (clipValue !== null) clipGradValue(model.parameters(), clipValue);
    optimizer.step();
    return { norm, measures };
  }

  #stepRunner(): StepRunner<StepResult> {
    const { model, optimizer, capture, detectAnomaly } = this.#trainer;
    const inside = this.#fit.callbacks.withHook("onGradients");
    if (capture && inside.length > 0) {
      throw new TypeError(
        `fit: expected no callback with onGradients where the Trainer captures its steps, got "${inside[0]}": it would only ` +
          "run when a step is recorded; leave out capture",
      );
    }
    const plain = capture === false || takesClosure(optimizer) || inside.length > 0 || detectAnomaly;
    const when = capture ? "always" : plain ? "never" : "alike";
    return new StepRunner(model, when, (group) => this.#wholeStep(optimizer as StepOptimizer, group));
  }

  async #closureStep(optimizer: ClosureOptimizer, group: Batch[]): Promise<void> {
    const draw = defaultGenerator.state();
    let first = true;
    await optimizer.step(() => {
      defaultGenerator.load(draw);
      optimizer.zeroGrad();
      const { loss, measures } = this.#gradients(group, first);
      for (const measured of measures) this.#totals.addMeasures(measured);
      if (first) this.#fit.callbacks.callNow("onGradients", this.#context);
      first = false;
      return loss;
    });
  }

  /** Adds up the gradients of a group; gives its mean loss and, where they `count`, the scores of its batches. */
  #gradients(group: Batch[], count: boolean): { loss: Tensor; measures: Measures[] } {
    const { model, loss } = this.#trainer;
    const samples = group.map(([x]) => x.shape[0] ?? 1);
    const all = samples.reduce((a, b) => a + b, 0);
    const parts = group.map(([x, y], i) =>
      scope(() => {
        const output = model.forward(x);
        const value = loss(output, y);
        const share = group.length === 1 ? value : value.mul(samples[i]! / all);
        share.backward();
        if (count) this.#guard.loss(value);
        const measure = () => this.#totals.measure(value.detach(), output.detach(), y, samples[i]!);
        return { share: share.detach(), measured: count ? noGrad(measure) : null };
      }),
    );
    const measures = parts.flatMap(({ measured }) => measured ?? []);
    if (parts.length === 1) return { loss: parts[0]!.share, measures };
    const total = scope(() => noGrad(() => parts.map(({ share }) => share).reduce((a, b) => a.add(b))));
    for (const { share } of parts) share.free();
    return { loss: total, measures };
  }

  /** Moves the schedule on, where it is its time; one that goes by the validation needs its score. */
  #moveSchedule(at: "step" | "epoch" | "validation", score = 0): void {
    const { schedule, scheduleEvery } = this.#trainer;
    if (schedule instanceof ReduceLROnPlateau) {
      if (at === "validation") schedule.step(score);
    } else if (at === scheduleEvery) schedule?.step();
  }

  async #afterStep(): Promise<void> {
    const p = this.#p;
    const message = this.#steps.takeNotice();
    if (message !== null) await this.#tell({ type: "notice", step: p.step, epoch: p.epoch + 1, message });
    await this.#fit.callbacks.call("onStepEnd", this.#context);
    if (p.step % this.#fit.logEvery === 0) this.#queueWindow(true);
    while (this.#pending.length > AHEAD) await this.#oldestStep();
    await breathe();
    while (this.#windows.length > 0 && this.#windows[0]!.step <= p.step - AHEAD) await this.#arrive();
    const { validateEvery, checkpointEvery, checkpointSeconds } = this.#fit;
    if (validateEvery !== null && p.step % validateEvery === 0) {
      await this.#drain();
      await this.#validate(p.epoch + 1);
    }
    const late = checkpointSeconds !== null && performance.now() - this.#savedAt >= checkpointSeconds * 1000;
    if (late || (typeof checkpointEvery === "number" && p.step % checkpointEvery === 0)) {
      await this.#drain();
      await this.#save("last");
    }
  }

  // ---- Numbers that arrive later

  /** Queues the read of the totals since the last call. `tells`: a step event follows. */
  #queueWindow(tells: boolean): void {
    const counts = this.#totals.take();
    const gradientNorm = this.#norm ? this.#norm.item() : null;
    const measured = tells ? this.#fit.callbacks.measure("step", this.#context) : null;
    const numbers = Promise.all([counts, gradientNorm, measured]).then(([counts, gradientNorm, measured]) => ({
      counts,
      gradientNorm,
      measured,
      at: performance.now(),
    }));
    numbers.catch(() => {}); // thrown where it is awaited
    this.#windows.push({ step: this.#p.step, tells, numbers, learningRate: learningRateOf(this.#trainer.optimizer) });
  }

  async #arrive(): Promise<void> {
    const { step, tells, numbers, learningRate } = this.#windows[0]!;
    const { counts, gradientNorm, measured, at } = await numbers;
    this.#windows.shift();
    const p = this.#p;
    this.#tick(at);
    const samplesPerSecond = counts.samples / p.windowSeconds;
    p.windowSeconds = 0;
    addCounts(p.epochCounts, counts);
    if (!tells) return;
    const { samples } = counts;
    await this.#tell({
      type: "step",
      step,
      epoch: p.epoch + 1,
      scores: scoresOf(counts),
      learningRate,
      gradientNorm,
      samples,
      samplesPerSecond,
      ...(measured && { measured }),
    });
  }

  /** Counts the time of training up to `at`. */
  #tick(at: number): void {
    const seconds = Math.max(0, at - this.#mark) / 1000;
    this.#mark = Math.max(at, this.#mark);
    this.#p.seconds += seconds;
    this.#p.epochSeconds += seconds;
    this.#p.windowSeconds += seconds;
  }

  /** Waits for the steps so far and for the numbers that were queued. */
  async #drain(): Promise<void> {
    while (this.#pending.length > 0) await this.#oldestStep();
    const done = performance.now();
    while (this.#windows.length > 0) await this.#arrive();
    this.#tick(done);
    this.#mark = performance.now();
  }

  #dropPending(): void {
    release(this.#loader, this.#guard.end());
    this.#norm?.free();
  }

  // ---- Between steps

  async #endEpoch(): Promise<void> {
    const { optimizer } = this.#trainer;
    const p = this.#p;
    if (!this.#totals.isEmpty) {
      this.#queueWindow(false);
      await this.#drain();
    }
    if (p.epochCounts.samples === 0) {
      throw new Error(
        "fit: the loader gave no batch in this epoch. Is its data set empty, or shorter than a batch with dropLast?",
      );
    }
    const measured = await this.#fit.callbacks.measure("epoch", this.#context);
    p.epoch++;
    const event: EpochEvent = {
      type: "epoch",
      step: p.step,
      epoch: p.epoch,
      scores: scoresOf(p.epochCounts),
      learningRate: learningRateOf(optimizer),
      samples: p.epochCounts.samples,
      seconds: p.epochSeconds,
      samplesPerSecond: p.epochCounts.samples / p.epochSeconds,
      ...(measured && { measured }),
    };
    [p.epochCounts, p.epochSeconds, p.epochBatches] = [noCounts(), 0, 0];
    p.history.push(event);
    this.#moveSchedule("epoch");
    await this.#tell(event);
    if (this.#fit.validateEvery === null) await this.#validate(p.epoch);
    await this.#diagnose();
    if (this.#fit.checkpointEvery === "epoch") await this.#save("last");
  }

  async #validate(epoch: number): Promise<void> {
    const { validation } = this.#fit;
    if (!validation) return;
    this.#p.validationDue = epoch;
    this.#unsaved = true;
    const result = await evaluateModel(this.#trainer, validation, () => this.#stop !== null);
    this.#mark = performance.now();
    if (result === null) return;
    this.#p.validationDue = null;
    const { scores, samples, seconds } = result;
    const event = this.#monitor.see({
      type: "validation",
      step: this.#p.step,
      epoch,
      scores,
      samples,
      seconds,
      best: false,
    });
    this.#p.monitor = this.#monitor.state;
    this.#p.history.push(event);
    this.#moveSchedule("validation", scores[this.#fit.monitor]);
    await this.#tell(event);
    if (event.best && this.#fit.checkpointEvery !== null) await this.#save("best");
    if (this.#monitor.outOfPatience) this.stop("earlyStopping");
  }

  /** Tells what callbacks find, where it has changed. */
  async #diagnose(): Promise<Finding[]> {
    const p = this.#p;
    const findings = this.#fit.callbacks.diagnose();
    const keys = findings.map(keyOf);
    if (keys.join("\n") !== p.diagnosed.join("\n")) {
      p.diagnosed = keys;
      await this.#tell({ type: "diagnosis", step: p.step, epoch: p.epoch, findings });
    }
    return findings;
  }

  async #end(): Promise<FitResult> {
    const p = this.#p;
    const reason = this.#stop ?? "finished";
    if (this.#fit.checkpointEvery !== null && this.#unsaved) await this.#save("last");
    const diagnosis = await this.#diagnose();
    await this.#tell({ type: "end", step: p.step, epoch: p.epoch, reason, seconds: p.seconds });
    const { history, seconds, samples, monitor } = p;
    return { reason, steps: p.step, epochs: p.epoch, seconds, samples, history, best: monitor.best, diagnosis };
  }

  async #tell(event: TrainEvent): Promise<void> {
    // A checkpoint is no line: resuming cuts the log where the checkpoint was, and would lose it.
    if (event.type !== "checkpoint" && event.type !== "end") await this.#log?.write(event);
    const { callbacks } = this.#fit;
    await callbacks.call("onEvent", event, this.#context);
    if (event.type === "epoch") await callbacks.call("onEpochEnd", event, this.#context);
    else if (event.type === "validation") await callbacks.call("onValidation", event, this.#context);
    else if (event.type === "checkpoint") await callbacks.call("onCheckpoint", event, this.#context);
    await this.#emit(event);
  }

  // ---- Checkpoints

  async #save(kind: "last" | "best"): Promise<void> {
    const { out, model, optimizer, schedule, ema } = this.#trainer;
    const p = this.#p;
    const path = join(out!, `${kind}.safetensors`);
    p.logBytes = this.#log!.bytes;
    const state = {
      model: model.stateDict(),
      optimizer: optimizer.stateDict(),
      schedule: schedule?.stateDict() ?? null,
      ema: ema?.stateDict() ?? null,
      generator: defaultGenerator.state(),
      loader: this.#loader.stateDict?.() ?? null,
      totals: this.#totals.state(),
      progress: p,
      callbacks: await this.#fit.callbacks.state(),
    };
    await saveState(path, state, { step: String(p.step), epoch: String(p.epoch), isa: addon.isa() });
    if (kind === "last") [this.#savedAt, this.#unsaved] = [performance.now(), false];
    await this.#tell({ type: "checkpoint", step: p.step, epoch: p.epoch, path, kind });
    this.#mark = performance.now();
  }

  async #resume(): Promise<void> {
    const { resume } = this.#fit;
    if (resume === null) return;
    const { model, optimizer, schedule, ema } = this.#trainer;
    const state = await loadState(resume);
    // biome-ignore lint/suspicious/noExplicitAny: a file holds what save() put there; each part checks its own
    const s = state as any;
    for (const [name, part, saved] of [
      ["schedule", schedule, s.schedule],
      ["ema", ema, s.ema],
    ] as const) {
      if ((part === null) !== (saved === null)) {
        throw new Error(
          `fit: ${resume} was written ${saved ? "with" : "without"} ${name}, this trainer is ${part ? "with" : "without"} one`,
        );
      }
    }
    model.loadStateDict(s.model);
    optimizer.loadStateDict(s.optimizer);
    schedule?.loadStateDict(s.schedule);
    ema?.loadStateDict(s.ema);
    defaultGenerator.load(s.generator);
    this.#totals.load(s.totals);
    this.#p = { ...s.progress, diagnosed: s.progress.diagnosed ?? [] };
    this.#monitor.state = this.#p.monitor;
    [this.#unsaved, this.#resumed] = [false, true];
    await this.#fit.callbacks.load(s.callbacks ?? {});
    if (s.loader !== null && this.#loader.loadStateDict) this.#loader.loadStateDict(s.loader);
    else if (this.#p.epochBatches > 0) {
      throw new Error(
        `fit: ${resume} was written in the middle of an epoch, and this loader cannot go on from there; use data.DataLoader, or checkpoints at the ends of epochs`,
      );
    }
  }
}

const learningRateOf = (optimizer: TrainerSettings["optimizer"]): number => optimizer.paramGroups[0]!.lr;

/** The batches of a loader by `size`; the last group may have fewer. */
async function* groups(loader: BatchSource, size: number): AsyncGenerator<Batch[]> {
  let group: Batch[] = [];
  for await (const batch of loader) {
    group.push(batch);
    if (group.length === size) {
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}
