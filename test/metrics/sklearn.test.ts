/** @file Metrics against scikit-learn's values (test/fixtures/make_metrics.py), whole and from batches. */
import { readFileSync } from "node:fs";
import { metrics } from "napier";
import { describe, expect, test } from "vitest";

const golden = JSON.parse(readFileSync(new URL("../fixtures/metrics.json", import.meta.url), "utf8")) as {
  probabilities: number[][];
  kappa: Record<string, number>;
  fBeta: Record<string, number>;
  topK: Record<string, number>;
  report: string;
  reportNamed: string;
} & Record<"roc" | "rocAll" | "precisionRecall", Record<string, number[]>> &
  Record<"labels" | "predictions" | "truth" | "scores" | "targets" | "guesses" | "jaccard", number[]> &
  Record<string, number>;
const { labels, predictions, truth, scores, targets, guesses } = golden;
const probabilities = golden.probabilities.flat();

const near = (got: number, want: number) =>
  expect(Math.abs(got - want)).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(want)));
const allNear = (got: number[], want: number[]) => {
  expect(got.length).toBe(want.length);
  for (const [i, v] of want.entries()) near(got[i]!, v);
};

test("ROC curve, with and without points on straight lines; the first threshold is infinite", () => {
  for (const [name, dropIntermediate] of [
    ["roc", true],
    ["rocAll", false],
  ] as const) {
    const curve = metrics.rocCurve(scores, truth, { dropIntermediate });
    allNear(curve.fpr, golden[name].fpr!);
    allNear(curve.tpr, golden[name].tpr!);
    expect(curve.thresholds[0]).toBe(Number.POSITIVE_INFINITY);
    allNear(curve.thresholds.slice(1), golden[name].thresholds!.slice(1));
  }
});
test("precision-recall curve", () => {
  const curve = metrics.precisionRecallCurve(scores, truth);
  for (const part of ["precision", "recall", "thresholds"] as const)
    allNear(curve[part], golden.precisionRecall[part]!);
});
test("areas", () => {
  near(metrics.rocAuc(scores, truth), golden.rocAuc!);
  near(metrics.rocAuc(probabilities, labels), golden.rocAucMacro!);
  near(metrics.rocAuc(probabilities, labels, { average: "weighted" }), golden.rocAucWeighted!);
  near(metrics.averagePrecision(scores, truth), golden.averagePrecision!);
  near(metrics.averagePrecision(probabilities, labels), golden.averagePrecisionMacro!);
  near(metrics.averagePrecision(probabilities, labels, { average: "weighted" }), golden.averagePrecisionWeighted!);
});
test("correlation, agreement, F-beta, overlap", () => {
  near(metrics.matthews(predictions, labels), golden.matthews!);
  for (const weights of [null, "linear", "quadratic"] as const)
    near(metrics.cohenKappa(predictions, labels, { weights }), golden.kappa[weights ?? "None"]!);
  for (const average of ["macro", "weighted", "micro"] as const)
    for (const beta of [0.5, 1, 2])
      near(metrics.fBeta(predictions, labels, { average, beta }), golden.fBeta[`${average} ${beta}`]!);
  const binary = scores.map((s) => Number(s > 0.5));
  near(metrics.fBeta(binary, truth, { average: "binary", beta: 2 }), golden.fBetaBinary!);
  const { iou, dice, meanIoU, meanDice } = metrics.overlap(predictions, labels);
  allNear(iou, golden.jaccard);
  allNear(
    dice,
    iou.map((j) => (2 * j) / (1 + j)),
  );
  near(meanIoU, iou.reduce((a, b) => a + b) / 4);
  near(meanDice, golden.fBeta["macro 1"]!);
});
test("probabilities", () => {
  near(metrics.logLoss(probabilities, labels), golden.logLoss!);
  near(metrics.logLoss(scores, truth), golden.logLossBinary!);
  near(metrics.brier(scores, truth), golden.brier!);
  const pairs = scores.flatMap((p) => [1 - p, p]);
  near(metrics.brier(pairs, truth), 2 * golden.brier!);
  near(metrics.logLoss(pairs, truth), golden.logLossBinary!);
});
test("regression", () => {
  near(metrics.meanAbsoluteError(guesses, targets), golden.mae!);
  near(metrics.meanSquaredError(guesses, targets), golden.mse!);
  near(metrics.r2(guesses, targets), golden.r2!);
  near(metrics.explainedVariance(guesses, targets), golden.explainedVariance!);
});
test("top-k", () => {
  for (const [k, want] of Object.entries(golden.topK))
    near(metrics.topKAccuracy(probabilities, labels, { k: Number(k) }), want);
});
test("the report, character by character", () => {
  expect(`${metrics.classificationReport(predictions, labels)}\n`).toBe(golden.report);
  const classNames = ["a", "bb", "a rather long name", "d"];
  expect(`${metrics.classificationReport(predictions, labels, { classNames, digits: 4 })}\n`).toBe(golden.reportNamed);
});

