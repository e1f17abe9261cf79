/**
 * Streams of examples: whatever an async generator yields, such as the lines of a file too large for memory. A shuffle
 * buffer gives them another order in each epoch; the same stream gives the same batches again.
 */
import { unscoped } from "../memory.js";
import type { Tensor } from "../tensor.js";
import { collate, type Field } from "./collate.js";
import type { Pass } from "./draws.js";
import { PhiloxStream } from "./philox.js";

type Example = readonly Field[];
type Examples = AsyncIterable<Example> | Iterable<Example>;

/** Options of IterableDataset. */
export interface IterableDatasetOptions {
  /** Examples held back to draw the next one from; 0 (default) keeps their order. */
  shuffleBuffer?: number;
  /** Examples in an epoch, where that is known: then the loader knows how many batches there are. */
  length?: number;
  /** Makes a batch of examples. Default data.collate. */
  collate?: (examples: readonly Example[]) => Tensor[];
}

/**
 * The examples that `source` yields, epoch after epoch. It must yield the same ones for the same pass: a loader that
 * resumes in the middle of an epoch runs it again and leaves out what was given out.
 *
 * @example
 * const stream = new data.IterableDataset(async function* () {
 *   for (let i = 0; i < 100; i++) yield [tensor([i, i + 1]), i % 2];
 * }, { shuffleBuffer: 32 });
 * for await (const [x, y] of new data.DataLoader(stream, { batchSize: 10 })) console.log(x.shape, y.shape);
 */
export class IterableDataset {
  /** Examples held back to draw the next one from. */
  readonly shuffleBuffer: number;
  /** Examples in an epoch, where that is known. */
  readonly length: number | undefined;
  private readonly join: (examples: readonly Example[]) => Tensor[];

  /**
   * The source is not called before the first batch is asked for.
   *
   * @param source starts the stream of a pass; may be a generator or give any iterable
   */
  constructor(
    private readonly source: (pass: Pass) => Examples,
    { shuffleBuffer = 0, length, collate: join = collate }: IterableDatasetOptions = {},
  ) {
    for (const [name, value] of Object.entries({ shuffleBuffer, length: length ?? 0 })) {
      if (!Number.isSafeInteger(value) || value < 0)
        throw new RangeError(`IterableDataset: expected ${name} to be a whole number from 0 up, got ${value}`);
    }
    this.shuffleBuffer = shuffleBuffer;
    this.length = length;
    this.join = join;
  }

  /** The examples of a pass in their order. */
  async *examples(pass: Pass): AsyncGenerator<Example, void, void> {
    const size = this.shuffleBuffer;
    if (size === 0) {
      yield* this.source(pass);
      return;
    }
    const draws = new PhiloxStream();
    draws.reset(pass.seed | 0, Math.floor(pass.seed / 2 ** 32) | 0, pass.epoch | 0, 0, 0x73687566);
    const held: Example[] = [];
    const take = (): Example => {
      const at = Math.floor((draws.next() / 2 ** 32) * held.length);
      const taken = held[at]!;
      held[at] = held[held.length - 1]!;
      held.pop();
      return taken;
    };
    for await (const example of this.source(pass)) {
      held.push(example);
      if (held.length > size) yield take();
    }
    while (held.length > 0) yield take();
  }

  /** Batches of a pass from number `position` on, and whether each is the last. */
  async *batches(
    pass: Pass,
    { batchSize, dropLast, position }: { batchSize: number; dropLast: boolean; position: number },
  ): AsyncGenerator<
    {
      /** The fields. */
      batch: Tensor[];
      /** Number of its first example in the pass. */
      first: number;
      /** Whether the pass ends with it. */
      last: boolean;
    },
    void,
    void
  > {
    let first = 0;
    let group: Example[] = [];
    let ready: { group: Example[]; first: number } | null = null; // held back until the next one shows it is not the last
    const skip = position * batchSize;
    const give = ({ group, first }: { group: Example[]; first: number }, last: boolean) => ({
      batch: unscoped(() => this.join(group)),
      first,
      last,
    });
    for await (const example of this.examples(pass)) {
      if (first < skip) {
        first++;
        continue;
      }
      group.push(example);
      if (group.length < batchSize) continue;
      if (ready) yield give(ready, false);
      ready = { group, first };
      first += group.length;
      group = [];
    }
    const rest = group.length > 0 && !dropLast;
    if (ready) yield give(ready, !rest);
    if (rest) yield give({ group, first }, true);
  }
}
