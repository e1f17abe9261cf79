/** @file Functions of one tensor beside PyTorch (fixtures/ops/make_elementwise.py). */
import * as ops from "napier";
import { clamp, isfinite, isinf, isnan, log, logit, nanToNum, polygamma, powScalar, relu, type Tensor } from "napier";
import { checkTorch, type TorchRun } from "../pytorch.js";

const PLAIN = [
  "abs square reciprocal sqrt rsqrt exp expm1 exp2 log log1p log2 log10",
  "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh deg2rad rad2deg",
  "erf erfc erfinv sigmoid sign floor ceil trunc round frac lgamma digamma",
].flatMap((line) => line.split(" "));
const plain = Object.fromEntries(
  PLAIN.map((name): [string, TorchRun] => [
    name,
    ([x]) => (ops as unknown as Record<string, (x: Tensor) => Tensor>)[name]!(x!),
  ]),
);

checkTorch("elementwise", {
  ...plain,
  polygamma: ([x], { n }) => polygamma(x!, n),
  logit: ([x], options) => logit(x!, options),
  clamp: ([x], { low, high }) => clamp(x!, low, high),
  powScalar: ([x], { exponent }) => powScalar(x!, exponent),
  nanToNum: ([x], options) => nanToNum(log(x!), options),
  isnan: ([x]) => isnan(log(x!)),
  isfinite: ([x]) => isfinite(log(x!)),
  isinf: ([x]) => isinf(log(relu(x!))),
});
