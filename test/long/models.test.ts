/** @file Every named model in its published width, depth and number of classes learns a batch of pictures by heart. */
import { capture, manualSeed, models, nn, optim, randn, type Tensor, tensor } from "napier";
import { expect, test } from "vitest";

/** Side of the pictures: 32, more for models that would normalise over a single place then. */
const SIDES: Partial<Record<models.ModelName, number>> = {
  ...{ squeezenet1_0: 64, squeezenet1_1: 64, mobilenet_v2: 64, densenet121: 64, convnext_tiny: 64 },
};
/** Adam's rate: small for deep plain networks and for the wide layers behind them. */
const RATES: Partial<Record<models.ModelName, number>> = {
  ...{ vgg11: 1e-4, vgg11_bn: 1e-4, vgg16: 1e-4, vgg16_bn: 1e-4, squeezenet1_0: 3e-4, squeezenet1_1: 3e-4 },
  ...{ vit_small: 3e-4, vit_base: 1e-4, mixer_s16: 3e-4, mixer_b16: 1e-4, convnext_tiny: 3e-4, lenet5: 3e-3 },
};
const LABELS = [0, 3, 1, 7, 5, 9, 2, 8];

test.each(models.list())("%s learns eight pictures by heart", async (name) => {
  manualSeed(7);
  const side = SIDES[name] ?? 32;
  const [inChannels, imageSize] = name === "lenet5" ? [1, 32] : [3, side];
  // As published, but for the pictures: a thousand classes where it was made for ImageNet.
  const model = models.create(name, { inChannels, imageSize });
  for (const m of model.modules()) if (m instanceof nn.Dropout) m.eval();
  const x = randn([LABELS.length, inChannels, imageSize, imageSize]);
  const y = tensor(Int32Array.from(LABELS));
  const optimizer = new optim.Adam(model.parameters(), { lr: RATES[name] ?? 1e-3 });
  const step = capture((x: Tensor, y: Tensor) => {
    optimizer.zeroGrad();
    const loss = nn.crossEntropy(model.forward(x), y);
    loss.backward();
    optim.clipGradNorm(model.parameters(), 1);
    optimizer.step();
    return loss;
  });
  let [loss, first] = [Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < 300 && !(loss < 0.1); i++) {
    const now = await step(x, y);
    loss = await now.item();
    now.free();
    if (i === 0) first = loss;
  }
  expect(loss).toBeLessThan(0.1);
  expect(first).toBeGreaterThan(1); // it had something to learn
  for (const [key, p] of model.namedParameters()) expect(p.grad, key).not.toBeNull();
});
