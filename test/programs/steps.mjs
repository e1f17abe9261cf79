// Trains a small network for some steps in one of the ways a user may write it. Prints one JSON line:
// {"early": {...}, "late": {...}}: memory after a full collection at step `first` and at the end.
// node steps.mjs sync|await scope|bare STEPS FIRST
import { addon } from "#lib/native.js";
import { collectGarbage, crossEntropy, manualSeed, memory, nn, optim, randint, randn, scope } from "napier";

const [mode, style, steps, first] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])];
manualSeed(231);
const model = new nn.Sequential(new nn.Conv2d(1, 4, 3), new nn.BatchNorm2d(4), new nn.ReLU(), new nn.MaxPool2d(2), new nn.Flatten(), new nn.Linear(100, 10));
const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3 });
const x = randn([16, 1, 12, 12]);
const y = randint(0, 10, [16]);

function step() {
  optimizer.zeroGrad();
  const loss = crossEntropy(model.forward(x), y);
  loss.backward();
  optimizer.step();
  return loss;
}

function measure() {
  optimizer.zeroGrad();
  addon.synchronize();
  collectGarbage();
  const { liveBytes, tensors } = memory();
  return { liveBytes, tensors, rss: process.memoryUsage.rss() };
}

function run(from, to) {
  for (let i = from; i < to; i++) {
    if (style === "scope") scope(() => void step());
    else step();
  }
}
async function runAwaiting(from, to) {
  for (let i = from; i < to; i++) {
    const loss = style === "scope" ? scope(step) : step();
    await loss.item();
    if (style === "scope") loss.free();
  }
}

const go = mode === "sync" ? run : runAwaiting;
await go(0, first);
const early = measure();
await go(first, steps);
console.log(JSON.stringify({ early, late: measure() }));
