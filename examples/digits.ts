/**
 * The loop you write yourself: a small convolutional network learns to read digits. About 20 s on two cores.
 *
 *     npm run example -- digits
 */
import { data, manualSeed, nn, noGrad, optim, scope, type Tensor } from "napier";
import { percent, saveResult } from "./shared/pictures.js";

const [seed, epochs, batchSize, lr] = [231, 2, 64, 2e-3];
manualSeed(seed);

class Net extends nn.Module {
  conv1 = new nn.Conv2d(1, 16, 3, { padding: 1 });
  bn1 = new nn.BatchNorm2d(16);
  conv2 = new nn.Conv2d(16, 32, 3, { padding: 1 });
  bn2 = new nn.BatchNorm2d(32);
  head = new nn.Linear(32 * 7 * 7, 10);
  forward(x: Tensor): Tensor {
    const h = this.bn1.forward(this.conv1.forward(x)).relu().maxPool2d(2);
    const g = this.bn2.forward(this.conv2.forward(h)).relu().maxPool2d(2);
    return this.head.forward(g.flatten(1));
  }
}

const { train, test } = await data.glyphs({ seed, train: 10_000, test: 2_000 });
const transform = new data.Normalize([0.5], [0.5]);
const trainLoader = new data.DataLoader(train, { batchSize, shuffle: true, seed, transform });
const testLoader = new data.DataLoader(test, { batchSize: 500, transform });
const net = new Net();
const optimizer = new optim.AdamW(net.parameters(), { lr });

let testAccuracy = 0;
let trainingSeconds = 0;
for (let epoch = 1; epoch <= epochs; epoch++) {
  const start = performance.now();
  net.train();
  let step = 0;
  for await (const [x, y] of trainLoader) {
    const loss = scope(() => {
      optimizer.zeroGrad();
      const loss = nn.crossEntropy(net.forward(x!), y!);
      loss.backward();
      optimizer.step();
      return loss;
    });
    if (++step % 50 === 0) console.log(`epoch ${epoch}, step ${step}: loss ${(await loss.item()).toFixed(3)}`);
  }
  trainingSeconds += (performance.now() - start) / 1e3;
  net.eval();
  let correct = 0;
  for await (const [x, y] of testLoader) {
    correct += await scope(() => noGrad(() => net.forward(x!).argmax(1).equal(y!).sum())).item();
  }
  testAccuracy = correct / test.length;
  console.log(`epoch ${epoch}: ${percent(testAccuracy)} of the test digits are right`);
}
await saveResult("digits", "glyphs", {
  settings: { epochs, batchSize, lr, optimizer: "AdamW" },
  seed,
  parameters: nn.countParameters(net),
  trainingSeconds,
  testAccuracy,
});
