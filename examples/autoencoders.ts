/**
 * Four ways to make pictures again from less, on Fashion-MNIST: an autoencoder, a variational one (32 numbers a picture
 * each), a VQ-VAE (7x7 rows of a table of 256) and a masked autoencoder (a quarter of the patches). Beside each stands
 * what PCA makes of a code of as many numbers; beside the last, the likeliest values of the hidden pixels under a
 * Gaussian of 128 principal components (probabilistic PCA). Some four minutes on two cores.
 *
 *     npm run example -- autoencoders [--data DIR] [--resume]
 *
 * The picture, rows of twelve test pictures: themselves, PCA, AE, VAE, VQ-VAE; what the masked autoencoder sees, its
 * pictures, the Gaussian's; then new pictures by the VAE from noise.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { parseArgs } from "node:util";
import {
  capture,
  cat,
  classic,
  data,
  io,
  linalg,
  manualSeed,
  models,
  nn,
  noGrad,
  oneHot,
  optim,
  rand,
  scope,
  type Tensor,
  train,
} from "napier";
import { firstPictures, pictures28 } from "./shared/judge.js";
import { percent, printTable, saveResult } from "./shared/pictures.js";

const seed = 231;
const { values } = parseArgs({
  options: { data: { type: "string" }, resume: { type: "boolean", default: false } },
});
const sets = { ...(await pictures28(values.data)), scale: new data.Normalize(0, 1) };
const folder = values.data ? "examples/results" : "runs";
const [batchSize, latent, lr] = [128, 32, 2e-3];
const [x] = await firstPictures(sets, sets.train, sets.train.length);
const [test] = await firstPictures(sets, sets.test, sets.test.length);
const pixels = { train: x.flatten(1), test: test.flatten(1) };
const variance = await x.var(0).mean().item();

/** Trains on the loss of a batch; with --resume a model that was trained whole comes from its file. */
async function fit(name: string, model: nn.Module, epochs: number, lossOf: (x: Tensor) => Tensor): Promise<number> {
  const path = `runs/autoencoders/${sets.name}-${name}.safetensors`;
  if (values.resume && existsSync(path)) {
    model.loadStateDict(await io.load(path));
    model.eval();
    return Number((await io.inspect(path)).metadata.seconds);
  }
  const loader = new data.DataLoader(sets.train, {
    ...{ batchSize, shuffle: true, seed, dropLast: true, transform: sets.scale },
  });
  const optimizer = new optim.AdamW(model.parameters(), { lr, weightDecay: 0.01 });
  const schedule = new optim.OneCycleLR(optimizer, { maxLr: lr, totalSteps: epochs * loader.length });
  const step = capture((batch: Tensor) => {
    optimizer.zeroGrad();
    const loss = lossOf(batch);
    loss.backward();
    optimizer.step();
    return loss;
  });
  const start = performance.now();
  for (let epoch = 1; epoch <= epochs; epoch++) {
    let last = 0;
    let i = 0;
    for await (const [batch, labels] of loader) {
      const loss = await step(batch!);
      schedule.step();
      if (++i === loader.length) last = await loss.item();
      for (const t of [batch!, labels!, loss]) t.free();
    }
    const seconds = (performance.now() - start) / 1e3;
    console.log(`  ${name}, epoch ${epoch} of ${epochs}: loss ${last.toFixed(4)}, ${seconds.toFixed(0)} s`);
  }
  const seconds = (performance.now() - start) / 1e3;
  model.eval();
  await mkdir("runs/autoencoders", { recursive: true });
  await io.save(path, model.stateDict(), { metadata: { seconds: `${seconds}` } });
  return seconds;
}

/** fn of all test pictures, 500 at a time. */
const inRounds = (fn: (x: Tensor, from: number) => Tensor): Tensor =>
  scope(() =>
    noGrad(() => {
      const parts: Tensor[] = [];
      for (let i = 0; i < test.shape[0]!; i += 500) parts.push(scope(() => fn(test.slice([i, i + 500]), i)));
      return cat(parts);
    }),
  );

/** Mean square error of a pixel in [0, 1] over the test pictures. */
const errorOf = async (made: Tensor): Promise<number> => noGrad(() => made.sub(test).square().mean()).item();

const pca = await classic.PCA.fit(pixels.train, { components: 128 });
const byPca = (numbers: number): Tensor =>
  noGrad(() => {
    const rows = pca.components.slice([0, numbers]);
    return pixels.test
      .sub(pca.mean)
      .matmul(rows.t())
      .matmul(rows)
      .add(pca.mean)
      .reshape([...test.shape]);
  });

manualSeed(seed);
const ae = new models.Autoencoder({ latent, width: 16 });
const vae = new models.VAE({ latent, width: 16 });
const vqvae = new models.VQVAE({ latent: 16, width: 32, codes: 256, decay: 0.99 });
const mae = new models.MaskedAutoencoder({
  ...{ inChannels: 1, imageSize: 28, patch: 4, dim: 64, depth: 3, heads: 4, normalizedPixels: false },
  ...{ decoderDim: 64, decoderDepth: 1, decoderHeads: 4 },
});
const epochs = values.data ? { ae: 3, vae: 3, vqvae: 2, mae: 3 } : { ae: 2, vae: 2, vqvae: 2, mae: 2 };
const seconds = {
  ae: await fit("ae", ae, epochs.ae, (x) => nn.mse(ae.forward(x).sigmoid(), x)),
  vae: await fit("vae", vae, epochs.vae, (x) => vae.loss(x).loss),
  vqvae: await fit("vqvae", vqvae, epochs.vqvae, (x) => {
    const { y, loss } = vqvae.forward(x);
    return nn.mse(y.sigmoid(), x).div(variance).add(loss);
  }),
  mae: await fit("mae", mae, epochs.mae, (x) => mae.forward(x).loss),
};

