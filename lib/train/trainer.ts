/**
 * Trainer: the training loop that most programs write, with what they tend to forget: evaluation mode, clipping before
 * the step, checkpoints that survive a kill, an event loop that stays free.
 */
import { detectAnomaly } from "../anomaly.js";
import { EMA } from "../optim/index.js";
import type { Tensor } from "../tensor.js";
import { type Evaluation, evaluateModel, predictWith } from "./evaluate.js";
import { onInterrupt } from "./interrupt.js";
import { type LearningRateTest, type LearningRateTestOptions, testLearningRates } from "./learningRateTest.js";
import { Loop } from "./loop.js";
import {
  type Batch,
  type BatchSource,
  type FitOptions,
  fitSettings,
  type Model,
  type TrainerOptions,
  type TrainerSettings,
  trainerSettings,
} from "./options.js";
import { FitRun } from "./run.js";

/**
 * Trains a model.
 *
 * @example
 * const model = new nn.Linear(2, 2);
 * const optimizer = new optim.SGD(model.parameters(), { lr: 0.5 });
 * const trainer = new train.Trainer(model, { optimizer, loss: nn.crossEntropy, metrics: ["accuracy"] });
 * const set = new data.TensorDataset([tensor([[1, 0], [0, 1]]), tensor(new Uint8Array([0, 1]))]);
 * const loader = new data.DataLoader(set, { batchSize: 2 });
 * for await (const event of trainer.fit(loader, { epochs: 20 })) {
 *   if (event.type === "epoch") console.log(event.epoch, event.scores.loss);
 * }
 * const { scores } = await trainer.evaluate(loader);
 */
export class Trainer {
  readonly #settings: TrainerSettings;
  #running = false;

  /**
   * Checks the options; nothing is trained, seeded or written before fit().
   *
   * @param model what is trained
   * @param options optimizer and loss have no default
   */
  constructor(model: Model, options: TrainerOptions) {
    this.#settings = trainerSettings(model, options, (decay) => new EMA(model, { decay }));
  }

  /** The model that was given, trained in place. */
  get model(): Model {
    return this.#settings.model;
  }

  /** The running average of the weights, where the options ask for one. */
  get ema(): EMA | null {
    return this.#settings.ema;
  }

  /**
   * Trains; `await` gives the result, `for await` the events. Training begins at once, whether or not anybody listens.
   *
   * Where a loss or a gradient is NaN or infinite (and stopAtNaN stands), the run ends with an error that names the op and the module which made
   * it; the weights and the optimizer are as they were before that step (running statistics have seen its batch).
   *
   * @throws (rejects) the error of a step, a callback or the loader; TypeError or RangeError for wrong options
   */
  fit(loader: BatchSource, options: FitOptions): FitRun {
    const settings = fitSettings(options, this.#settings);
    let loop: Loop | undefined;
    let stopped = false;
    return new FitRun(
      (emit) =>
        this.#exclusively("fit", async () => {
          const running = (loop = new Loop(this.#settings, settings, loader, emit));
          if (stopped) running.stop("stopped");
          const abort = () => running.stop("aborted");
          if (settings.signal?.aborted) abort();
          settings.signal?.addEventListener("abort", abort);
          const unlisten = settings.handleSignals ? onInterrupt(() => running.stop("interrupted")) : () => {};
          try {
            return await (this.#settings.detectAnomaly ? detectAnomaly(() => running.run()) : running.run());
          } finally {
            unlisten();
            settings.signal?.removeEventListener("abort", abort);
          }
        }),
      () => {
        stopped = true;
        loop?.stop("stopped");
      },
    );
  }

  /**
   * Loss and metrics over a loader's batches, with the averaged weights where there are some.
   *
   * @throws (rejects) the signal's reason when it aborts
   */
  evaluate(loader: AsyncIterable<Batch>, { signal }: { signal?: AbortSignal } = {}): Promise<Evaluation> {
    return this.#exclusively("evaluate", async () => {
      signal?.throwIfAborted();
      const result = await evaluateModel(this.#settings, loader, () => signal?.aborted === true);
      if (result === null) throw signal!.reason;
      return result;
    });
  }

  /**
   * The learning-rate range test (Smith, "Cyclical learning rates for training neural networks", 2015): trains for 100
   * steps while the learning rate grows from 1e-6 to 10 by a factor a step, stops where the loss diverges, and suggests
   * the rate at which the smoothed loss fell most steeply; a one-cycle schedule may go up to some three times that.
   * Schedule and weight averages stand still meanwhile. Afterwards weights, buffers, gradients, optimizer, the default
   * random generator and the loader (where it has loadStateDict) are as they were, bit for bit.
   *
   * @throws (rejects) ShapeError for options out of range; the signal's reason; Error when the first loss is not finite
   * @example
   * const model = new nn.Linear(2, 2);
   * const trainer = new train.Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 1 }), loss: nn.crossEntropy });
   * const x = randn([64, 2]);
   * const loader = new data.DataLoader(new data.TensorDataset([x, x.argmax(1)]), { batchSize: 16, shuffle: true });
   * const found = await trainer.findLearningRate(loader, { steps: 40 });
   * console.log(`${found}`, found.suggestion);
   */
  findLearningRate(loader: BatchSource, options: LearningRateTestOptions = {}): Promise<LearningRateTest> {
    return this.#exclusively("findLearningRate", () => testLearningRates(this.#settings, loader, options));
  }

  /** The outputs for a tensor of inputs, or for those of all batches of a loader, one after the other. */
  predict(source: Tensor | AsyncIterable<Batch | Tensor>, { signal }: { signal?: AbortSignal } = {}): Promise<Tensor> {
    return this.#exclusively("predict", () => predictWith(this.#settings, source, signal));
  }

  async #exclusively<T>(what: string, fn: () => Promise<T>): Promise<T> {
    if (this.#running) throw new Error(`${what}: this trainer is busy with another call; await that one first`);
    this.#running = true;
    try {
      return await fn();
    } finally {
      this.#running = false;
    }
  }
}
