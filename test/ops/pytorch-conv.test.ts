/** @file Convolutions beside PyTorch (fixtures/ops/make_conv.py). */
import { conv1d, conv2d, conv3d, convTranspose1d, convTranspose2d, convTranspose3d, fold, unfold } from "napier";
import { checkTorch } from "../pytorch.js";

checkTorch("conv", {
  conv1d: ([x, w, b], options) => conv1d(x!, w!, b, options),
  conv2d: ([x, w, b], options) => conv2d(x!, w!, b, options),
  conv3d: ([x, w, b], options) => conv3d(x!, w!, b, options),
  convTranspose1d: ([x, w, b], options) => convTranspose1d(x!, w!, b, options),
  convTranspose2d: ([x, w, b], options) => convTranspose2d(x!, w!, b, options),
  convTranspose3d: ([x, w, b], options) => convTranspose3d(x!, w!, b, options),
  unfold: ([x], options) => unfold(x!, [2, 3], options),
  fold: ([x], options) => fold(x!, [5, 6], [2, 3], options),
});
