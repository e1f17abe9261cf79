/**
 * Receptive fields (Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks", Distill 2019): how
 * many pixels of a picture a place of a result can depend on, theoretically, so padding and the picture's edge don't count.
 *
 *     field' = field + (window - 1) dilation jump,   jump' = jump stride
 *
 * Every kernel call of a forward is followed. A result's height and width are known by their strides in memory, so
 * permutations, slices and linear layers over channels are seen through; what mixes places in any other way (attention, a
 * mean over the picture, group normalisation, ops without a rule) sees "all".
 */
import { type Argument, addon } from "../native.js";
import type { Storage, Tensor } from "../tensor.js";

/** Height or width of a result. */
interface Axis {
  /** Places along it. */
  extent: number;
  /** Elements of memory from one place to the next. */
  stride: number;
  /** Pixels that a place sees. */
  field: number;
  /** Pixels from one place's field to the next one's. */
  jump: number;
}
/** What a result sees: of rows and columns, or all. */
type Seen = readonly [height: Axis, width: Axis] | "all";
type Rule = (inputs: readonly (Seen | undefined)[], numbers: readonly number[]) => Seen;

const each = (seen: Seen, fn: (axis: Axis, i: number) => Axis | "all"): Seen => {
  if (seen === "all") return "all";
  const [a, b] = [fn(seen[0], 0), fn(seen[1], 1)];
  return a === "all" || b === "all" ? "all" : [a, b];
};

/** What an op sees that reads both at the same places. */
function together(a: Seen | undefined, b: Seen | undefined): Seen | undefined {
  if (!a || !b) return a ?? b;
  if (b === "all") return "all";
  return each(a, (axis, i) => {
    const other = b[i]!;
    if (axis.extent !== other.extent || (axis.extent > 1 && axis.stride !== other.stride)) return "all";
    return { ...axis, field: Math.max(axis.field, other.field), jump: Math.max(axis.jump, other.jump) };
  });
}
const united: Rule = (inputs) => inputs.reduce(together)!;
const only = (inputs: readonly (Seen | undefined)[]): Seen => {
  const seen = inputs.filter((s) => s !== undefined);
  return seen.length === 1 ? seen[0]! : "all";
};

const contiguous = (extents: readonly number[]): number[] =>
  extents.map((_, d) => extents.slice(d + 1).reduce((a, b) => a * b, 1));

/** Along a walk over `extents` that reads by strides `from` and writes by strides `to`. */
const walked = (seen: Seen, extents: readonly number[], from: readonly number[], to: readonly number[]): Seen =>
  each(seen, (axis) => {
    const { extent, stride, jump } = axis;
    if (extent === 1) return axis;
    const found: Axis[] = [];
    for (let d = 0; d < extents.length; d++) {
      const [q, n] = [from[d]!, extents[d]!];
      if (q < 0) return "all";
      if (q === 0) continue;
      if (q <= stride && stride < q * n && stride % q === 0)
        found.push({ ...axis, extent: Math.min(extent, (q * n) / stride), stride: (to[d]! * stride) / q });
      else if (stride < q && q < stride * extent && q % stride === 0)
        found.push({
          ...axis,
          extent: Math.min(n, Math.ceil((extent * stride) / q)),
          stride: to[d]!,
          jump: (jump * q) / stride,
        }); // every (q / stride)-th place
    }
    if (found.length > 1) return "all";
    return found[0] ?? { ...axis, extent: 1 }; // one place was taken
  });

/** An op over places of pictures [..., h, w] in memory: `of` makes the new axis, extents given. */
const windows = (seen: Seen, [, w]: readonly [number, number], of: (axis: Axis, i: number) => Axis | "all"): Seen =>
  each(seen, (axis, i) => (axis.extent > 1 && axis.stride !== (i === 0 ? w : 1) ? "all" : of(axis, i)));
const slid = (axis: Axis, window: number, stride: number, dilation: number): Axis => ({
  ...axis,
  field: axis.field + (window - 1) * dilation * axis.jump,
  jump: axis.jump * stride,
});
/** Rows and columns of p x q places, row by row. */
const laidOut = (axis: Axis, i: number, p: number, q: number): Axis => ({
  ...axis,
  extent: i === 0 ? p : q,
  stride: i === 0 ? q : 1,
});

const pool: Rule = (inputs, [, h, w, p, q, r, s, sh, sw, , , dh, dw]) =>
  windows(only(inputs), [h!, w!], (axis, i) =>
    laidOut(i === 0 ? slid(axis, r!, sh!, dh!) : slid(axis, s!, sw!, dw!), i, p!, q!),
  );
