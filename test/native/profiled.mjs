// In a worker thread: profiles three steps of a small network, with a pause between them, and answers what was counted.
import { parentPort, workerData } from "node:worker_threads";

const { manualSeed, nn, optim, profile, randn } = await import(new URL("../../dist/index.js", import.meta.url).href);
manualSeed(workerData);
const model = new nn.Sequential(new nn.Linear(8, 16 + workerData), new nn.ReLU(), new nn.Linear(16 + workerData, 4));
const optimizer = new optim.SGD(model.parameters(), { lr: 0.01 });
const x = randn([32, 8]);
const measured = await profile(async () => {
  for (let i = 0; i < 3; i++) {
    optimizer.zeroGrad();
    const loss = model.forward(x).square().mean();
    loss.backward();
    optimizer.step();
    await loss.item();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
});
const first = measured.modules.find((m) => m.name === "0" && !m.backward);
parentPort.postMessage({
  width: 16 + workerData,
  calls: measured.calls,
  dropped: measured.dropped,
  ops: Object.fromEntries(measured.ops.map(({ op, calls }) => [op, calls])),
  flops: first.flops,
  entered: first.entered,
});