describe("calibration error, by hand", () => {
  test("two bins", () => {
    // Confidences 0.6, 0.7, 0.9, 1: in bins (0.5, 0.75] and (0.75, 1]; 1 of 2 and 2 of 2 are right.
    const p = [0.6, 0.4, 0.3, 0.7, 0.9, 0.1, 0, 1];
    near(metrics.calibrationError(p, [0, 0, 0, 1], { bins: 4 }), (2 * Math.abs(0.5 - 0.65) + 2 * (1 - 0.95)) / 4);
    near(metrics.calibrationError([0.4, 0.7, 0.1, 1], [0, 0, 0, 1], { bins: 4 }), 0.1); // the same, as class 1 alone
  });
  test("certain and right: 0; certain and wrong: 1", () => {
    expect(metrics.calibrationError([1, 0, 0, 1], [0, 1])).toBe(0);
    expect(metrics.calibrationError([1, 0, 0, 1], [1, 0])).toBe(1);
  });
});

describe("from batches, saved and loaded in between, the same", () => {
  type Meter<S> = { state(): S; load(state: S): void; count: number; reset(): void };
  function streamed<S, M extends Meter<S>>(make: () => M, add: (meter: M, from: number, to: number) => void): M {
    let meter = make();
    for (const [from, to] of [
      [0, 1],
      [1, 17],
      [17, 17],
      [17, 40],
    ] as const) {
      add(meter, from, to);
      const saved = JSON.parse(JSON.stringify(meter.state()));
      meter = make();
      meter.load(saved);
    }
    expect(meter.count).toBe(40);
    return meter;
  }
  const rows = (from: number, to: number) => golden.probabilities.slice(from, to).flat();

  test("ClassificationMeter", () => {
    const meter = streamed(
      () => new metrics.ClassificationMeter(4),
      (m, a, b) => m.update(predictions.slice(a, b), labels.slice(a, b)),
    );
    expect(`${meter.report()}\n`).toBe(golden.report);
    near(metrics.matthewsOf(meter.confusionMatrix()), golden.matthews!);
    expect(() => meter.load([1])).toThrow("ClassificationMeter.load: expected a state of 16 numbers, got 1");
  });
  test("RankingMeter", () => {
    const meter = streamed(
      () => new metrics.RankingMeter(4),
      (m, a, b) => m.update(rows(a, b), labels.slice(a, b)),
    );
    near(meter.compute().rocAuc, golden.rocAucMacro!);
    near(meter.compute({ average: "weighted" }).averagePrecision, golden.averagePrecisionWeighted!);
    const binary = new metrics.RankingMeter();
    binary.update(scores, truth);
    near(binary.compute().rocAuc, golden.rocAuc!);
    expect(() => binary.load({ scores: [1], labels: [] })).toThrow("expected 0 scores for 0 labels, got 1");
    expect(binary.count).toBe(40);
    binary.reset();
    expect(() => binary.compute()).toThrow("at least one sample");
  });
  test("ProbabilityMeter", () => {
    const meter = streamed(
      () => new metrics.ProbabilityMeter(4, { bins: 10 }),
      (m, a, b) => m.update(rows(a, b), labels.slice(a, b)),
    );
    near(meter.compute().logLoss, golden.logLoss!);
    near(meter.compute().brier, metrics.brier(probabilities, labels));
    near(meter.compute().calibrationError, metrics.calibrationError(probabilities, labels, { bins: 10 }));
    meter.reset();
    expect(() => meter.compute()).toThrow("at least one sample");
  });
  test("RegressionMeter", () => {
    const meter = streamed(
      () => new metrics.RegressionMeter(),
      (m, a, b) => m.update(guesses.slice(a, b), targets.slice(a, b)),
    );
    near(meter.compute().r2, golden.r2!);
    near(meter.compute().explainedVariance, golden.explainedVariance!);
    near(meter.compute().rmse, Math.sqrt(golden.mse!));
  });
  test("TopKMeter", () => {
    const meter = streamed(
      () => new metrics.TopKMeter({ k: 2 }),
      (m, a, b) => m.update(rows(a, b), labels.slice(a, b)),
    );
    near(meter.compute(), golden.topK["2"]!);
    meter.reset();
    expect(() => meter.compute()).toThrow("at least one sample");
  });
});

