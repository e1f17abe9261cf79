/**
 * A character GPT on tiny Shakespeare in the setting that nanoGPT suggests for a CPU: 4 layers, 4 heads, 128 wide, context
 * 64, batches of 12, 2,000 steps without dropout. Some two minutes on two cores; prints the validation loss and a sample.
 *
 *     npm run example -- gpt [--data FILE]
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { capture, data, manualSeed, models, nn, noGrad, optim, type Tensor, tensor } from "napier";
import { saveResult } from "./shared/pictures.js";

const seed = 1337;
const [context, batchSize, warmup] = [64, 12, 100];
const { values } = parseArgs({ options: { data: { type: "string" } } });
const FALLBACK = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n".repeat(60);
const steps = values.data ? 2000 : 200;
const text = values.data ? await readFile(values.data, "utf8") : FALLBACK;
const tokenizer = new data.CharTokenizer(text);
const ids = tokenizer.encode(text);
const cut = Math.floor(0.9 * ids.length);
console.log(`${ids.length} characters, ${tokenizer.size} different ones`);

manualSeed(seed);
const model = new models.GPT({ vocabulary: tokenizer.size, context });
const [decayed, plain] = [model.parameters().filter((p) => p.ndim > 1), model.parameters().filter((p) => p.ndim < 2)];
const optimizer = new optim.AdamW(
  [
    { params: decayed, weightDecay: 0.1 },
    { params: plain, weightDecay: 0 },
  ],
  { lr: 1e-3, betas: [0.9, 0.99] },
);
const lossOf = (x: Tensor, y: Tensor) => {
  const scores = model.forward(x);
  return nn.crossEntropy(scores.reshape([-1, tokenizer.size]), y.reshape([-1]));
};
const step = capture((x: Tensor, y: Tensor) => {
  optimizer.zeroGrad();
  const loss = lossOf(x, y);
  loss.backward();
  optim.clipGradNorm(model.parameters(), 1);
  optimizer.step();
  return loss;
});
const rate = (i: number) =>
  i < warmup
    ? (1e-3 * (i + 1)) / (warmup + 1)
    : 1e-4 + 4.5e-4 * (1 + Math.cos((Math.PI * (i - warmup)) / (steps - warmup)));

const training = new data.TokenWindows(ids.subarray(0, cut), context);
const loader = new data.DataLoader(training, { batchSize, shuffle: true, seed, dropLast: true });
const start = performance.now();
let i = 0;
while (i < steps)
  for await (const [x, y] of loader) {
    for (const group of optimizer.paramGroups) group.lr = rate(i);
    const loss = await step(x!, y!);
    if (++i % 250 === 0) console.log(`  step ${i}: training loss ${(await loss.item()).toFixed(3)}`);
    for (const t of [x!, y!, loss]) t.free();
    if (i === steps) break;
  }
const seconds = (performance.now() - start) / 1e3;

// The whole held-out text, window by window.
model.eval();
const held = new data.TokenWindows(ids.subarray(cut), context, context);
let [sum, count] = [0, 0];
for await (const [x, y] of new data.DataLoader(held, { batchSize: 64 })) {
  sum += x!.shape[0]! * (await noGrad(() => lossOf(x!, y!)).item());
  count += x!.shape[0]!;
}
const validationLoss = sum / count;
console.log(`validation loss ${validationLoss.toFixed(3)}, ${steps} steps in ${seconds.toFixed(1)} s\n`);
const begin = tensor(tokenizer.encode("\n"), [1, 1]);
const sample = tokenizer.decode((await model.generate(begin, 300, { temperature: 0.8, topK: 20 }).data()).slice(1));
console.log(sample);

await saveResult("gpt", values.data ? "tinyshakespeare" : "fallback", {
  settings: { layers: 4, heads: 4, dim: 128, context, batchSize, steps, warmup, lr: 1e-3, dropout: 0 },
  seed,
  parameters: nn.countParameters(model),
  trainingSeconds: seconds,
  millisecondsAStep: (1e3 * seconds) / steps,
  validationLoss,
  sample,
});