const made = {
  ae: inRounds((x) => ae.forward(x).sigmoid()),
  vae: inRounds((x) => vae.forward(x).y.sigmoid()),
  vqvae: inRounds((x) => vqvae.forward(x).y.sigmoid()),
};
// In nats a picture: minus the lower bound of the log-likelihood, pixels as probabilities.
const bound = noGrad(() => vae.loss(test.slice([0, 2000])));
const nats = { loss: await bound.loss.item(), divergence: await bound.divergence.item() };
const rows = inRounds((x) => vqvae.forward(x).ids.flatten());
const shares = noGrad(() => oneHot(rows, 256).to("float32").mean(0));
const used = await noGrad(() => shares.mul(shares.clamp(1e-12).log()).sum().neg().exp()).item();

// The masked autoencoder against probabilistic PCA, on the same hidden patches.
const order = rand([test.shape[0]!, 49]);
const maskOf = (mask: Tensor, pixel: (patches: Tensor) => Tensor) =>
  pixel(mask.unsqueeze(2).expand([mask.shape[0]!, 49, 16]));
const hidden = inRounds((x, i) =>
  maskOf(mae.forward(x, { order: order.slice([i, i + 500]) }).mask, (m) => mae.unpatchify(m)),
);
const kept = (guess: Tensor, x: Tensor, m: Tensor) => guess.mul(m).add(x.mul(m.neg().add(1)));
const filled = inRounds((x, i) => {
  const { prediction } = mae.forward(x, { order: order.slice([i, i + 500]) });
  return kept(mae.unpatchify(prediction), x, hidden.slice([i, i + 500]));
});
const left = (1 - pca.explainedVarianceRatio.slice(0, 128).reduce((a, b) => a + b)) * variance; // of a pixel, off the components
const gaussian = inRounds((x, i) => {
  const seen = hidden
    .slice([i, i + 500])
    .flatten(1)
    .neg()
    .add(1);
  const { components: c, mean } = pca;
  // (C seen C' + left / variances) z = C seen (x - mean)
  const a = c.mul(seen.unsqueeze(1)).matmul(c.t()).add(pca.explainedVariance.reciprocal().mul(left).diag());
  const b = seen.mul(x.flatten(1).sub(mean)).matmul(c.t());
  const z = linalg.solve(a, b.unsqueeze(2)).squeeze(2);
  return kept(
    z
      .matmul(c)
      .add(mean)
      .reshape([...x.shape]),
    x,
    hidden.slice([i, i + 500]),
  );
});
/** Mean square error over the hidden pixels: 36 of 49 patches. */
const hiddenError = async (filled: Tensor): Promise<number> => ((await errorOf(filled)) * 49) / 36;

const error = {
  ae: await errorOf(made.ae),
  vae: await errorOf(made.vae),
  vqvae: await errorOf(made.vqvae),
  pca32: await errorOf(byPca(32)),
  pca49: await errorOf(byPca(49)),
  mae: await hiddenError(filled),
  gaussian: await hiddenError(gaussian),
};
const parameters = {
  ae: nn.countParameters(ae),
  vae: nn.countParameters(vae),
  vqvae: nn.countParameters(vqvae),
  mae: nn.countParameters(mae),
};
const line = (title: string, code: string, name: keyof typeof parameters, ours: number, beside: number) => [
  ...[title, code, parameters[name].toLocaleString("en-US"), `${seconds[name].toFixed(0)} s`],
  ...[ours.toFixed(5), beside.toFixed(5)],
  percent(ours / beside),
];
printTable(
  ["", "code", "parameters", "training", "error", "PCA's", "share"],
  [
    line("AE", "32 numbers", "ae", error.ae, error.pca32),
    line("VAE", "32 numbers", "vae", error.vae, error.pca32),
    line("VQ-VAE", "49 of 8 bits", "vqvae", error.vqvae, error.pca49),
    line("MAE", "13 of 49 patches", "mae", error.mae, error.gaussian),
  ],
);
console.log(`  VAE: ${nats.loss.toFixed(1)} nats a picture, ${nats.divergence.toFixed(1)} of them its code's`);
console.log(`  VQ-VAE: ${used.toFixed(0)} of 256 rows in use (perplexity)`);

const columns = 12;
const some = (t: Tensor) => t.slice([0, columns]);
const dimmed = noGrad(() => test.mul(hidden.neg().add(1)).add(hidden.mul(0.3)));
const shown = [test, byPca(32), made.ae, made.vae, made.vqvae, dimmed, filled, gaussian].map(some);
const grid = noGrad(() => cat([...shown, vae.sample(columns)]));
await train.saveImageGrid(`${folder}/autoencoders.png`, grid, { columns, range: [0, 1] });
await saveResult("autoencoders", sets.name, {
  settings: { batchSize, lr, epochs, latent, optimizer: "AdamW, one cycle", codes: 256, maskRatio: 0.75 },
  seed,
  parameters,
  trainingSeconds: seconds,
  testPictures: test.shape[0],
  ae: { error: error.ae, pca: error.pca32 },
  vae: {
    error: error.vae,
    pca: error.pca32,
    nats: nats.loss,
    divergence: nats.divergence,
  },
  vqvae: { bits: 49 * 8, error: error.vqvae, pca: error.pca49, rowsInUse: used },
  mae: { hiddenError: error.mae, gaussian: error.gaussian },
});
