/**
 * Weights computed from other parameters: weight normalisation and spectral normalisation, as torch.nn.utils has them and
 * under its state-dict keys. The property becomes a getter, so a module's forward sees the computed weight as it is.
 */

import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { keep } from "../memory.js";
import { div, maximum, mul } from "../ops/arithmetic.js";
import { clone } from "../ops/cast.js";
import { normalizeAxis } from "../ops/common.js";
import { sqrt, square } from "../ops/elementwise.js";
import { copy_ } from "../ops/inplace.js";
import { matmul } from "../ops/matmul.js";
import { randn } from "../ops/random.js";
import { sum } from "../ops/reduce.js";
import { permute, reshape } from "../ops/shape.js";
import { sizeOfShape, type Tensor } from "../tensor.js";
import { ConvTranspose1d, ConvTranspose2d, ConvTranspose3d } from "./conv.js";
import type { Module } from "./module.js";
import { Parameter, parameter } from "./parameter.js";

type Properties = Record<string, unknown>;

interface Parametrisation {
  op: string;
  /** Takes away what was added, and answers nothing. */
  undo: () => void;
}
const active = new WeakMap<Module, Map<string, Parametrisation>>();

function ownWeight(op: string, module: Module, name: string): Parameter {
  const before = active.get(module)?.get(name);
  if (before) throw new Error(`${op}: ${name} of this ${module.constructor.name} is already computed by ${before.op}`);
  const weight = (module as unknown as Properties)[name];
  if (!(weight instanceof Parameter))
    throw new TypeError(`${op}: expected ${module.constructor.name} to have a Parameter named ${JSON.stringify(name)}`);
  return weight;
}

/** Makes `name` a getter; `undo` runs when the parametrisation is removed. */
function install(op: string, module: Module, name: string, compute: () => Tensor, undo: () => void): void {
  Object.defineProperty(module, name, {
    get: compute,
    set() {
      throw new TypeError(`${module.constructor.name}: ${name} is computed by ${op}; remove that first`);
    },
    configurable: true,
    enumerable: false,
  });
  let own = active.get(module);
  if (!own) active.set(module, (own = new Map()));
  own.set(name, { op, undo });
}

/** The computed weight becomes a parameter again. */
function uninstall(op: string, module: Module, name: string): void {
  const found = active.get(module)?.get(name);
  if (found?.op !== op) throw new Error(`${op}: ${name} of this ${module.constructor.name} is not computed by ${op}`);
  const properties = module as unknown as Properties;
  const weight = parameter(() => noGrad(() => clone(properties[name] as Tensor)));
  active.get(module)!.delete(name);
  found.undo();
  Object.defineProperty(module, name, { value: weight, configurable: true, enumerable: true, writable: true });
}

/** Options of weightNorm(). */
export interface WeightNormOptions {
  /** The parameter to replace. Default "weight". */
  name?: string;
  /** The axis that keeps a length of its own; null: one length for the whole weight. Default 0. */
  axis?: number | null;
}

/**
 * Weight normalisation (Salimans & Kingma 2016): `weight` is from now on weight_g weight_v / ||weight_v||, its length and
 * its direction learned apart. State-dict keys: weight_g, weight_v. Make the optimizer after it: weight_g is new.
 *
 * @returns the module
 * @example
 * const layer = nn.weightNorm(new nn.Linear(4, 3)); // weight_g: [3, 1], weight_v: [3, 4]
 */
export function weightNorm<M extends Module>(module: M, { name = "weight", axis = 0 }: WeightNormOptions = {}): M {
  const op = "weightNorm";
  const v = ownWeight(op, module, name);
  const kept = axis === null ? null : normalizeAxis(op, axis, v.ndim);
  const over = v.shape.map((_, d) => d).filter((d) => d !== kept);
  const length = (w: Tensor): Tensor =>
    over.length === 0 ? sqrt(square(w)) : sqrt(sum(square(w), over, { keepDims: kept !== null }));
  const g = parameter(() => noGrad(() => length(v.detach())));
  const properties = module as unknown as Properties;
  delete properties[name];
  const [lengthKey, directionKey] = [`${name}_g`, `${name}_v`];
  properties[lengthKey] = g;
  properties[directionKey] = v;
  install(
    op,
    module,
    name,
    () => {
      const own = properties[directionKey] as Tensor;
      return mul(own, div(properties[lengthKey] as Tensor, length(own)));
    },
    () => {
      delete properties[lengthKey];
      delete properties[directionKey];
    },
  );
  return module;
}

