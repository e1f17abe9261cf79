/**
 * Callbacks that look at numbers the run has anyway: learning rates, and the curves of training and validation.
 */
import { expect } from "../errors.js";
import type { Callback } from "./callbacks.js";
import { type Finding, figure } from "./diagnosis.js";
import type { Scores } from "./events.js";

/**
 * Step events carry the learning rate of every parameter group as `learningRate/GROUP`, from 0; with a schedule, which may
 * move them too, also `momentum/GROUP`, or `beta1/GROUP` and `beta2/GROUP`.
 *
 * @example
 * const model = new nn.Linear(2, 1);
 * const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2 });
 * const schedule = new optim.OneCycleLR(optimizer, { maxLr: 1e-2, totalSteps: 20 });
 * const trainer = new train.Trainer(model, { optimizer, schedule, loss: nn.mse });
 * const loader = new data.DataLoader(new data.TensorDataset([randn([80, 2]), randn([80, 1])]), { batchSize: 8 });
 * for await (const event of trainer.fit(loader, { epochs: 2, logEvery: 5, callbacks: [train.learningRateMonitor()] }))
 *   if (event.type === "step") console.log(event.measured?.["beta1/0"]);
 */
export function learningRateMonitor(): Callback {
  return {
    name: "learningRateMonitor",
    measure(when, { optimizer, schedule }): Scores | undefined {
      if (when !== "step") return undefined;
      const scores: Scores = {};
      optimizer.paramGroups.forEach((group, i) => {
        scores[`learningRate/${i}`] = group.lr;
        if (schedule === null) return;
        const { momentum, betas } = group as { momentum?: number; betas?: readonly [number, number] };
        if (momentum !== undefined) scores[`momentum/${i}`] = momentum;
        if (betas) [scores[`beta1/${i}`], scores[`beta2/${i}`]] = betas;
      });
      return scores;
    },
  };
}

export interface OverfittingOptions {
  /** By how many percent the validation loss may stand above its lowest value. Default 5. */
  loss?: number;
  /** How many validations in a row it may rise. Default 3. */
  rises?: number;
}

interface CurveState {
  /** The lowest validation loss, and the training loss there. */
  best: { validation: number; train: number; epoch: number } | null;
  last: { validation: number; train: number } | null;
  /** Rises of the validation loss in a row, and the training loss before them. */
  rises: number;
  trainBefore: number;
  /** Training loss since the last validation: sum over samples, and how many. */
  sum: number;
  samples: number;
}

/**
 * Says when a network learns its training set by heart: Prechelt's criteria ("Early stopping - but when?", 1998), while the
 * training loss still falls. With GL = 100 (validation loss / its lowest so far - 1), the generalisation loss in percent,
 * it is a finding that GL is above 5 (his GL_5), or that the validation loss has risen three times in a row (his UP_3). The
 * sentence tells both losses and the gap. The training loss is the epoch's mean, or the mean since the last validation; it
 * is that of training mode, with dropout and augmentation. Losses that are not positive have no GL; only the rises count
 * then. fit() ends such a run by { earlyStopping: true }.
 *
 * @throws ShapeError for options that are not positive
 * @example
 * const watch = train.overfitting(); // fit(loader, { validation, callbacks: [watch] })
 */
export function overfitting({ loss = 5, rises = 3 }: OverfittingOptions = {}): Callback {
  expect(loss > 0, "overfitting", "loss above 0", `${loss}`);
  expect(Number.isSafeInteger(rises) && rises >= 1, "overfitting", "rises to be a whole number from 1 up", `${rises}`);
  const fresh = (): CurveState => ({ best: null, last: null, rises: 0, trainBefore: 0, sum: 0, samples: 0 });
  let s = fresh();
  let epoch: { step: number; train: number } | null = null;
  return {
    name: "overfitting",
    onFitStart(run) {
      if (!run.resumed) s = fresh();
      epoch = null;
    },
    onEvent(event) {
      if (event.type === "step") {
        s.sum += event.scores.loss! * event.samples;
        s.samples += event.samples;
      } else if (event.type === "epoch") epoch = { step: event.step, train: event.scores.loss! };
      else if (event.type === "validation") {
        const train = epoch?.step === event.step ? epoch.train : s.samples > 0 ? s.sum / s.samples : s.last?.train;
        const validation = event.scores.loss!;
        [s.sum, s.samples] = [0, 0];
        if (train === undefined) return;
        if (s.last && validation > s.last.validation) {
          if (s.rises === 0) s.trainBefore = s.last.train;
          s.rises++;
        } else s.rises = 0;
        s.last = { validation, train };
        if (s.best === null || validation < s.best.validation) s.best = { validation, train, epoch: event.epoch };
      }
    },
    diagnose(): Finding[] {
      const { best, last } = s;
      if (!best || !last) return [];
      const share = best.validation > 0 ? 100 * (last.validation / best.validation - 1) : 0;
      const far = share > loss && last.train < best.train;
      const rising = s.rises >= rises && last.train < s.trainBefore;
      if (!far && !rising) return [];
      const why = far
        ? `stands ${figure(share)} % above its lowest value, of epoch ${best.epoch} (bound ${figure(loss)} %)`
        : `has risen ${s.rises} times in a row (bound ${rises})`;
      const message = `The validation loss, ${figure(last.validation)}, ${why}, while the training loss fell to ${figure(last.train)}: a gap of ${figure(last.validation - last.train)}. Stop earlier, regularise, or train on more data`;
      return [{ kind: "overfitting", where: null, message }];
    },
    stateDict: () => ({ ...s }),
    loadStateDict: (state) => void (s = state as CurveState),
  };
}
