/** @file Functions of two and three tensors beside PyTorch (fixtures/ops/make_binary.py). */

import type { Tensor } from "napier";
import * as ops from "napier";
import { checkTorch, type TorchRun } from "../pytorch.js";

const PLAIN = [
  "add sub mul div pow maximum minimum atan2 hypot copysign xlogy logaddexp fmod remainder rsub",
  "lerp addcmul addcdiv clamp floorDivide heaviside where",
  "bitwiseAnd bitwiseOr bitwiseXor bitwiseNot leftShift rightShift",
].flatMap((line) => line.split(" "));
const plain = Object.fromEntries(
  PLAIN.map((name): [string, TorchRun] => [
    name,
    (inputs) => (ops as unknown as Record<string, (...inputs: Tensor[]) => Tensor>)[name]!(...inputs),
  ]),
);

checkTorch("binary", {
  ...plain,
  lerpNumber: ([a, b], { weight }) => ops.lerp(a!, b!, weight),
  maskedFill: ([x, mask], { value }) => ops.maskedFill(x!, mask!, value),
  oneHot: ([labels], { numClasses }) => ops.oneHot(labels!, numClasses),
});