/** Makes a weight that weightNorm() computes a parameter again. Returns the module. */
export function removeWeightNorm<M extends Module>(module: M, name = "weight"): M {
  uninstall("weightNorm", module, name);
  return module;
}

/** Options of spectralNorm(). */
export interface SpectralNormOptions {
  /** The parameter to replace. Default "weight". */
  name?: string;
  /** Power iterations before each forward in training mode. Default 1. */
  powerIterations?: number;
  /** Least length that a vector is divided by. Default 1e-12. */
  eps?: number;
  /** The axis that are the matrix's rows, all others its columns. Default 0; for transposed convolutions 1. */
  axis?: number;
}

/**
 * Spectral normalisation (Miyato et al. 2018): `weight` is from now on weight_orig divided by its largest singular value,
 * which u^T W v estimates; in training mode every forward improves u and v by power iteration. State-dict keys:
 * weight_orig, and the buffers weight_u, weight_v.
 *
 * @returns the module
 * @example
 * const layer = nn.spectralNorm(new nn.Linear(4, 3));
 */
export function spectralNorm<M extends Module>(
  module: M,
  { name = "weight", powerIterations = 1, eps = 1e-12, axis }: SpectralNormOptions = {},
): M {
  const op = "spectralNorm";
  const weight = ownWeight(op, module, name);
  expect(
    Number.isSafeInteger(powerIterations) && powerIterations >= 1,
    op,
    "a number of power iterations from 1 up",
    `${powerIterations}`,
  );
  expect(weight.ndim >= 1 && weight.size > 0, op, "a weight with elements", show(weight.shape));
  const transposed =
    module instanceof ConvTranspose1d || module instanceof ConvTranspose2d || module instanceof ConvTranspose3d;
  const rowAxis = normalizeAxis(op, axis ?? (transposed ? 1 : 0), weight.ndim);
  const rows = weight.shape[rowAxis]!;
  const order = [rowAxis, ...weight.shape.map((_, d) => d).filter((d) => d !== rowAxis)];
  const matrix = (w: Tensor): Tensor => reshape(rowAxis === 0 ? w : permute(w, order), [rows, -1]);
  const unit = (x: Tensor): Tensor => div(x, maximum(sqrt(sum(square(x))), eps));

  const properties = module as unknown as Properties;
  delete properties[name];
  const [originalKey, uKey, vKey] = [`${name}_orig`, `${name}_u`, `${name}_v`];
  properties[originalKey] = weight;
  const start = (n: number): Tensor => noGrad(() => keep(unit(randn([n], { dtype: weight.dtype }))));
  module.registerBuffer(uKey, start(rows));
  module.registerBuffer(vKey, start(sizeOfShape(weight.shape) / rows));
  const improve = (): undefined => {
    if (!module.training) return;
    noGrad(() => {
      const w = matrix((properties[originalKey] as Tensor).detach());
      const [u, v] = [properties[uKey] as Tensor, properties[vKey] as Tensor];
      for (let i = 0; i < powerIterations; i++) {
        copy_(v, unit(matmul(w, u, { transA: true })));
        copy_(u, unit(matmul(w, v)));
      }
    });
  };
  const unhook = module.registerForwardPreHook(improve);
  install(
    op,
    module,
    name,
    () => {
      const w = properties[originalKey] as Tensor;
      // Copies: the next forward moves u and v, which this graph may still need.
      const [u, v] = [clone(properties[uKey] as Tensor), clone(properties[vKey] as Tensor)];
      return div(w, sum(mul(u, matmul(matrix(w), v))));
    },
    () => {
      unhook();
      for (const key of [originalKey, uKey, vKey]) delete properties[key];
    },
  );
  return module;
}

/** Makes a weight that spectralNorm() computes a parameter again. Returns the module. */
export function removeSpectralNorm<M extends Module>(module: M, name = "weight"): M {
  uninstall("spectralNorm", module, name);
  return module;
}
