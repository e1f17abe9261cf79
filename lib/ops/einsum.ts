/**
 * einsum: sums of products named by letters, contracted two operands at a time by batched matrix products.
 */
import { expect, show } from "../errors.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import { mul } from "./arithmetic.js";
import { expectFloat, expectSameDType } from "./common.js";
import { matmul } from "./matmul.js";
import { diagonal } from "./matrix.js";
import { sum } from "./reduce.js";
import { permute, reshape } from "./shape.js";

/** A tensor and the label of each of its dimensions. */
interface Term {
  x: Tensor;
  labels: string[];
}

/** Dimension i (from the right) of what "..." stands for; letters are single characters, so the two never meet. */
const dots = (i: number) => `dots ${i}`;

/** The labels of one side of an equation's term: "ab..." with `hidden` dimensions in the ellipsis. */
function labelsOf(term: string, hidden: number): string[] {
  const parts = term.split("...");
  expect(parts.length <= 2, "einsum", "at most one ellipsis a term", `"${term}"`);
  const bad = parts.join("").match(/[^A-Za-z]/);
  expect(!bad, "einsum", 'letters, "...", "," and "->"', `"${bad?.[0]}" in "${term}"`);
  const ellipsis = parts.length === 2 ? Array.from({ length: hidden }, (_, i) => dots(hidden - 1 - i)) : [];
  return [...parts[0]!, ...ellipsis, ...(parts[1] ?? "")];
}

function parse(equation: string, operands: readonly Tensor[]): { terms: Term[]; output: string[] } {
  const [left, right, more] = equation.replaceAll(" ", "").split("->") as [string, string?, string?];
  expect(more === undefined, "einsum", 'at most one "->"', `"${equation}"`);
  const inputs = left.split(",");
  expect(
    inputs.length === operands.length,
    "einsum",
    `${inputs.length} operands for "${equation}"`,
    `${operands.length}`,
  );
  let most = 0;
  const terms = inputs.map((term, i): Term => {
    const x = operands[i]!;
    const named = term.replace("...", "").length;
    const hidden = term.includes("...") ? x.ndim - named : 0;
    const fits = hidden >= 0 && named + hidden === x.ndim;
    expect(fits, "einsum", `an operand ${i} with the dimensions "${term}"`, show(x.shape));
    most = Math.max(most, hidden);
    return { x, labels: labelsOf(term, hidden) };
  });
  if (right !== undefined) {
    const output = labelsOf(right, most);
    const known = new Set(terms.flatMap((t) => t.labels));
    for (const l of output)
      expect(known.has(l), "einsum", "output letters that an input has", `"${l}" in "${equation}"`);
    expect(new Set(output).size === output.length, "einsum", "each output letter once", `"${right}"`);
    return { terms, output };
  }
  // Without "->": the ellipsis, then the letters that occur once, in alphabetical order.
  const all = terms.flatMap((t) => t.labels.filter((l) => l.length === 1));
  const once = all.filter((l) => all.indexOf(l) === all.lastIndexOf(l)).sort();
  return { terms, output: [...labelsOf("...", most), ...once] };
}

/** Extent of every label; 1 beside n counts as n. */
function extentsOf(terms: readonly Term[], equation: string): Map<string, number> {
  const extents = new Map<string, number>();
  for (const { x, labels } of terms) {
    labels.forEach((l, d) => {
      const before = extents.get(l) ?? 1;
      const e = x.shape[d]!;
      const agree = before === e || before === 1 || e === 1;
      expect(agree, "einsum", `one extent for "${l}" in "${equation}"`, `${before} and ${e}`);
      extents.set(l, before === 1 ? e : before);
    });
  }
  return extents;
}

/** A letter that stands twice in a term: its diagonal. */
function withoutRepeats({ x, labels }: Term): Term {
  const a = labels.findIndex((l, i) => labels.indexOf(l, i + 1) >= 0);
  if (a < 0) return { x, labels };
  const b = labels.indexOf(labels[a]!, a + 1);
  const agree = x.shape[a] === x.shape[b];
  expect(agree, "einsum", `one extent for the repeated "${labels[a]}"`, `${x.shape[a]} and ${x.shape[b]}`);
  const rest = labels.filter((_, d) => d !== a && d !== b);
  return withoutRepeats({ x: diagonal(x, 0, a, b), labels: [...rest, labels[a]!] });
}

/** Dimensions whose label `keep` refuses are dropped (of extent 1) or summed. */
function summed({ x, labels }: Term, keep: (label: string) => boolean): Term {
  const axes = labels.flatMap((l, d) => (keep(l) ? [] : [d]));
  return axes.length === 0 ? { x, labels } : { x: sum(x, axes), labels: labels.filter(keep) };
}

/** x with its dimensions in the order of `labels`, missing ones of extent 1. */
function ordered({ x, labels }: Term, order: readonly string[]): Tensor {
  const present = order.filter((l) => labels.includes(l));
  const moved = present.every((l, d) => labels[d] === l)
    ? x
    : permute(
        x,
        present.map((l) => labels.indexOf(l)),
      );
  if (present.length === order.length) return moved;
  return reshape(
    moved,
    order.map((l) => (labels.includes(l) ? x.shape[labels.indexOf(l)]! : 1)),
  );
}