describe("edges and errors", () => {
  test("one class only: no area; a large offset costs no figures", () => {
    expect(metrics.rocAuc([0.1, 0.9], [1, 1])).toBeNaN();
    expect(metrics.averagePrecision([0.1, 0.9], [0, 0])).toBe(0);
    near(metrics.r2([1e9 + 1, 1e9 + 2, 1e9 + 4], [1e9 + 1, 1e9 + 2, 1e9 + 3]), 0.5);
    expect(metrics.r2([1, 1], [2, 2])).toBe(0);
    expect(metrics.r2([2, 2], [2, 2])).toBe(1);
    expect(metrics.matthews([0, 0], [0, 1])).toBe(0);
    expect(metrics.cohenKappa([0, 0], [0, 0])).toBeNaN();
    expect(metrics.overlap([0], [0], { classes: 3 })).toEqual({
      iou: [1, 0, 0],
      dice: [1, 0, 0],
      meanIoU: 1,
      meanDice: 1,
    });
  });
  test("messages", () => {
    expect(() => metrics.rocCurve([1, 2], [0])).toThrow("got 2 predictions and 1 labels");
    expect(() => metrics.rocAuc([Number.NaN], [0])).toThrow(
      "rocAuc: expected scores that can be ordered, got NaN at 0",
    );
    expect(() => metrics.rocAuc([1], [2])).toThrow("label 0 to be a class from 0 to 1, got 2");
    expect(() => metrics.rocAuc([1, 2, 3], [0, 1])).toThrow(
      "expected scores of [2, classes] for 2 labels, got 3 values",
    );
    expect(() => metrics.rocAuc([], [])).toThrow("at least one sample");
    expect(() => metrics.rocAuc([1, 0], [0], { average: "micro" as never })).toThrow(
      '"macro" or "weighted", got "micro"',
    );
    expect(() => metrics.logLoss([1.5], [1])).toThrow("expected probabilities from 0 to 1, got 1.5 at 0");
    expect(() => metrics.calibrationError([0.5], [1], { bins: 0 })).toThrow(
      "bins to be a whole number from 1 up, got 0",
    );
    expect(() => metrics.fBeta([0, 1, 2], [0, 1, 2], { average: "binary" })).toThrow("two classes for average");
    expect(() => metrics.fBeta([0], [0], { beta: -1 })).toThrow("fBeta: expected beta from 0 up, got -1");
    expect(() => metrics.cohenKappa([0], [0], { weights: "cubic" as never })).toThrow('got "cubic"');
    expect(() => new metrics.RegressionMeter().compute()).toThrow("at least one sample");
    expect(() => new metrics.TopKMeter({ k: 0 })).toThrow("k to be a whole number from 1 up, got 0");
  });
});
