/**
 * Rows of a table in shared memory, as plain fields: what a table's batches are made of, here and in worker threads.
 */
import type { WorkerDataset } from "./worker.js";

/** Fields of a table, all of `length` rows; null where a table has none. */
export interface TableSource {
  length: number;
  /** [length, columns] */
  numbers: Float32Array | null;
  /** [length, columns]: class indices */
  categories: Int32Array | null;
  /** [length]: numbers to predict, or class indices */
  target: Float32Array | Int32Array | null;
}

/** Example i: its numbers [d], its categories [k], its target []. */
export default function table({ length, numbers, categories, target }: TableSource): WorkerDataset {
  const row = <A extends Float32Array | Int32Array>(all: A, i: number): A => {
    const width = all.length / length;
    return all.subarray(i * width, (i + 1) * width) as A;
  };
  return {
    length,
    get: (i) => [
      ...(numbers ? [row(numbers, i)] : []),
      ...(categories ? [row(categories, i)] : []),
      ...(target ? [{ data: row(target, i), shape: [] }] : []),
    ],
  };
}