const adaptive: Rule = (inputs, [, h, w, p, q]) =>
  windows(only(inputs), [h!, w!], (axis, i) => {
    const [from, to] = i === 0 ? [h!, p!] : [w!, q!];
    if (to === 1 && from > 1) return "all";
    const window = Math.ceil(from / to) + (from % to === 0 ? 0 : 1);
    return laidOut(slid(axis, window, from / to, 1), i, p!, q!);
  });

/** Over the middle of [outer, reduce, inner], which goes or stays. */
const along =
  (goes: boolean): Rule =>
  (inputs, [, reduce, inner]) =>
    each(only(inputs), (axis) => {
      if (axis.extent === 1 || axis.stride * axis.extent <= inner!) return axis;
      if (axis.stride % (reduce! * inner!) !== 0) return "all";
      return goes ? { ...axis, stride: axis.stride / reduce! } : axis;
    });
const rowwise: Rule = (inputs, [, , cols]) =>
  each(only(inputs), (axis) => (axis.extent === 1 || axis.stride % cols! === 0 ? axis : "all"));

/** y[m, n] = a[m, k] b[k, n], one of which comes from the picture: rows of a, or columns of b, that are places stay apart. */
function product(a: Seen | undefined, b: Seen | undefined, [, m, n, k, transA, transB]: readonly number[]): Seen {
  if (a)
    return each(a, (axis) => {
      if (axis.extent === 1) return axis;
      if (transA) return axis.stride * axis.extent <= m! ? { ...axis, stride: axis.stride * n! } : "all";
      return axis.stride % k! === 0 ? { ...axis, stride: (axis.stride / k!) * n! } : "all";
    });
  return each(b!, (axis) => {
    if (axis.extent === 1) return axis;
    if (transB) {
      const apart = axis.stride % k! === 0 && axis.stride * axis.extent <= n! * k!;
      return apart ? { ...axis, stride: axis.stride / k! } : "all";
    }
    return axis.stride * axis.extent <= n! ? axis : "all";
  });
}

const RULES: Record<string, Rule> = {
  conv2d: (inputs, [, , h, w, , r, s, sh, sw, ph, pw, dh, dw]) => {
    const p = Math.floor((h! + 2 * ph! - dh! * (r! - 1) - 1) / sh!) + 1;
    const q = Math.floor((w! + 2 * pw! - dw! * (s! - 1) - 1) / sw!) + 1;
    return windows(only(inputs), [h!, w!], (axis, i) =>
      laidOut(i === 0 ? slid(axis, r!, sh!, dh!) : slid(axis, s!, sw!, dw!), i, p, q),
    );
  },
  // The transposed convolution: a place takes part of ceil(window / stride) windows.
  conv2dGradX: (inputs, [, , h, w, , r, s, sh, sw, ph, pw, dh, dw]) => {
    const p = Math.floor((h! + 2 * ph! - dh! * (r! - 1) - 1) / sh!) + 1;
    const q = Math.floor((w! + 2 * pw! - dw! * (s! - 1) - 1) / sw!) + 1;
    return windows(only(inputs), [p, q], (axis, i) => {
      const [reach, stride] = i === 0 ? [dh! * (r! - 1) + 1, sh!] : [dw! * (s! - 1) + 1, sw!];
      return laidOut(slid(axis, Math.ceil(reach / stride), 1 / stride, 1), i, h!, w!);
    });
  },
  maxPool2d: pool,
  avgPool2d: (inputs, [, ...size]) => pool(inputs, size),
  adaptiveMaxPool2d: adaptive,
  adaptiveAvgPool2d: adaptive,
  interpolate: (inputs, [, h, w, p, q, tapsH, tapsW]) =>
    windows(only(inputs), [h!, w!], (axis, i) => {
      const [taps, jump] = i === 0 ? [tapsH!, h! / p!] : [tapsW!, w! / q!];
      return laidOut(slid(axis, Math.max(1, taps), jump, 1), i, p!, q!);
    }),
  batchNorm: united,
  batchNormInfer: united,
  dropout: united,
  layerNorm: rowwise,
  rmsNorm: rowwise,
  softmax: along(false),
  logSoftmax: along(false),
  // An addend c with a row for each of y's lies as y does.
  gemm: ([a, b, c], numbers) => {
    const rowC = numbers[9]!;
    if ((a && b) || (c && rowC === 0)) return "all";
    return together(a || b ? product(a, b, numbers) : undefined, c)!;
  },
  copyStrided: (inputs, [, rank, ...walk]) => {
    const extents = walk.slice(0, rank);
    return walked(only(inputs), extents, walk.slice(rank), contiguous(extents));
  },
};
for (const op of ["sum", "sumSquares", "prod", "amax", "amin", "argmax", "argmin", "any", "all"])
  RULES[op] = along(true);

