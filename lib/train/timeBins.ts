/**
 * Losses by time: a histogram that adds up on the device, so that a captured step can fill it.
 */
import { noGrad } from "../graph.js";
import { scope, unscoped } from "../memory.js";
import { tensor, zeros } from "../ops/create.js";
import { indexSelect } from "../ops/gather.js";
import { add_, copy_, zero_ } from "../ops/inplace.js";
import { stack } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";

/** The mean loss of the times from `from` to `to`, both included. */
export interface TimeBin {
  /** First time. */
  from: number;
  /** Last time. */
  to: number;
  /** Null where no picture was drawn at these times. */
  loss: number | null;
  /** Pictures that were. */
  count: number;
}

/** Sums and counts of losses over `bins` even parts of the times 0 ... timesteps - 1. */
export class TimeBins {
  readonly #timesteps: number;
  readonly #bins: number;
  readonly #members: Tensor; // [timesteps, bins]: 1 where a time is in a bin
  readonly #totals: Tensor; // [2, bins]: sums of losses, counts

  constructor(timesteps: number, bins: number) {
    [this.#timesteps, this.#bins] = [timesteps, bins];
    const members = new Float64Array(timesteps * bins);
    for (let t = 0; t < timesteps; t++) members[t * bins + Math.floor((t * bins) / timesteps)] = 1;
    [this.#members, this.#totals] = unscoped(() => [
      tensor(members, [timesteps, bins]),
      zeros([2, bins], { dtype: "float64" }),
    ]);
  }

  /** Takes in the losses [n] of pictures at times t, int32 [n]. */
  add(losses: Tensor, t: Tensor): void {
    scope(() =>
      noGrad(() => {
        const rows = indexSelect(this.#members, 0, t);
        add_(this.#totals, stack([rows.mul(losses.detach().to("float64").unsqueeze(1)).sum(0), rows.sum(0)]));
      }),
    );
  }

  /** The bins so far. */
  async read(): Promise<TimeBin[]> {
    const totals = await this.#totals.data("float64");
    const first = (bin: number) => Math.ceil((bin * this.#timesteps) / this.#bins);
    return Array.from({ length: this.#bins }, (_, bin) => {
      const [sum, count] = [totals[bin]!, totals[this.#bins + bin]!];
      return { from: first(bin), to: first(bin + 1) - 1, loss: count > 0 ? sum / count : null, count };
    });
  }

  /** Begins anew. */
  clear(): void {
    noGrad(() => zero_(this.#totals));
  }

  /** For loadStateDict(). */
  stateDict(): { totals: Tensor } {
    return { totals: this.#totals };
  }

  /** Goes on from what stateDict() gave. */
  loadStateDict({ totals }: { totals: Tensor }): void {
    noGrad(() => copy_(this.#totals, totals));
  }

  /** Gives the tensors back. */
  free(): void {
    this.#members.free();
    this.#totals.free();
  }
}

/** Mean over all pictures. */
export function meanOf(bins: readonly TimeBin[]): number {
  const count = bins.reduce((n, b) => n + b.count, 0);
  return bins.reduce((sum, b) => sum + (b.loss ?? 0) * b.count, 0) / count;
}
