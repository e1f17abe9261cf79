/** @file Metrics against values computed by hand. */

import { describe, expect, test } from "vitest";
import {
  accuracy,
  ClassificationMeter,
  classificationReport,
  confusionMatrix,
  precisionRecallF1,
  topKAccuracy,
} from "#lib/metrics/index.js";

// scikit-learn's own example of classification_report: y_true = [0, 1, 2, 2, 2], y_pred = [0, 0, 2, 2, 1].
const labels = [0, 1, 2, 2, 2];
const predictions = [0, 0, 2, 2, 1];

test("accuracy", () => {
  expect(accuracy(predictions, labels)).toBe(3 / 5);
  expect(accuracy(Int32Array.of(1, 1), Uint8Array.of(1, 0))).toBe(0.5);
  expect(() => accuracy([1], [1, 2])).toThrow(/accuracy: expected as many predictions as labels, got 1 .* and 2/);
  expect(() => accuracy([], [])).toThrow(/at least one sample, got none/);
});

describe("topKAccuracy", () => {
  const scores = Float32Array.of(0.5, 0.2, 0.3, /**/ 0.1, 0.6, 0.3, /**/ 0.2, 0.3, 0.5);
  test("k = 1, 2, 3", () => {
    expect(topKAccuracy(scores, [0, 0, 1], { k: 1 })).toBe(1 / 3);
    expect(topKAccuracy(scores, [0, 0, 1], { k: 2 })).toBe(2 / 3);
    expect(topKAccuracy(scores, [0, 0, 1], { k: 3 })).toBe(1);
  });
  test("equal scores: the lower class comes first", () => {
    expect(topKAccuracy([1, 1, 1], [0], { k: 1 })).toBe(1);
    expect(topKAccuracy([1, 1, 1], [1], { k: 1 })).toBe(0);
    expect(topKAccuracy([1, 1, 1], [1], { k: 2 })).toBe(1);
  });
  test("NaN is never a success", () => {
    expect(topKAccuracy([Number.NaN, 1], [0], { k: 2 })).toBe(0);
    expect(topKAccuracy([Number.NaN, 1], [1], { k: 1 })).toBe(0);
  });
  test("errors", () => {
    expect(() => topKAccuracy(scores, [0, 1], { k: 1, classes: 3 })).toThrow(/\[2, 3\] = 6 values for 2 labels, got 9/);
    expect(() => topKAccuracy(scores, [0, 1, 3], { k: 1 })).toThrow(/label 2 to be a class from 0 to 2, got 3/);
    expect(() => topKAccuracy(scores, [0, 1, 2])).toThrow(/k to be a whole number from 1 to 3 \(the classes\), got 5/);
  });
});

test("confusionMatrix: counts[true][predicted]", () => {
  const expected = [
    [1, 0, 0],
    [1, 0, 0],
    [0, 1, 2],
  ];
  expect(confusionMatrix(predictions, labels)).toEqual(expected);
  expect(confusionMatrix(predictions, labels, { classes: 4 })).toEqual([
    ...expected.map((r) => [...r, 0]),
    [0, 0, 0, 0],
  ]);
  expect(() => confusionMatrix(predictions, labels, { classes: 2 })).toThrow(/label 2 .* from 0 to 1, got 2/);
  expect(() => confusionMatrix([0.5], [0])).toThrow(/class indices \(whole numbers from 0\), got 0.5 at 0/);
  expect(() => confusionMatrix([1e9], [0])).toThrow(/give the number of classes/);
});

test("precisionRecallF1, with 0 for 0 / 0", () => {
  const { perClass, macro, micro, weighted, support } = precisionRecallF1(predictions, labels);
  expect(support).toBe(5);
  expect(perClass[0]).toEqual({ precision: 1 / 2, recall: 1, f1: 2 / 3, support: 1 });
  expect(perClass[1]).toEqual({ precision: 0, recall: 0, f1: 0, support: 1 });
  expect(perClass[2]).toEqual({ precision: 1, recall: 2 / 3, f1: 4 / 5, support: 3 });
  expect(macro.precision).toBeCloseTo(0.5, 12);
  expect(macro.recall).toBeCloseTo(5 / 9, 12);
  expect(macro.f1).toBeCloseTo((2 / 3 + 0.8) / 3, 12);
  expect(micro).toEqual({ precision: 0.6, recall: 0.6, f1: 0.6 });
  expect(weighted.precision).toBeCloseTo(3.5 / 5, 12);
  expect(weighted.recall).toBeCloseTo(0.6, 12);
  expect(weighted.f1).toBeCloseTo((2 / 3 + 2.4) / 5, 12);
  const absent = precisionRecallF1([0], [0], { classes: 2 });
  expect(absent.perClass[1]).toEqual({ precision: 0, recall: 0, f1: 0, support: 0 });
  expect(absent.macro.f1).toBe(0.5);
});

test("classificationReport is sklearn's table, character by character", () => {
  const classNames = ["class 0", "class 1", "class 2"];
  // From scikit-learn's documentation of classification_report.
  const expected = `\
              precision    recall  f1-score   support

     class 0       0.50      1.00      0.67         1
     class 1       0.00      0.00      0.00         1
     class 2       1.00      0.67      0.80         3

    accuracy                           0.60         5
   macro avg       0.50      0.56      0.49         5
weighted avg       0.70      0.60      0.61         5`;
  expect(classificationReport(predictions, labels, { classNames })).toBe(expected);
  expect(classificationReport(predictions, labels, { digits: 4 })).toContain(
    "           0     0.5000    1.0000    0.6667",
  );
  expect(() => classificationReport(predictions, labels, { classes: 3, classNames: ["a"] })).toThrow(
    /expected 3 class names \(one a class\), got 1/,
  );
});

test("ClassificationMeter: batches give what the whole gives; a bad batch is not counted; reset", () => {
  const meter = new ClassificationMeter(3);
  expect(() => meter.compute()).toThrow(/at least one sample/);
  meter.update(predictions.slice(0, 2), labels.slice(0, 2));
  meter.update(Int32Array.from(predictions.slice(2)), Uint8Array.from(labels.slice(2)));
  meter.update([], []);
  expect(() => meter.update([0, 3], [0, 0])).toThrow(/prediction 1 to be a class from 0 to 2, got 3/);
  expect(() => meter.update([0, 0], [0, Number.NaN])).toThrow(/label 1 .* got NaN/);
  expect(meter.count).toBe(5);
  expect(meter.compute()).toEqual(precisionRecallF1(predictions, labels));
  expect(meter.report()).toBe(classificationReport(predictions, labels));
  meter.reset();
  expect(meter.count).toBe(0);
  expect(() => new ClassificationMeter(0)).toThrow(/whole number above 0, got 0/);
});
