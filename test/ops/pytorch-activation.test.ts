/** @file Activations beside PyTorch (fixtures/ops/make_activation.py). */
import * as ops from "napier";
import { checkTorch } from "../pytorch.js";

checkTorch("activation", {
  relu: ([x]) => ops.relu(x!),
  relu6: ([x]) => ops.relu6(x!),
  selu: ([x]) => ops.selu(x!),
  mish: ([x]) => ops.mish(x!),
  silu: ([x]) => ops.silu(x!),
  hardswish: ([x]) => ops.hardswish(x!),
  hardsigmoid: ([x]) => ops.hardsigmoid(x!),
  logSigmoid: ([x]) => ops.logSigmoid(x!),
  softsign: ([x]) => ops.softsign(x!),
  tanhshrink: ([x]) => ops.tanhshrink(x!),
  leakyRelu: ([x], { slope }) => ops.leakyRelu(x!, slope),
  elu: ([x], { alpha }) => ops.elu(x!, alpha),
  celu: ([x], { alpha }) => ops.celu(x!, alpha),
  gelu: ([x], options) => ops.gelu(x!, options),
  softplus: ([x], options) => ops.softplus(x!, options),
  hardtanh: ([x], { low, high }) => ops.hardtanh(x!, low, high),
  hardshrink: ([x], { lambda }) => ops.hardshrink(x!, lambda),
  softshrink: ([x], { lambda }) => ops.softshrink(x!, lambda),
  threshold: ([x], { limit, value }) => ops.threshold(x!, limit, value),
  prelu: ([x, w]) => ops.prelu(x!, w!),
  rrelu: ([x]) => ops.rrelu(x!),
  glu: ([x], { axis }) => ops.glu(x!, axis),
  softmin: ([x], { axis }) => ops.softmin(x!, axis),
});
