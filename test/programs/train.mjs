// Trains a small convolutional network on glyphs and prints the SHA-256 of its weights: for comparing runs under other
// environments (threads, in place, instruction sets).
import { createHash } from "node:crypto";
import { crossEntropy, data, manualSeed, nn, optim, scope } from "napier";

manualSeed(231);
const { train } = await data.glyphs({ seed: 1, train: 512, test: 10 });
const loader = new data.DataLoader(train, { batchSize: 64, shuffle: true, seed: 3 });
const model = new nn.Sequential(
  new nn.Conv2d(1, 8, 3, { padding: 1 }),
  new nn.BatchNorm2d(8),
  new nn.ReLU(),
  new nn.MaxPool2d(2),
  new nn.Dropout(0.2),
  new nn.Conv2d(8, 16, 3, { stride: 2 }),
  new nn.GELU(),
  new nn.Flatten(),
  new nn.Linear(16 * 6 * 6, 10),
);
const optimizer = new optim.AdamW(model.parameters(), { lr: 3e-3 });
for (let epoch = 0; epoch < 2; epoch++) {
  for await (const [x, y] of loader) {
    scope(() => {
      optimizer.zeroGrad();
      crossEntropy(model.forward(x.to("float32").mul(1 / 255)), y).backward();
      optim.clipGradNorm(model.parameters(), 1);
      optimizer.step();
    });
  }
}
const hash = createHash("sha256");
for (const t of Object.values(model.stateDict())) hash.update(new Uint8Array((await t.data(t.dtype)).buffer));
console.log(hash.digest("hex"));
