/**
 * The training loop: what one fit() does, step by step.
 *
 * No step waits for a number. Losses and metrics add up on the device; at log points their totals are queued to be read
 * and arrive steps later. A step is only begun when at most two are still being computed, so that the event loop stays
 * free and memory bounded. Everything a resumed run needs is in `state` and in the stateDicts of the parts.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { noGrad } from "../autograd.js";
import { scope, unscoped } from "../memory.js";
import { addon, breathe } from "../native.js";
import { clipGradNorm, clipGradValue } from "../optim/index.js";
import { defaultGenerator } from "../random.js";
import type { Tensor } from "../tensor.js";
import { loadState, saveState } from "./checkpoint.js";
import { evaluateModel, release } from "./evaluate.js";
import type { EndReason, EpochEvent, FitResult, TrainEvent, ValidationEvent } from "./events.js";
import { FiniteGuard } from "./finite.js";
import { MetricsLog } from "./log.js";
import { addCounts, type Counts, noCounts, scoresOf, Totals } from "./metrics.js";
import { Monitor, type MonitorState } from "./monitor.js";
import type { Batch, BatchSource, FitSettings, TrainerSettings } from "./options.js";

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
}

/** A window on its way from the device. */
interface PendingWindow {
  step: number;
  tells: boolean;
  numbers: Promise<{ counts: Counts; gradientNorm: number | null; at: number }>;
  learningRate: number;
}

