/**
 * The trainer: a small convolutional network on Fashion-MNIST, or on drawn digits where no directory is given. A minute on
 * two cores.
 *
 *     npm run example -- fashion [--data DIR] [--resume]
 */
import { parseArgs } from "node:util";
import { data, io, manualSeed, metrics, models, nn, optim, train } from "napier";
import { saveResult } from "./shared/pictures.js";

const [seed, epochs, batchSize, lr] = [231, 2, 128, 2e-3];
manualSeed(seed);
const { values } = parseArgs({ options: { data: { type: "string" }, resume: { type: "boolean", default: false } } });
const sets = values.data
  ? await data.fashionMnist(values.data)
  : await data.glyphs({ seed: 1, train: 10_000, test: 2_000 });
const transform = new data.Normalize([0.5], [0.5]);
const trainLoader = new data.DataLoader(sets.train, { batchSize, shuffle: true, seed, transform });
const testLoader = new data.DataLoader(sets.test, { batchSize: 500, transform });

const model = models.create("convnet", { classes: 10, inChannels: 1, imageSize: 28 });
console.log(model.summary([1, 1, 28, 28]));
const optimizer = new optim.AdamW(model.parameters(), { lr });
const trainer = new train.Trainer(model, {
  optimizer,
  loss: nn.crossEntropy,
  metrics: ["accuracy"],
  out: "runs/fashion",
  seed,
});

const run = trainer.fit(trainLoader, { epochs, validation: testLoader, resume: values.resume });
for await (const event of run) {
  if (event.type === "validation") console.log(`epoch ${event.epoch}:`, event.scores);
}
const { seconds, samples } = await run;
const scores = await trainer.predict(testLoader);
const labels: number[] = [];
for await (const [, y] of testLoader) labels.push(...(await y!.to("int32").data("int32")));
const predicted = await scores.argmax(1).data("int32");
console.log(metrics.classificationReport(predicted, labels));
await io.save("runs/fashion/model.safetensors", model.stateDict());
await saveResult("fashion", values.data ? "fashion-mnist" : "glyphs", {
  settings: { model: "convnet", epochs, batchSize, lr, optimizer: "AdamW" },
  seed,
  parameters: nn.countParameters(model),
  trainingSeconds: seconds,
  picturesPerSecond: samples / seconds,
  testAccuracy: metrics.accuracy(predicted, labels),
});
