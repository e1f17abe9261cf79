/**
 * gradientNorms(): how large the gradients and the updates of each layer are, and whether some vanish or explode.
 */

import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { unscoped } from "../memory.js";
import { type DType, k } from "../native.js";
import { countParameters } from "../nn/count.js";
import { add, sub } from "../ops/arithmetic.js";
import { clone, to } from "../ops/cast.js";
import { sqrt, square } from "../ops/elementwise.js";
import { stack } from "../ops/shape.js";
import { empty, type Tensor } from "../tensor.js";
import type { Callback, RunContext } from "./callbacks.js";
import { type Finding, figure, median } from "./diagnosis.js";
import type { Scores } from "./events.js";

/** Options of gradientNorms. */
export interface GradientNormsOptions {
  /** Steps between measurements. Default 10. */
  every?: number;
  /** A layer vanishes where its gradient is below this share of the largest layer's. Default 1e-4. */
  vanishing?: number;
  /** A layer explodes where a step moves it by more than this share of its weights. Default 0.1. */
  exploding?: number;
  /** A layer explodes where its gradient has grown by more than this factor since the run's beginning. Default 100. */
  growth?: number;
}

const WINDOW = 20; // measurements that a verdict goes by
const LEAST = 5; // measurements before there is one

/** What is kept of a layer: its elements, measurements, and those that were not finite. */
interface Layer {
  size: number;
  measured: number;
  broken: number;
  /** Root mean squares of the gradient: of the first measurements and of the last ones. */
  first: number[];
  recent: number[];
  /** Norm of the update by that of the weights, of the last measurements. */
  ratios: number[];
}

/** Numbers of one step: [layers, 3], norms of gradient, weights and update. */
interface Pending {
  layers: string[];
  sizes: number[];
  norms: Tensor;
}

/**
 * Measures, every few steps, the norm of each layer's gradient (before clipping) and how far the step moves its weights, as
 * a share of their norm. A layer is a module with parameters of its own. Step events carry the means since the last one as
 * `gradient/LAYER` and `updateRatio/LAYER`. A measured step copies the parameters and reads them four times; other steps
 * cost nothing.
 *
 * The verdict goes by the medians of the last 20 measurements, from the fifth on:
 *
 * - *vanishing*: the layer's gradient, as the root mean square of its elements, is below 1e-4 of the largest layer's. A
 *   sigmoid hands on at most a quarter of a gradient, so that is what seven of them leave (1/4^7 = 6e-5): Bengio, Simard &
 *   Frasconi, "Learning long-term dependencies with gradient descent is difficult", 1994; Glorot & Bengio,
 *   "Understanding the difficulty of training deep feedforward neural networks", 2010.
 * - *exploding*: a gradient is not finite; or has grown a hundredfold since the first 20 measurements (Pascanu, Mikolov &
 *   Bengio, "On the difficulty of training recurrent neural networks", 2013); or a step moves the weights by more than a
 *   tenth of their norm, where about a thousandth is healthy (CS231n's notes, "Ratio of weights:updates").
 *
 * @throws ShapeError for options that are not positive
 * @example
 * const model = new nn.Sequential(new nn.Linear(2, 8), new nn.ReLU(), new nn.Linear(8, 1));
 * const trainer = new train.Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }), loss: nn.mse });
 * const set = new data.TensorDataset([randn([64, 2]), randn([64, 1])]);
 * const loader = new data.DataLoader(set, { batchSize: 8 });
 * const { diagnosis } = await trainer.fit(loader, { epochs: 8, callbacks: [train.gradientNorms()] });
 * for (const { message } of diagnosis) console.log(message);
 */
