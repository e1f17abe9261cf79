/**
 * What bench/eventloop.ts starts, one process for each case: node loop.js CASE SECONDS. Trains (or idles) and answers a
 * line with how late the event loop was.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { capture, crossEntropy, data, manualSeed, nn, optim, scope, type Tensor } from "napier";
import type { Lateness } from "../eventloop.js";
import { makeStep } from "./steps.js";

manualSeed(231);
const [name = "", seconds = "10"] = process.argv.slice(2);

/** Runs `step` again and again, from its third run on beside the clocks. */
async function watched(step: () => Promise<void>): Promise<Lateness> {
  await step();
  await step();
  const late: number[] = [];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const start = performance.now();
  let last = start;
  const timer = setInterval(() => {
    const now = performance.now();
    late.push(Math.max(0, now - last - 10));
    last = now;
  }, 10);
  delay.enable();
  while (performance.now() - start < Number(seconds) * 1e3) await step();
  delay.disable();
  clearInterval(timer);
  const ms = (ns: number) => ns / 1e6;
  const { count, min, max } = delay;
  return {
    delay: { median: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), min: ms(min), max: ms(max), n: count },
    late,
  };
}

const read = async (loss: Tensor) => {
  await loss.item();
  loss.free();
};

/** ResNet-18 on CIFAR's pictures, 32 of them. */
function resnet(captured: boolean): () => Promise<void> {
  const { inputs, run } = makeStep("resnet18_cifar");
  if (!captured) return () => read(scope(() => run(...inputs).detach()));
  const step = capture(run, { warmup: 0 });
  return async () => read(await step(...inputs));
}

class Net extends nn.Module {
  conv = new nn.Conv2d(1, 32, 3, { padding: 1 });
  bn = new nn.BatchNorm2d(32);
  head = new nn.Linear(32 * 14 * 14, 10);
  forward(x: Tensor): Tensor {
    const h = this.bn.forward(this.conv.forward(x)).relu().maxPool2d(2);
    return this.head.forward(h.flatten(1));
  }
}

/** The loop that a user writes by hand, a loader in it. */
async function byHand(): Promise<() => Promise<void>> {
  const { train } = await data.glyphs({ seed: 1, train: 20_000, test: 100 });
  const transform = new data.Normalize([0.5], [0.5]);
  const loader = new data.DataLoader(train, { batchSize: 128, shuffle: true, transform });
  const net = new Net();
  const optimizer = new optim.AdamW(net.parameters(), { lr: 1e-3 });
  return async () => {
    let batches = 0;
    for await (const [x, y] of loader) {
      const loss = scope(() => {
        optimizer.zeroGrad();
        const loss = crossEntropy(net.forward(x), y);
        loss.backward();
        optimizer.step();
        return loss;
      });
      await read(loss);
      if (++batches === 20) break;
    }
  };
}

const CASES: Record<string, () => Promise<() => Promise<void>>> = {
  idle: async () => () => new Promise((resolve) => setTimeout(resolve, 50)),
  "resnet18_cifar captured": async () => resnet(true),
  "resnet18_cifar eager": async () => resnet(false),
  "small convnet by hand": byHand,
};

console.log(JSON.stringify(await watched(await CASES[name]!())));
