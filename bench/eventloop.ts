/**
 * The loop that a user writes by hand, with a 10 ms timer beside it: how many ticks came, and how late.
 *
 *     npm run bench:eventloop -- [DIRECTORY of Fashion-MNIST; default: glyphs] [seconds]
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { crossEntropy, data, manualSeed, nn, optim, scope, type Tensor } from "napier";

const [directory, seconds = "20"] = process.argv.slice(2);
manualSeed(231);

class Net extends nn.Module {
  conv = new nn.Conv2d(1, 32, 3, { padding: 1 });
  bn = new nn.BatchNorm2d(32);
  head = new nn.Linear(32 * 14 * 14, 10);
  forward(x: Tensor): Tensor {
    const h = this.bn.forward(this.conv.forward(x)).relu().maxPool2d(2);
    return this.head.forward(h.flatten(1));
  }
}

function ticks(): { stop(): { expected: number; came: number; lateP99: number; lateMax: number; delayP99: number } } {
  const late: number[] = [];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const start = performance.now();
  let last = start;
  const timer = setInterval(() => {
    const now = performance.now();
    late.push(Math.max(0, now - last - 10));
    last = now;
  }, 10);
  return {
    stop() {
      clearInterval(timer);
      delay.disable();
      late.sort((a, b) => a - b);
      const at = (share: number) => late[Math.min(late.length - 1, Math.floor(late.length * share))] ?? 0;
      return {
        expected: Math.floor((performance.now() - start) / 10),
        came: late.length,
        lateP99: at(0.99),
        lateMax: at(1),
        delayP99: delay.percentile(99) / 1e6,
      };
    },
  };
}

const report = (
  what: string,
  { expected, came, lateP99, lateMax, delayP99 }: ReturnType<ReturnType<typeof ticks>["stop"]>,
): void =>
  console.log(
    `${what}: ${came} of ${expected} ticks (${((100 * came) / expected).toFixed(1)} %), late p99 ${lateP99.toFixed(1)} ms, ` +
      `max ${lateMax.toFixed(1)} ms; event loop delay p99 ${delayP99.toFixed(1)} ms`,
  );

const sets = directory ? await data.fashionMnist(directory) : await data.glyphs({ seed: 1, train: 20_000, test: 100 });
const loader = new data.DataLoader(sets.train, {
  batchSize: 128,
  shuffle: true,
  transform: new data.Normalize([0.5], [0.5]),
});
const net = new Net();
const optimizer = new optim.AdamW(net.parameters(), { lr: 1e-3 });

const idle = ticks();
await new Promise((resolve) => setTimeout(resolve, 3000));
report("idle", idle.stop());

let busy: ReturnType<typeof ticks> | null = null;
let steps = 0;
const end = performance.now() + Number(seconds) * 1000;
while (performance.now() < end) {
  for await (const [x, y] of loader) {
    const loss = scope(() => {
      optimizer.zeroGrad();
      const loss = crossEntropy(net.forward(x), y);
      loss.backward();
      optimizer.step();
      return loss;
    });
    await loss.item();
    busy ??= ticks(); // after the first step
    steps++;
    if (performance.now() > end) break;
  }
}
report(`training, ${steps} steps`, busy!.stop());
