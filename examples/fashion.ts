/**
 * The trainer: a zoo model on Fashion-MNIST, or on the embedded glyphs where no directory is given.
 *
 *     npm run example -- fashion [DIRECTORY]
 */
import { data, io, manualSeed, metrics, models, nn, optim, train } from "napier";

manualSeed(231);
const directory = process.argv[2];
const sets = directory
  ? await data.fashionMnist(directory)
  : await data.glyphs({ seed: 1, train: 10_000, test: 2_000 });
const transform = new data.Normalize([0.5], [0.5]);
const trainLoader = new data.DataLoader(sets.train, { batchSize: 128, shuffle: true, transform });
const testLoader = new data.DataLoader(sets.test, { batchSize: 500, transform });

const model = models.create("convnet", { classes: 10, inChannels: 1, imageSize: 28 });
console.log(model.summary([1, 1, 28, 28]));
const optimizer = new optim.AdamW(model.parameters(), { lr: 2e-3 });
const trainer = new train.Trainer(model, {
  optimizer,
  loss: nn.crossEntropy,
  metrics: ["accuracy"],
  out: "runs/fashion",
});

for await (const event of trainer.fit(trainLoader, { epochs: 2, validation: testLoader })) {
  if (event.type === "validation") console.log(`epoch ${event.epoch}:`, event.scores);
}
const scores = await trainer.predict(testLoader);
const labels: number[] = [];
for await (const [, y] of testLoader) labels.push(...(await y!.to("int32").data("int32")));
const predicted = await scores.argmax(1).data("int32");
console.log(metrics.classificationReport(predicted, labels));
await io.save("runs/fashion/model.safetensors", model.stateDict());
