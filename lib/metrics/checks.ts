/** @file What the metrics' arguments must be: lengths that agree, classes, something to measure. */

export function checkSameLength(op: string, predictions: ArrayLike<number>, labels: ArrayLike<number>): void {
  if (predictions.length === labels.length) return;
  throw new RangeError(
    `${op}: expected as many predictions as labels, got ${predictions.length} predictions and ${labels.length} labels`,
  );
}

export function checkNotEmpty(op: string, count: number): void {
  if (count > 0) return;
  throw new RangeError(`${op}: expected at least one sample, got none. Is the data set, or its loader, empty?`);
}

export function checkClassCount(op: string, classes: number): void {
  if (Number.isSafeInteger(classes) && classes > 0) return;
  throw new RangeError(`${op}: expected the number of classes to be a whole number above 0, got ${classes}`);
}

export function checkClass(op: string, what: string, value: number, i: number, classes: number): number {
  if (Number.isInteger(value) && value >= 0 && value < classes) return value;
  throw new RangeError(`${op}: expected ${what} ${i} to be a class from 0 to ${classes - 1}, got ${value}`);
}

/** Columns of scores [n, classes] that belong to n labels. */
export function checkScores(op: string, scores: ArrayLike<number>, labels: ArrayLike<number>): number {
  checkNotEmpty(op, labels.length);
  const classes = scores.length / labels.length;
  if (Number.isSafeInteger(classes) && classes > 0) return classes;
  throw new RangeError(
    `${op}: expected scores of [${labels.length}, classes] for ${labels.length} labels, got ${scores.length} values`,
  );
}

/** Throws unless a state that was saved holds `length` numbers. */
export function checkState(op: string, values: readonly number[] | undefined, length: number): readonly number[] {
  if (values?.length === length) return values;
  throw new RangeError(`${op}: expected a state of ${length} numbers, got ${values?.length ?? "none"}`);
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
