/**
 * Examples to batches.
 */
import { expect, show } from "../errors.js";
import { k } from "../native.js";
import { tensor } from "../ops/create.js";
import { empty, Tensor } from "../tensor.js";

/** One field of one example: a tensor, or a number (whole numbers become int32, others float32). */
export type Field = Tensor | number;

/** Stacks the examples field by field: n examples of [3, 32, 32] and a number make [n, 3, 32, 32] and [n]. */
export function collate(examples: readonly (readonly Field[])[]): Tensor[] {
  const first = examples[0];
  if (!first) throw new Error("collate: expected at least one example, got none");
  for (const [i, example] of examples.entries()) {
    expect(example.length === first.length, "collate", `${first.length} fields in example ${i}`, `${example.length}`);
  }
  return first.map((_, f) =>
    stack(
      examples.map((example) => example[f]!),
      f,
    ),
  );
}

function stack(values: Field[], field: number): Tensor {
  const first = values[0]!;
  if (typeof first === "number") {
    const bad = values.find((v) => typeof v !== "number");
    if (bad !== undefined) throw new TypeError(`collate: expected numbers in field ${field}, got ${String(bad)}`);
    return tensor(values as number[], { dtype: (values as number[]).every(Number.isInteger) ? "int32" : "float32" });
  }
  const y = empty([values.length, ...first.shape], first.dtype);
  values.forEach((x, i) => {
    const same = x instanceof Tensor && x.dtype === first.dtype && show(x.shape) === show(first.shape);
    expect(same, "collate", `${first.dtype} ${show(first.shape)} in field ${field} of example ${i}`, String(x));
    if (first.size > 0) k.writeStrided(y, x as Tensor, i * first.size, 1, first.size, 1);
  });
  return y;
}

/** Options of collatePadded. */
export interface PadOptions {
  /** What fills the ends of shorter sequences. Default 0. */
  value?: number;
}

/**
 * Stacks examples whose tensors differ in their first extent: sequences [l, ...] become [n, longest, ...], filled up with
 * `value`. A last field is added: the lengths of field 0, int32 [n]. For data sets that take a `collate`.
 *
 * @example
 * const words = [[tensor([1, 2, 3]), 0], [tensor([4]), 1]] as const;
 * const [x, y, lengths] = data.collatePadded(words); // [2,3], [2], [3, 1]
 */
export function collatePadded(examples: readonly (readonly Field[])[], { value = 0 }: PadOptions = {}): Tensor[] {
  const lengths = examples.map(([x]) => {
    expect(x instanceof Tensor && x.ndim > 0, "collatePadded", "sequences [l,...] in field 0", String(x));
    return x.shape[0]!;
  });
  const padded = examples.map((example) => [...example]);
  const made: Tensor[] = [];
  for (let f = 0; f < (examples[0]?.length ?? 0); f++) {
    const column = examples.map((example) => example[f]);
    if (!column.every((x): x is Tensor => x instanceof Tensor && x.ndim > 0)) continue;
    const longest = Math.max(...column.map((x) => x.shape[0]!));
    column.forEach((x, i) => {
      if (x.shape[0] === longest) return;
      const y = empty([longest, ...x.shape.slice(1)], x.dtype);
      if (y.size > 0) k.fill(y, value, y.size);
      if (x.size > 0) k.writeStrided(y, x, 0, 1, x.size, 1);
      padded[i]![f] = y;
      made.push(y);
    });
  }
  const batch = collate(padded);
  for (const t of made) t.free();
  return [...batch, tensor(lengths, { dtype: "int32" })];
}

/** Rows ids[i] of x, a tensor of any dtype, as one kernel. The known range of labels stays known. */
export function takeRows(x: Tensor, ids: Tensor): Tensor {
  const rows = x.shape[0]!;
  const y = empty([ids.size, ...x.shape.slice(1)], x.dtype);
  if (y.size > 0) k.embedding(y, x, ids, rows, x.size / rows, ids.size);
  y.storage.range = x.storage.range;
  return y;
}
