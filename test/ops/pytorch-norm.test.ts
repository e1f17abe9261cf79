/** @file Normalisations beside PyTorch (fixtures/ops/make_norm.py). */
import {
  batchNorm,
  groupNorm,
  instanceNorm,
  layerNorm,
  localResponseNorm,
  nn,
  rmsNorm,
  type Tensor,
  tensor,
} from "napier";
import { checkTorch } from "../pytorch.js";

/** The gradients of sum(y sin(i + 1)) add up in the layer's parameters. */
function backward(y: Tensor): void {
  const weights = Float64Array.from({ length: y.size }, (_, i) => Math.sin(i + 1));
  y.mul(tensor(weights, y.shape, { dtype: y.dtype }))
    .sum()
    .backward();
}
const unit = (x: Tensor): Tensor => x.div(x.square().sum().sqrt());

checkTorch("norm", {
  batchNorm: ([x, w, b]) => batchNorm(x!, null, null, w, b, { training: true }),
  groupNorm: ([x, w, b], { groups, ...options }) => groupNorm(x!, groups, w ?? null, b ?? null, options),
  instanceNorm: ([x, w, b]) => instanceNorm(x!, null, null, w, b),
  instanceNormRunning: ([x, mean, variance], options) => {
    const y = instanceNorm(x!, mean, variance, null, null, options);
    return [y, mean!, variance!, instanceNorm(x!, mean, variance, null, null, { useInputStats: false })];
  },
  layerNorm: ([x, w, b], { shape }) => layerNorm(x!, shape, w, b),
  rmsNorm: ([x, w], { eps }) => rmsNorm(x!, [5], w, { eps }),
  localResponseNorm: ([x], { size, ...options }) => localResponseNorm(x!, size, options),
  weightNorm: ([x, w], options) => {
    const layer = nn.weightNorm(new nn.Conv1d(2, 3, 2, { bias: false, dtype: x!.dtype }), options);
    const dims = [0, 1, 2].filter((d) => d !== options.axis);
    const length = w!
      .square()
      .sum(dims, { keepDims: options.axis !== null })
      .sqrt();
    layer.loadStateDict({ weight_g: length.mul(1.5), weight_v: w! });
    const y = layer.forward(x!);
    backward(y);
    return [y.detach(), ...layer.parameters().map((p) => p.grad!)];
  },
  spectralNorm: ([x, w, u, v]) => {
    const layer = nn.spectralNorm(new nn.Conv1d(2, 3, 2, { bias: false, dtype: x!.dtype }), { powerIterations: 2 });
    layer.loadStateDict({ weight_orig: w!, weight_u: unit(u!), weight_v: unit(v!) });
    const [first, second] = [layer.forward(x!), layer.forward(x!)];
    layer.eval();
    const third = layer.forward(x!);
    backward(second);
    const [weight] = layer.parameters();
    return [first.detach(), second.detach(), third.detach(), weight!.grad!, ...layer.buffers()];
  },
});