/** Two terms as one: the sum of their product over the labels that `keep` refuses. */
function contract(a: Term, b: Term, extents: Map<string, number>, keep: (label: string) => boolean): Term {
  const [p, q] = [summed(a, (l) => keep(l) || b.labels.includes(l)), summed(b, (l) => keep(l) || a.labels.includes(l))];
  const shared = p.labels.filter((l) => q.labels.includes(l));
  const batch = shared.filter(keep);
  const inner = shared.filter((l) => !keep(l));
  const rows = p.labels.filter((l) => !shared.includes(l));
  const columns = q.labels.filter((l) => !shared.includes(l));
  const labels = [...batch, ...rows, ...columns];
  if (inner.length === 0) return { x: mul(ordered(p, labels), ordered(q, labels)), labels };
  if (batch.length > 0 && rows.length === 0 && columns.length === 0) {
    const order = [...batch, ...inner];
    return {
      x: sum(
        mul(ordered(p, order), ordered(q, order)),
        inner.map((_, i) => batch.length + i),
      ),
      labels,
    };
  }
  const size = (list: readonly string[]) => sizeOfShape(list.map((l) => extents.get(l)!));
  const [c, m, n, k] = [batch, rows, columns, inner].map(size) as [number, number, number, number];
  // A product reads either operand transposed: whichever order is there already.
  const starts = (t: Term, list: readonly string[]) => list.every((l, d) => t.labels[d] === l);
  const transA = !starts(p, [...batch, ...rows]) && starts(p, [...batch, ...inner]);
  const transB = !starts(q, [...batch, ...inner]) && starts(q, [...batch, ...columns]);
  const y = matmul(
    reshape(
      ordered(p, [...batch, ...(transA ? [...inner, ...rows] : [...rows, ...inner])]),
      transA ? [c, k, m] : [c, m, k],
    ),
    reshape(
      ordered(q, [...batch, ...(transB ? [...columns, ...inner] : [...inner, ...columns])]),
      transB ? [c, n, k] : [c, k, n],
    ),
    { transA, transB },
  );
  return {
    x: reshape(
      y,
      labels.map((l) => extents.get(l)!),
    ),
    labels,
  };
}

/**
 * The sum of products that `equation` names, as PyTorch's einsum: a letter for each dimension of each operand, "->" and the
 * letters of the result; letters that the result lacks are summed over. A letter twice in one operand is its diagonal,
 * "..." stands for dimensions that broadcast; without "->" the result has the letters that occur once, in alphabetical
 * order. Operands are float32 or float64. More than two are contracted pair by pair, the smallest result first.
 *
 * @example
 * const [q, k] = [ones([2, 4, 5, 8]), ones([2, 4, 6, 8])];
 * einsum("bhqd,bhkd->bhqk", q, k);   // scores of attention: [2, 4, 5, 6]
 * einsum("ii", ones([3, 3]));        // the trace
 */
export function einsum(equation: string, ...operands: Tensor[]): Tensor {
  if (typeof equation !== "string")
    throw new TypeError(`einsum: expected an equation such as "ij,jk->ik", got ${typeof equation}`);
  for (const x of operands) {
    expectFloat("einsum", x);
    expectSameDType("einsum", operands[0]!, x);
  }
  const parsed = parse(equation, operands);
  const extents = extentsOf(parsed.terms, equation);
  const { output } = parsed;
  // A dimension of extent 1 beside a larger one says nothing: without it the letter is the others'.
  let terms = parsed.terms.map(withoutRepeats).map((t) => {
    const idle = (l: string, d: number) => t.x.shape[d] === 1 && extents.get(l)! !== 1;
    const shape = t.x.shape.filter((_, d) => !idle(t.labels[d]!, d));
    return shape.length === t.x.ndim ? t : { x: reshape(t.x, shape), labels: t.labels.filter((l, d) => !idle(l, d)) };
  });
  while (terms.length > 1) {
    let best = { size: Number.POSITIVE_INFINITY, i: 0, j: 1 };
    for (let j = 1; j < terms.length; j++) {
      for (let i = 0; i < j; i++) {
        const wanted = neededBy(terms, i, j, output);
        const kept = new Set([...terms[i]!.labels, ...terms[j]!.labels].filter(wanted));
        const size = sizeOfShape([...kept].map((l) => extents.get(l)!));
        if (size < best.size) best = { size, i, j };
      }
    }
    const { i, j } = best;
    const made = contract(terms[i]!, terms[j]!, extents, neededBy(terms, i, j, output));
    terms = [...terms.filter((_, at) => at !== i && at !== j), made];
  }
  return ordered(
    summed(terms[0]!, (l) => output.includes(l)),
    output,
  );
}

/** Whether a label is in the output or in a term other than i and j. */
const neededBy = (terms: readonly Term[], i: number, j: number, output: readonly string[]) => (label: string) =>
  output.includes(label) || terms.some((t, at) => at !== i && at !== j && t.labels.includes(label));
