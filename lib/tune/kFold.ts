/** @file k-fold cross-validation: which examples train and which validate. */
import { permutation } from "../data/order.js";
import { expect } from "../errors.js";

/** Indices of one fold. */
export interface Fold {
  /** All others. */
  train: Int32Array;
  /** One of k parts. */
  validation: Int32Array;
}

/**
 * k parts of examples 0 to n - 1, as equal as they can be; each validates once.
 *
 * @param options seed of the shuffle, null for none (default 0); labels, one an example: each class is shared out evenly
 * @example
 * for (const { train, validation } of tune.kFold(10, 5)) console.log(train.length, validation.length); // 8 2
 */
export function kFold(
  n: number,
  k: number,
  { seed = 0, labels }: { seed?: number | null; labels?: ArrayLike<number> } = {},
): Fold[] {
  const whole = Number.isSafeInteger(n) && Number.isSafeInteger(k) && k >= 2 && k <= n;
  expect(whole, "kFold", "k from 2 to the number of examples", `${k} of ${n}`);
  if (labels) expect(labels.length === n, "kFold", `${n} labels`, `${labels.length}`);
  const order = seed === null ? Int32Array.from({ length: n }, (_, i) => i) : permutation(n, seed, 0);
  // With labels: class by class, so that dealing them out in turn shares each evenly.
  const sorted = labels ? [...order].sort((a, b) => labels[a]! - labels[b]!) : [...order];
  const foldOf = new Int32Array(n);
  sorted.forEach((example, i) => {
    foldOf[example] = i % k;
  });
  return Array.from({ length: k }, (_, fold) => ({
    train: order.filter((i) => foldOf[i] !== fold),
    validation: order.filter((i) => foldOf[i] === fold),
  }));
}
