/** Contender: napier itself, through its public functions; a run ends when the result is ready. */
import { capture, classic, grad, manualSeed, nn, noGrad, rand, randint, scope, type Tensor, tensor } from "napier";
import { addon } from "#lib/native.js";
import type { Case } from "../cases.js";
import { attentionOp } from "./attention.js";
import { memoryOp } from "./memory.js";
import { pictures, resnet18 } from "./resnet18.js";
import { samplingRun } from "./sampling.js";
import { type Action, type Checked, serve } from "./serve.js";
import { makeStep } from "./steps.js";
import { zooStep } from "./zoo.js";

manualSeed(0);
const eager = process.env.NAPIER_BENCH === "eager";

/** Runs `fn` in a scope and waits for its kernels, without blocking the loop. */
const run = (fn: () => unknown) => async (): Promise<void> => {
  scope(() => void fn()); // not returned: it would outlive the scope
  await addon.settled();
};
/** The same for ops below a millisecond: blocking, as the others do, so that the promise is not what is measured. */
const tiny = (fn: () => unknown) => (): void => {
  scope(() => void fn());
  addon.synchronize();
};

/** A convolution, or the gradients that `op` asks for, from a graph that is kept ("+backward" runs all of it). */
function convolution(op: string, { n, c, h, o, r, stride, pad, groups }: Record<string, number>): () => Promise<void> {
  const transposed = op.startsWith("convTranspose2d");
  const x = rand([n!, c!, h!, h!]);
  const w = rand(transposed ? [c!, o! / groups!, r!, r!] : [o!, c! / groups!, r!, r!]);
  const options = { stride: stride!, padding: pad!, groups: groups! };
  const forward = () => (transposed ? x.convTranspose2d(w, null, options) : x.conv2d(w, null, options));
  if (!op.includes(" ") && !op.includes("+")) return run(forward);
  const wanted = op.endsWith(" dx") ? [x] : op.endsWith(" dw") ? [w] : [x, w];
  for (const leaf of wanted) leaf.requiresGrad_();
  const y = forward();
  const dy = rand(y.shape);
  if (op.includes("+")) return run(() => grad(forward(), wanted, { gradOutputs: [dy] }));
  return run(() => grad(y, wanted, { gradOutputs: [dy], retainGraph: true }));
}

/** A training step as the Trainer runs it: captured, its loss read each time; with NAPIER_BENCH=eager not captured. */
function step(name: string): () => Promise<void> {
  const { inputs, run } = makeStep(name);
  const plain = async (...given: Tensor[]) => scope(() => run(...given).detach());
  const next = eager ? plain : capture(run, { warmup: 0 });
  return async () => {
    const loss = await next(...inputs);
    await loss.item();
    loss.free();
  };
}

/** A network in evaluation mode, its normalisations folded, captured; with NAPIER_BENCH=eager not. */
function inference({ n }: Record<string, number>): Checked {
  const model = resnet18();
  const x = tensor(pictures(n!), [n!, 3, 224, 224]);
  const folded = nn.foldBatchNorm(model, tensor(pictures(1), [1, 3, 224, 224]));
  const forward = (x: Tensor) => noGrad(() => folded(x));
  const next = eager ? async (x: Tensor) => scope(() => forward(x)) : capture(forward, { warmup: 0 });
  const result = async () => {
    const y = await next(x);
    const values = await y.data();
    y.free();
    return values as Float32Array;
  };
  return { run: async () => void (await result()), result };
}

async function build(c: Case): Promise<Action | Checked | null> {
  const { name, op, params } = c;
  if (c.suite === "attention") return run(attentionOp(c));
  if (c.suite === "memory") {
    const once = memoryOp(c);
    return once && run(once);
  }
  const p = params as Record<string, number>;
  switch (op) {
    case "zoo":
      return zooStep(c, eager);
    case "sampling":
      return samplingRun(c, eager);
    case "step":
      return step(name);
    case "inference":
      return inference(p);
    case "distances": {
      const [a, b] = [rand([p.n!, p.d!]), rand([p.m!, p.d!])];
      if (p.loops === 0) return run(() => classic.distancesVectorised(a, b));
      const loops = p.loops === 1 ? classic.distancesOneLoop : classic.distancesTwoLoops;
      return async () => {
        (await loops(a, b)).free();
        await addon.settled();
      };
    }
    case "neighbours": {
      const a = rand([p.n!, p.d!]);
      const knn = await new classic.KNearestNeighbor().fit(rand([p.m!, p.d!]), randint(0, 10, [p.m!]));
      return async () => (await knn.predict(a, { k: p.k! })).free();
    }
    case "matmul": {
      const a = params.transA ? rand([p.k!, p.m!]) : rand([p.m!, p.k!]);
      const b = params.transB ? rand([p.n!, p.k!]) : rand([p.k!, p.n!]);
      const product = () => a.matmul(b, { transA: params.transA === true, transB: params.transB === true });
      return c.gflop < 0.05 ? tiny(product) : run(product);
    }
    case "conv2d":
    case "conv2d+backward":
    case "conv2d dx":
    case "conv2d dw":
    case "convTranspose2d":
    case "convTranspose2d dx":
    case "convTranspose2d dw":
      return convolution(op, p as Record<string, number>);
    default:
      return null;
  }
}

await serve(build);
