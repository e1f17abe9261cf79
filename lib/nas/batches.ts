/** @file Batches [pictures, labels] as searches take them: a loader, gone through again and again. */
import { expect } from "../errors.js";
import type { Tensor } from "../tensor.js";

/** Batches [pictures, labels], as often as they are asked for; each is its receiver's to free. */
export type Batches = AsyncIterable<readonly Tensor[]>;

/** @internal A loader's batches again and again. */
export async function* endless(op: string, source: Batches): AsyncGenerator<[Tensor, Tensor], never, undefined> {
  for (;;) {
    let any = false;
    for await (const [x, y] of source) {
      any = true;
      yield [x!, y!];
    }
    expect(any, op, "loaders with batches", "none");
  }
}
