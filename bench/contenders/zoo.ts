/** The training steps of bench/zoo.ts with the models of lib/models; bench/rivals/torch_zoo.py has the same. */
import { capture, manualSeed, models, nn, optim, randint, randn, scope, type Tensor } from "napier";
import type { Case } from "../cases.js";
import type { Checked } from "./serve.js";

/** A model, its optimizer, a batch, and what scores cost. */
interface Training {
  model: nn.Layer;
  optimizer: optim.Optimizer;
  batch: [x: Tensor, y: Tensor];
  clipNorm?: number;
}

const pictures = (n: number): [Tensor, Tensor] => [randn([n, 3, 32, 32]), randint(0, 10, [n])];

function resnet20(): Training {
  const model = models.create("resnet20");
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9, weightDecay: 5e-4 });
  return { model, optimizer, batch: pictures(128) };
}

function vit(): Training {
  const sizes = { classes: 10, imageSize: 32, patch: 4, dim: 192, depth: 6, heads: 3 };
  const model = new models.VisionTransformer(sizes);
  return {
    model,
    optimizer: new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.05 }),
    batch: pictures(64),
  };
}

function gpt(): Training {
  const [n, context, vocabulary] = [12, 64, 65];
  const model = new models.GPT({ vocabulary, context });
  const of = (decayed: boolean) => model.parameters().filter((p) => p.ndim > 1 === decayed);
  const groups = [
    { params: of(true), weightDecay: 0.1 },
    { params: of(false), weightDecay: 0 },
  ];
  const optimizer = new optim.AdamW(groups, { lr: 1e-3, betas: [0.9, 0.99] });
  const ids = () => randint(0, vocabulary, [n, context]);
  return { model, optimizer, batch: [ids(), ids()], clipNorm: 1 };
}

const TRAININGS: Record<string, () => Training> = { ResNet: resnet20, ViT: vit, GPT: gpt };

/** A step, its loss read; captured, or not (`eager`). */
export function zooStep({ name }: Case, eager: boolean): Checked {
  manualSeed(0);
  const { model, optimizer, batch, clipNorm } = TRAININGS[name.split(/[- ]/)[0]!]!();
  const plain = (x: Tensor, y: Tensor) => {
    optimizer.zeroGrad();
    const scores = model.forward(x);
    const loss = nn.crossEntropy(scores.reshape([-1, scores.shape.at(-1)!]), y.reshape([-1]));
    loss.backward();
    if (clipNorm) optim.clipGradNorm(model.parameters(), clipNorm);
    optimizer.step();
    return loss;
  };
  const step = eager
    ? async (x: Tensor, y: Tensor) => scope(() => plain(x, y).detach())
    : capture(plain, { warmup: 0 });
  const run = async () => {
    const loss = await step(...batch);
    await loss.item();
    loss.free();
  };
  return { run, result: async () => [nn.countParameters(model)] };
}
