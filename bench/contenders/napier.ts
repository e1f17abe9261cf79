/** Contender: napier itself, through its public functions; a run ends when the result is ready. */
import { crossEntropy, grad, manualSeed, nn, optim, rand, randn, scope, type Tensor, tensor } from "napier";
import { addon } from "#lib/native.js";
import type { Case } from "../cases.js";
import { memoryOp } from "./memory.js";
import { serve } from "./serve.js";

manualSeed(0);

/** Runs `fn` in a scope and waits for its kernels, without blocking the loop. */
const run = (fn: () => unknown) => async (): Promise<void> => {
  scope(() => void fn()); // not returned: it would outlive the scope
  await addon.settled();
};
/** The same for ops of microseconds: blocking, so that the promise is not what is measured. */
const tiny = (fn: () => unknown) => (): void => {
  scope(() => void fn());
  addon.synchronize();
};

function step(name: string): (() => Promise<void>) | null {
  const trainer = (model: nn.Sequential, x: Tensor, y: Tensor, optimizer: optim.Optimizer) => async () => {
    const loss = scope(() => {
      optimizer.zeroGrad();
      const loss = crossEntropy(model.forward(x), y);
      loss.backward();
      optimizer.step();
      return loss;
    });
    await loss.item();
    loss.free();
  };
  const labels = (n: number) => tensor(Int32Array.from({ length: n }, (_, i) => (i * 7) % 10));
  if (name === "two_layer") {
    const model = new nn.Sequential(new nn.Linear(3072, 100), new nn.ReLU(), new nn.Linear(100, 10));
    return trainer(model, randn([200, 3072]), labels(200), new optim.SGD(model.parameters(), { lr: 1e-3 }));
  }
  if (name === "small_convnet") {
    const model = new nn.Sequential(
      new nn.Conv2d(3, 32, 3, { padding: 1 }),
      new nn.BatchNorm2d(32),
      new nn.ReLU(),
      new nn.Conv2d(32, 32, 3, { padding: 1 }),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Flatten(),
      new nn.Linear(32 * 16 * 16, 10),
    );
    return trainer(model, randn([64, 3, 32, 32]), labels(64), new optim.Adam(model.parameters(), { lr: 1e-3 }));
  }
  return null;
}

function build(c: Case): (() => Promise<void> | void) | null {
  const { name, op, params } = c;
  const memory = c.suite === "memory" ? memoryOp(c) : null;
  if (memory) return run(memory);
  const p = params as Record<string, number>;
  const picture = (requiresGrad = false): Tensor => {
    const x = rand([p.n!, p.c!, p.h!, p.h!]);
    return requiresGrad ? x.requiresGrad_() : x;
  };
  switch (op) {
    case "step":
      return step(name);
    case "matmul": {
      const a = params.transA ? rand([p.k!, p.m!]) : rand([p.m!, p.k!]);
      const b = params.transB ? rand([p.n!, p.k!]) : rand([p.k!, p.n!]);
      const product = () => a.matmul(b, { transA: params.transA === true, transB: params.transB === true });
      return p.m! <= 64 ? tiny(product) : run(product);
    }
    case "conv2d": {
      const [x, w] = [picture(), rand([p.o!, p.c!, p.r!, p.r!])];
      return run(() => x.conv2d(w, null, { stride: p.stride!, padding: p.pad! }));
    }
    case "conv2d+backward": {
      const [x, w] = [picture(true), rand([p.o!, p.c!, p.r!, p.r!]).requiresGrad_()];
      const forward = () => x.conv2d(w, null, { stride: p.stride!, padding: p.pad! });
      const dy = rand(forward().shape);
      return run(() => grad(forward(), [x, w], { gradOutputs: [dy] }));
    }
    case "add": {
      const x = picture();
      return run(() => x.add(x));
    }
    case "tiny add": {
      const x = rand([p.n!]);
      return tiny(() => x.add(x));
    }
    case "relu":
    case "exp":
    case "tanh":
    case "sigmoid":
    case "gelu": {
      const x = picture();
      return run(() => x[op]());
    }
    case "maxpool": {
      const x = picture();
      return run(() => x.maxPool2d(2));
    }
    case "batchnorm":
    case "batchnorm+backward": {
      const layer = new nn.BatchNorm2d(p.c!, { trackRunningStats: false });
      const x = picture(op !== "batchnorm");
      if (op === "batchnorm") {
        layer.requiresGrad_(false);
        return run(() => layer.forward(x));
      }
      const dy = rand(x.shape);
      return run(() => grad(layer.forward(x), [x, ...layer.parameters()], { gradOutputs: [dy] }));
    }
    case "softmax": {
      const x = rand([p.rows!, p.cols!]);
      return run(() => x.softmax(1));
    }
    case "layernorm+backward": {
      const layer = new nn.LayerNorm(p.cols!);
      const x = rand([p.rows!, p.cols!]).requiresGrad_();
      const dy = rand(x.shape);
      return run(() => grad(layer.forward(x), [x, ...layer.parameters()], { gradOutputs: [dy] }));
    }
    case "crossEntropy+backward": {
      const x = rand([p.rows!, p.cols!]).requiresGrad_();
      const y = tensor(Int32Array.from({ length: p.rows! }, (_, i) => i % p.cols!));
      return run(() => grad(crossEntropy(x, y), [x]));
    }
    case "adam":
    case "sgd": {
      const w = new nn.Parameter(rand([p.n!]));
      w.grad = rand([p.n!]);
      const optimizer = op === "adam" ? new optim.Adam([w], { lr: 1e-3 }) : new optim.SGD([w], { lr: 1e-3 });
      return run(() => optimizer.step());
    }
    default:
      return null;
  }
}

await serve(build);