export class Loop {
  readonly #trainer: TrainerSettings;
  readonly #fit: FitSettings;
  readonly #loader: BatchSource;
  readonly #emit: (event: TrainEvent) => Promise<void>;
  readonly #totals: Totals;
  readonly #monitor: Monitor;
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
  };
  #stop: EndReason | null = null;
  readonly #guard: FiniteGuard;
  #pending: Promise<unknown>[] = [];
  #windows: PendingWindow[] = [];
  #norm: Tensor | null = null;
  #mark = 0; // when the last window's steps were done, or training went on
  #savedAt = 0; // ms, of the last checkpoint
  #unsaved = true; // whether something happened since

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
    this.#guard = new FiniteGuard(trainer.model);
  }

  /** Ends the run after the current step; the first reason stays. */
  stop(reason: EndReason): void {
    this.#stop ??= reason;
  }

  async run(): Promise<FitResult> {
    const { out, model, seed } = this.#trainer;
    if (seed !== null) defaultGenerator.manualSeed(seed);
    if (out) await mkdir(out, { recursive: true });
    await this.#resume();
    if (out) this.#log = await MetricsLog.open(join(out, "metrics.jsonl"), this.#p.logBytes);
    const modes = model.modules().map((m) => [m, m.training] as const);
    model.train();
    this.#savedAt = performance.now();
    try {
      const { epochs, steps } = this.#fit;
      if (this.#p.validationDue !== null && !this.#stop) await this.#validate(this.#p.validationDue);
      if (this.#monitor.outOfPatience) this.stop("earlyStopping");
      while (!this.#stop && this.#p.epoch < epochs && this.#p.step < steps) await this.#epoch();
      const validated = this.#p.history.some((e) => e.type === "validation" && e.step === this.#p.step);
      if (!this.#stop && !validated && this.#p.epochBatches > 0) await this.#validate(this.#p.epoch + 1);
      return await this.#end();
    } catch (error) {
      throw await this.#guard.explain(error, (group) => this.#gradients(group));
    } finally {
      for (const [m, training] of modes) m.training = training;
      this.#dropPending();
      await this.#log?.close();
    }
  }

  // ---- Steps

  async #epoch(): Promise<void> {
    const p = this.#p;
    this.#mark = performance.now();
    let complete = true;
    for await (const group of groups(this.#loader, this.#trainer.accumulate)) {
      this.#step(group);
      await this.#afterStep();
      if (this.#stop || p.step >= this.#fit.steps) {
        // Only the loader knows whether this was the last batch; a stopped run finds out when it is resumed.
        complete = !this.#stop && p.epochBatches === this.#loader.length;
        break;
      }
    }
    await this.#drain();
    if (complete) await this.#endEpoch();
  }

  /** The gradient of a group's mean loss: each batch weighted by its samples. */
  #gradients(
    group: Batch[],
    see: (value: Tensor, output: Tensor, y: Tensor, samples: number) => void = () => {},
  ): void {
    const { model, loss, optimizer } = this.#trainer;
    const samples = group.map(([x]) => x.shape[0] ?? 1);
    const all = samples.reduce((a, b) => a + b, 0);
    optimizer.zeroGrad();
    group.forEach(([x, y], i) => {
      scope(() => {
        const output = model.forward(x);
        const value = loss(output, y);
        (group.length === 1 ? value : value.mul(samples[i]! / all)).backward();
        see(value, output, y, samples[i]!);
      });
    });
  }

  /** One optimizer step over the batches of a group. */
  #step(group: Batch[]): void {
    const { model, optimizer, clipNorm, clipValue, ema, schedule } = this.#trainer;
    const all = group.reduce((n, [x]) => n + (x.shape[0] ?? 1), 0);
    this.#guard.begin(this.#p.step + 1, group);
    this.#gradients(group, (value, output, y, samples) => {
      this.#guard.loss(value);
      noGrad(() => this.#totals.add(value.detach(), output.detach(), y, samples));
    });
    this.#guard.gradients();
    this.#norm?.free();
    this.#norm = clipNorm === null ? null : unscoped(() => clipGradNorm(model.parameters(), clipNorm));
    if (clipValue !== null) clipGradValue(model.parameters(), clipValue);
    optimizer.step();
    ema?.update();
    if (schedule && this.#trainer.scheduleEvery === "step") schedule.step();
    this.#unsaved = true;
    this.#p.step++;
    this.#p.samples += all;
    this.#p.epochBatches += group.length;
    this.#pending.push(this.#guard.settled());
  }

  /** Waits for the oldest step that is pending. */
  async #oldestStep(): Promise<void> {
    await this.#pending[0];
    this.#pending.shift();
    release(this.#loader, this.#guard.done());
  }

  async #afterStep(): Promise<void> {
    const p = this.#p;
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
    const numbers = Promise.all([counts, gradientNorm]).then(([counts, gradientNorm]) => ({
      counts,
      gradientNorm,
      at: performance.now(),
    }));
    numbers.catch(() => {}); // thrown where it is awaited
    this.#windows.push({ step: this.#p.step, tells, numbers, learningRate: learningRateOf(this.#trainer.optimizer) });
  }

  async #arrive(): Promise<void> {
    const { step, tells, numbers, learningRate } = this.#windows[0]!;
    const { counts, gradientNorm, at } = await numbers;
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
    const { schedule, scheduleEvery, optimizer } = this.#trainer;
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
    };
    [p.epochCounts, p.epochSeconds, p.epochBatches] = [noCounts(), 0, 0];
    p.history.push(event);
    if (schedule && scheduleEvery === "epoch") schedule.step();
    await this.#tell(event);
    if (this.#fit.validateEvery === null) await this.#validate(p.epoch);
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
    await this.#tell(event);
    if (event.best && this.#fit.checkpointEvery !== null) await this.#save("best");
    if (this.#monitor.outOfPatience) this.stop("earlyStopping");
  }

  async #end(): Promise<FitResult> {
    const p = this.#p;
    const reason = this.#stop ?? "finished";
    if (this.#fit.checkpointEvery !== null && this.#unsaved) await this.#save("last");
    await this.#tell({ type: "end", step: p.step, epoch: p.epoch, reason, seconds: p.seconds });
    const { history, seconds, samples, monitor } = p;
    return { reason, steps: p.step, epochs: p.epoch, seconds, samples, history, best: monitor.best };
  }

  async #tell(event: TrainEvent): Promise<void> {
    // A checkpoint is no line: resuming cuts the log where the checkpoint was, and would lose it.
    if (event.type !== "checkpoint" && event.type !== "end") await this.#log?.write(event);
    for (const callback of this.#fit.callbacks) await callback(event);
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
    this.#p = s.progress;
    this.#monitor.state = this.#p.monitor;
    this.#unsaved = false;
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
