// Training in a worker thread (or in a process of its own, `node workload.mjs`) until somebody ends it, in whatever step
// that is. What it does is its argument:
//   train    steps without ever waiting; says "running" after the third
//   reads    many reads and settled() pending, none awaited
//   exit     train, then process.exit(7) between two calls of a step, with reads pending
import { parentPort, workerData } from "node:worker_threads";

const dist = new URL("../../dist/", import.meta.url);
const { optim, tensor, uniform } = await import(new URL("index.js", dist).href);
const { addon } = await import(new URL("native.js", dist).href);
const mode = workerData ?? process.argv[2];
const say = (text) => (parentPort ? parentPort.postMessage(text) : console.log(text));

const [w1, w2] = [
  [784, 256],
  [256, 10],
].map((shape) => uniform(shape, { low: -0.1, high: 0.1, requiresGrad: true }));
const optimizer = new optim.SGD([w1, w2], { lr: 0.01 });
const x = uniform([128, 784]);
const labels = tensor(
  Int32Array.from({ length: 128 }, (_, i) => i % 10),
  [128],
);

function step() {
  optimizer.zeroGrad();
  const loss = x.matmul(w1).relu().matmul(w2).crossEntropy(labels);
  loss.backward();
  optimizer.step();
  return loss;
}

let steps = 0;
function loop() {
  for (let i = 0; i < 20; i++) {
    const loss = step();
    if (mode === "reads" || mode === "exit") {
      for (let r = 0; r < 20; r++) loss.data().catch(() => {});
      addon.settled();
    }
    if (++steps === 3) say("running");
    if (mode === "exit" && steps === 8) {
      x.matmul(w1); // queued, or running
      process.exit(7);
    }
  }
  setImmediate(loop);
}
loop();
