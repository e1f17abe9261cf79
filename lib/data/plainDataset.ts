/**
 * Data sets of plain examples, read one by one: this thread makes batches of them just as worker threads do (worker.ts), so
 * both give the same tensors.
 */
import type { Tensor } from "../tensor.js";
import type { Dataset } from "./dataset.js";
import type { Pass } from "./draws.js";
import { shareBatch } from "./plain.js";
import type { WorkerDataset } from "./worker.js";
import { toTensor } from "./workers.js";

/** The examples that `source` reads, here or, by `worker`, in the threads of a loader. */
export class PlainDataset implements Dataset {
  readonly length: number;

  /**
   * @param where what errors begin with
   * @param worker the module whose default export makes the same source of `options`; without it, `workers` are refused
   */
  constructor(
    private readonly where: string,
    private readonly source: WorkerDataset,
    readonly worker?: { module: URL; options: unknown },
  ) {
    this.length = source.length;
  }

  async batch(indices: Int32Array, pass: Pass): Promise<Tensor[]> {
    for (const i of indices)
      if (!(i >= 0 && i < this.length))
        throw new RangeError(`${this.where}: expected indices from 0 to ${this.length - 1}, got ${i}`);
    const made = await Promise.allSettled(Array.from(indices, async (i) => this.source.get(i, pass)));
    const examples = made.map((result) => {
      if (result.status === "fulfilled") return result.value;
      throw result.reason; // of the first that failed, whichever failed first
    });
    return shareBatch(examples, []).map(toTensor);
  }
}
