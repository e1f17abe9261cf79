/**
 * What callbacks find wrong with a run: sentences with numbers, for its log, its result and its report.
 */

/** Something that deserves a look. */
export interface Finding {
  kind: "vanishingGradient" | "explodingGradient" | "deadUnits" | "overfitting" | (string & {});
  /** The layer, by its name in the model; null for the whole of it. */
  where: string | null;
  /** A sentence: what was measured, against which bound. */
  message: string;
}

/** What tells findings apart: the numbers in the sentence may change. */
export const keyOf = ({ kind, where }: Finding): string => `${kind} ${where ?? ""}`;

/** A number in a sentence: 3 significant digits. */
export const figure = (x: number): string => {
  const text = Number(x.toPrecision(3));
  return text !== 0 && (Math.abs(text) < 1e-3 || Math.abs(text) >= 1e5) ? text.toExponential() : String(text);
};

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
