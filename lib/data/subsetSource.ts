/**
 * What worker threads import for a Subset: some examples of what another module reads.
 */
import type { WorkerDataset, WorkerModule } from "./worker.js";

/** Options of this module. */
export interface SubsetSource {
  /** Address of the module that reads the whole, and its options. */
  module: string;
  options: unknown;
  indices: Int32Array;
}

/** The examples `indices` of another module's data set. */
export default async function subset({ module, options, indices }: SubsetSource): Promise<WorkerDataset> {
  const { default: exported } = (await import(module)) as { default: WorkerModule };
  const whole = typeof exported === "function" ? await exported(options) : exported;
  return { length: indices.length, get: (i, pass) => whole.get(indices[i]!, pass) };
}