/** Operands broadcast to the extents of the result. */
const broadcast: Rule = (inputs, [rank, ...walk]) => {
  const extents = walk.slice(0, rank);
  const to = contiguous(extents);
  return united(
    inputs.map((seen, i) => seen && walked(seen, extents, walk.slice((i + 1) * rank!, (i + 2) * rank!), to)),
    [],
  );
};

/** How each op's operands are used, in letters ("o", "u", and capitals: written), and the rule for its places. */
interface Followed {
  operands: string[];
  rule: Rule;
}
let table: Map<string, Followed> | null = null;
function followed(op: string): Followed {
  table ??= new Map(
    addon.signatures().map((line) => {
      const [name, , letters] = line.split(":") as [string, string, string];
      const operands = letters.match(/[ouixXmMaAlL]\??/g) ?? [];
      const elementwise = /^[oMAu][iaml]+d*n$/.test(letters);
      const rule =
        RULES[name] ?? (elementwise ? united : /^[oM]m?ii\*$/.test(letters) ? broadcast : () => "all" as const);
      return [name, { operands, rule }];
    }),
  );
  return table.get(op)!;
}
const written = (letter: string): boolean => /^[ouXMAL]/.test(letter);
const isTensor = (a: unknown): a is Tensor => typeof a === "object" && a !== null && "storage" in a;

/** The tensors that a call writes, and its numbers. */
export function resultsOf(op: string, args: readonly Argument[]): { written: Tensor[]; numbers: number[] } {
  const { operands } = followed(op);
  const tensors = operands.flatMap((letter, i) => (written(letter) ? [args[i]].flat().filter(isTensor) : []));
  return { written: tensors, numbers: args.slice(operands.length).map(Number) };
}

/** Follows the kernels of one forward. */
export class ReceptiveFields {
  readonly #seen = new WeakMap<Storage, Seen>();

  /** Pictures [n, c, h, w], each pixel of which sees itself. */
  constructor({ storage, shape }: Tensor) {
    const [h, w] = [shape[2]!, shape[3]!];
    const of = (extent: number, stride: number): Axis => ({ extent, stride, field: 1, jump: 1 });
    this.#seen.set(storage, [of(h, w), of(w, 1)]);
  }

  /** Called with each kernel call. */
  follow(op: string, args: readonly Argument[]): void {
    const { operands, rule } = followed(op);
    const seenBy = (a: Argument): Seen | undefined =>
      Array.isArray(a)
        ? a.map(seenBy).reduce(together, undefined)
        : isTensor(a)
          ? this.#seen.get(a.storage)
          : undefined;
    const numbers = args.slice(operands.length).map(Number);
    const inputs = operands.flatMap((letter, i) => (written(letter) ? [] : [seenBy(args[i])]));
    const [first] = args;
    if (op === "writeStrided") {
      const [, rank, ...walk] = numbers;
      const [extents, to] = [walk.slice(0, rank), walk.slice(rank)];
      const part = inputs[0] && walked(inputs[0], extents, contiguous(extents), to);
      const seen = together(seenBy(first), part);
      if (seen) this.#seen.set((first as Tensor).storage, seen);
      return;
    }
    const kept = op === "addInto" ? [seenBy(first), ...inputs] : inputs;
    const seen = kept.some((s) => s !== undefined) ? rule(kept, numbers) : undefined;
    operands.forEach((letter, i) => {
      const a = args[i];
      if (!written(letter) || !isTensor(a)) return;
      if (seen) this.#seen.set(a.storage, seen);
      else this.#seen.delete(a.storage);
    });
  }

  /** Pixels that a place of this result sees, rows and columns; "all"; undefined where it doesn't depend on the picture. */
  of({ storage }: Tensor): readonly [number, number] | "all" | undefined {
    const seen = this.#seen.get(storage);
    return seen && seen !== "all" ? [Math.ceil(seen[0].field), Math.ceil(seen[1].field)] : (seen as "all" | undefined);
  }

  /** Pixels between the fields of neighbouring places, rows and columns; null where there are none. */
  strideOf({ storage }: Tensor): readonly [number, number] | null {
    const seen = this.#seen.get(storage);
    return seen && seen !== "all" ? [seen[0].jump, seen[1].jump] : null;
  }
}