export function gradientNorms({
  every = 10,
  vanishing = 1e-4,
  exploding = 0.1,
  growth = 100,
}: GradientNormsOptions = {}): Callback {
  for (const [name, value] of Object.entries({ every, vanishing, exploding, growth }))
    expect(value > 0, "gradientNorms", `${name} above 0`, String(value));
  const layers = new Map<string, Layer>();
  let pending: Pending[] = [];
  /** Between backward and the step: parameters by layer, what they were, and norms of gradients and weights. */
  let open: { groups: [string, Tensor[]][]; before: Tensor[]; norms: Tensor[] } | null = null;
  const drop = () => {
    for (const t of [...(open?.before ?? []), ...(open?.norms ?? []), ...pending.map((p) => p.norms)]) t.free();
    [open, pending] = [null, []];
  };

  return {
    name: "gradientNorms",
    onFitStart(run) {
      if (!run.resumed) layers.clear();
    },
    onGradients(run) {
      if ((run.step + 1) % every !== 0) return;
      const groups = layersOf(run);
      if (groups.length === 0) return;
      unscoped(() =>
        noGrad(() => {
          const before = groups.flatMap(([, params]) => params.map((p) => clone(p)));
          const norms = groups.flatMap(([, params]) => [normOf(params.map((p) => p.grad!)), normOf(params)]);
          open = { groups, before, norms };
        }),
      );
    },
    onStepEnd() {
      if (open === null) return;
      const { groups, before, norms } = open;
      unscoped(() =>
        noGrad(() => {
          let at = 0;
          const rows = groups.flatMap(([, params], i) => {
            const moves = params.map((p) => sub(p, before[at++]!));
            const update = normOf(moves);
            for (const t of moves) t.free();
            return [norms[2 * i]!, norms[2 * i + 1]!, update];
          });
          const sizes = groups.map(([, params]) => countParameters(params));
          pending.push({ layers: groups.map(([name]) => name), sizes, norms: stack(rows) });
          for (const t of [...rows, ...before]) t.free();
        }),
      );
      open = null;
    },
    async measure(when): Promise<Scores | undefined> {
      if (when !== "step" || pending.length === 0) return undefined;
      const taken = pending;
      pending = [];
      const reads = taken.map(({ norms }) => norms.data("float32"));
      for (const { norms } of taken) norms.free();
      const values = await Promise.all(reads);
      const sums = new Map<string, [gradient: number, ratio: number, count: number]>();
      taken.forEach(({ layers: names, sizes }, t) => {
        names.forEach((name, i) => {
          const [gradient, weight, update] = values[t]!.subarray(3 * i, 3 * i + 3) as unknown as [
            number,
            number,
            number,
          ];
          const ratio = weight > 0 ? update / weight : Number.NaN;
          note(layers, name, sizes[i]!, gradient, ratio);
          const sum = sums.get(name) ?? [0, 0, 0];
          sums.set(name, [sum[0] + gradient, sum[1] + ratio, sum[2] + 1]);
        });
      });
      return Object.fromEntries(
        [...sums].flatMap(([name, [gradient, ratio, count]]) => [
          [`gradient/${name}`, gradient / count],
          [`updateRatio/${name}`, ratio / count],
        ]),
      );
    },
    diagnose: () => verdict(layers, { vanishing, exploding, growth }),
    onFitEnd: drop,
    onException: drop,
    stateDict: () => ({ layers: Object.fromEntries(layers), pending: [...pending] }),
    loadStateDict(state) {
      const saved = state as { layers: Record<string, Layer>; pending: Pending[] };
      layers.clear();
      for (const [name, layer] of Object.entries(saved.layers)) layers.set(name, layer);
      pending = saved.pending;
    },
  };
}

/** Parameters that have a gradient, by the module that holds them. */
function layersOf({ model }: RunContext): [string, Tensor[]][] {
  const groups = new Map<string, Tensor[]>();
  for (const [name, p] of model.namedParameters()) {
    if (!p.grad) continue;
    const layer = name.includes(".") ? name.slice(0, name.lastIndexOf(".")) : model.constructor.name;
    groups.set(layer, [...(groups.get(layer) ?? []), p]);
  }
  return [...groups];
}

/** The root of the sum of all squares, float32 []. */
function normOf(tensors: readonly Tensor[]): Tensor {
  const lists = new Map<DType, Tensor[]>();
  for (const t of tensors) lists.set(t.dtype, [...(lists.get(t.dtype) ?? []), t]);
  const norms = [...lists].map(([dtype, list]) => {
    const norm = empty([], dtype);
    k.gradNorm(norm, list);
    return norm;
  });
  const total = norms.reduce((a, b) => sqrt(add(square(to(a, "float64")), square(to(b, "float64")))));
  return total.dtype === "float32" ? total : to(total, "float32");
}

function note(layers: Map<string, Layer>, name: string, size: number, gradient: number, ratio: number): void {
  let layer = layers.get(name);
  if (!layer) layers.set(name, (layer = { size, measured: 0, broken: 0, first: [], recent: [], ratios: [] }));
  layer.measured++;
  if (!Number.isFinite(gradient)) {
    layer.broken++;
    return;
  }
  const rms = gradient / Math.sqrt(size);
  if (layer.first.length < WINDOW) layer.first.push(rms);
  layer.recent.push(rms);
  if (layer.recent.length > WINDOW) layer.recent.shift();
  if (!Number.isFinite(ratio)) return;
  layer.ratios.push(ratio);
  if (layer.ratios.length > WINDOW) layer.ratios.shift();
}

function verdict(
  layers: ReadonlyMap<string, Layer>,
  { vanishing, exploding, growth }: { vanishing: number; exploding: number; growth: number },
): Finding[] {
  const known = [...layers].filter(([, layer]) => layer.measured >= LEAST || layer.broken > 0);
  const now = new Map(known.map(([name, { recent }]) => [name, recent.length === 0 ? Number.NaN : median(recent)]));
  const [top, largest] = [...now].reduce((a, b) => (b[1] > a[1] ? b : a), ["", 0] as const);
  return known.flatMap(([name, layer]): Finding[] => {
    const { broken, measured, first, ratios } = layer;
    const gradient = now.get(name)!;
    const explodes = (message: string): Finding[] => [{ kind: "explodingGradient", where: name, message }];
    if (broken > 0) return explodes(`${name}: ${broken} of ${measured} gradients measured were not finite`);
    const grown = gradient / median(first);
    if (grown > growth)
      return explodes(
        `${name}: the gradient has grown ${figure(grown)}-fold since the beginning (bound ${figure(growth)})`,
      );
    const ratio = ratios.length === 0 ? 0 : median(ratios);
    if (ratio > exploding)
      return explodes(
        `${name}: a step moves the weights by ${figure(ratio)} of their norm (bound ${figure(exploding)}; about 0.001 is healthy): lower the learning rate`,
      );
    if (largest > 0 && gradient < vanishing * largest)
      return [
        {
          kind: "vanishingGradient",
          where: name,
          message: `${name}: the gradient is ${figure(gradient / largest)} of that of ${top} (bound ${figure(vanishing)})`,
        },
      ];
    return [];
  });
}
