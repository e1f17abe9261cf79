/** @file Softmax beside PyTorch (fixtures/ops/make_softmax.py). */
import { logSoftmax, softmax } from "napier";
import { checkTorch } from "../pytorch.js";

checkTorch("softmax", {
  softmax: ([x], { axis }) => softmax(x!, axis),
  logSoftmax: ([x], { axis }) => logSoftmax(x!, axis),
});
