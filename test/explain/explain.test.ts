/** @file Looking inside: maps by their definitions on networks that can be computed by hand, attacks within their bounds. */
import { explain, manualSeed, models, nn, noGrad, optim, rand, randn, type Tensor, tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";
import type { TransformerBlock } from "#lib/models/vit.js";

const numbers = (t: Tensor) => [...t.dataSync()].map((v) => Math.round(Number(v) * 1e5) / 1e5);

/** Scores by one matrix: gradients are its rows. */
class Linear2 extends nn.Module {
  readonly fc = new nn.Linear(8, 2, { bias: false });
  constructor() {
    super();
    this.fc.loadStateDict({
      weight: tensor([
        [1, -2, 3, 0, 0, 5, -1, 0.5],
        [0, 1, 0, 1, 0, 1, 0, 1],
      ]),
    });
  }
  forward(x: Tensor): Tensor {
    return this.fc.forward(x.flatten(1));
  }
}

describe("saliency", () => {
  test("the largest gradient over the channels, each picture by its own label", () => {
    const model = new Linear2();
    const x = randn([2, 2, 2, 2]);
    expect(numbers(explain.saliency(model, x, 0).slice(0))).toEqual([1, 5, 3, 0.5]);
    expect(numbers(explain.saliency(model, x, tensor(Int32Array.of(0, 1))).slice(1))).toEqual([0, 1, 0, 1]);
    expect(model.fc.weight.grad).toBeNull();
    expect(model.training).toBe(true);
    expect(() => explain.saliency(model, x, tensor(Int32Array.of(0)))).toThrow(
      "saliency: expected labels [2], got [1]",
    );
  });
});

describe("gradCam", () => {
  test("finds the half that the class speaks for", () => {
    manualSeed(1);
    const model = new nn.Sequential(
      new nn.Conv2d(1, 4, 3, { padding: 1 }),
      new nn.ReLU(),
      new nn.AdaptiveAvgPool2d([1, 2]),
      new nn.Flatten(),
      new nn.Linear(8, 2),
    );
    // Class 0: bright on the left; class 1: on the right.
    const half = (side: number) => {
      const x = rand([16, 1, 8, 8]).mul(0.1);
      const mask = tensor(
        Float32Array.from({ length: 8 }, (_, i) => (i < 4 === (side === 0) ? 1 : 0)),
        [1, 1, 1, 8],
      );
      return x.add(mask);
    };
    const optimizer = new optim.Adam(model.parameters(), { lr: 1e-2 });
    const [left, right] = [half(0), half(1)];
    const [y0, y1] = [0, 1].map((label) => tensor(new Int32Array(16).fill(label)));
    for (let i = 0; i < 60; i++) {
      optimizer.zeroGrad();
      nn.crossEntropy(model.forward(left), y0!)
        .add(nn.crossEntropy(model.forward(right), y1!))
        .backward();
      optimizer.step();
    }
    const map = explain.gradCam(model, model.at(1), left, 0).mean(0);
    expect(map.shape).toEqual([8, 8]);
    const [a, b] = [map.slice(null, [0, 4]).mean().itemSync(), map.slice(null, [4]).mean().itemSync()];
    expect(a).toBeGreaterThan(2 * b);
    expect(explain.gradCam(model, model.at(1), left, 0).max().itemSync()).toBeLessThanOrEqual(1 + 1e-6);
    expect(() => explain.gradCam(model, new nn.ReLU(), left, 0)).toThrow("a layer of the model");
  });
});

describe("adversarial pictures", () => {
  const model = new Linear2();
  const x = rand([3, 2, 2, 2]).mul(0.2).add(0.4);
  const y = model.forward(x).argmax(1).to("int32");

  test("fgsm: the sign of the gradient, epsilon far", () => {
    const moved = explain.fgsm(model, x, 1, { epsilon: 0.05 }).sub(x);
    // Away from class 1: along row 0 - row 1.
    expect(numbers(moved.slice(0).sign().flatten())).toEqual([1, -1, 1, -1, 0, 1, -1, -1]);
    expect(moved.abs().max().itemSync()).toBeCloseTo(0.05, 5);
  });

  test("pgd: further up the loss than one step, within epsilon and range; towards a target too", () => {
    const net = new nn.Sequential(new nn.Flatten(), new nn.Linear(8, 16), new nn.Tanh(), new nn.Linear(16, 2));
    const loss = (z: Tensor) => nn.crossEntropy(net.forward(z), y).itemSync();
    const options = { epsilon: 0.1, steps: 20, randomStart: false };
    const attacked = explain.pgd(net, x, y, options);
    expect(loss(attacked)).toBeGreaterThan(loss(x));
    expect(loss(attacked)).toBeGreaterThanOrEqual(loss(explain.fgsm(net, x, y, { epsilon: 0.1 })) - 1e-4);
    expect(attacked.sub(x).abs().max().itemSync()).toBeLessThanOrEqual(0.1 + 1e-6);
    const towards = explain.pgd(net, x, y, { ...options, target: y });
    expect(loss(towards)).toBeLessThan(loss(x));
    const drawn = explain.pgd(net, x, y, { epsilon: 2, steps: 1 });
    expect(drawn.min().itemSync()).toBeGreaterThanOrEqual(0);
    expect(drawn.max().itemSync()).toBeLessThanOrEqual(1);
  });

  test("foolingPicture gets there by steps of one length", async () => {
    const one = x.slice([0, 1]);
    const target = 1 - Number(y.dataSync()[0]);
    const { picture, steps } = await explain.foolingPicture(model, one, target, { learningRate: 0.1 });
    expect(Number(model.forward(picture).argmax(1).itemSync())).toBe(target);
    expect(steps).toBeGreaterThan(0);
    expect(picture.sub(one).square().sum().sqrt().itemSync()).toBeLessThanOrEqual(0.1 * steps + 1e-5);
    expect((await explain.foolingPicture(model, picture, target)).steps).toBe(0);
    const range = [tensor([0, 0.4], [2, 1, 1]), tensor([0.45, 1], [2, 1, 1])] as const;
    const bounded = await explain.foolingPicture(model, one, target, { learningRate: 0.1, steps: 20, range });
    const [first, second] = [0, 1].map((c) => bounded.picture.slice(0, c));
    expect(bounded.steps).toBeGreaterThan(0);
    expect(first!.max().itemSync()).toBeLessThanOrEqual(0.45 + 1e-6);
    expect(second!.min().itemSync()).toBeGreaterThanOrEqual(0.4 - 1e-6);
  });
});

test("classPicture climbs its class's score; the same seed draws the same", async () => {
  const model = new nn.Sequential(
    new nn.Conv2d(3, 4, 3),
    new nn.ReLU(),
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
    new nn.Linear(4, 3),
  );
  const draw = (seed: number) => {
    manualSeed(seed);
    return explain.classPicture(model, 2, { shape: [3, 12, 12], steps: 20, learningRate: 2, jitter: 2 });
  };
  const picture = await draw(1);
  manualSeed(1);
  const start = randn([1, 3, 12, 12]);
  const score = (z: Tensor) => model.forward(z).slice(0, 2).itemSync();
  expect(score(picture)).toBeGreaterThan(score(start));
  expect((await draw(1)).dataSync()).toEqual(picture.dataSync());
  expect((await draw(2)).dataSync()).not.toEqual(picture.dataSync());
});

test("classPicture without blur is finite; what does not fit is said", async () => {
  manualSeed(3);
  const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(27, 3));
  const options = { shape: [3, 3, 3] as const, steps: 3, blurEvery: 1 };
  const picture = await explain.classPicture(model, 1, { ...options, blur: 0 });
  expect(numbers(picture).every(Number.isFinite)).toBe(true);
  await expect(explain.classPicture(model, 1, { ...options, blur: -1 })).rejects.toThrow("a blur from 0 up, got -1");
  await expect(explain.classPicture(model, 1, { ...options, jitter: 0.5 })).rejects.toThrow(
    "classPicture: expected jitter, a whole number from 0 up, got 0.5",
  );
});

describe("style", () => {
  test("the content alone, and what does not fit", async () => {
    const maps = (x: Tensor) => [x, x.mul(2)];
    const [content, style] = [randn([1, 3, 4, 4]).mul(0.1), randn([1, 3, 4, 4])];
    const options = { styleLayers: [], tvWeight: 0, steps: 5 };
    const same = await explain.styleTransfer(maps, content, style, options);
    expect(numbers(same)).toEqual(numbers(content)); // there is nothing to change
    await expect(explain.styleTransfer(maps, content, style, { styleWeights: [1] })).rejects.toThrow(
      "styleTransfer: expected a style weight for each of the 2 style layers, got 1",
    );
    await expect(explain.styleTransfer(maps, content, style, { logEvery: 0 })).rejects.toThrow(
      "logEvery from 1 up, got 0",
    );
  });

  test("losses by their formulas", () => {
    const maps = tensor([[[[1, 2]], [[3, -1]]]]); // [1, 2, 1, 2]
    expect(numbers(explain.gramMatrix(maps, { normalize: false }))).toEqual([5, 1, 1, 10]);
    expect(numbers(explain.gramMatrix(maps))).toEqual([5 / 4, 1 / 4, 1 / 4, 10 / 4]);
    expect(explain.contentLoss(maps, maps.add(2), 0.5).itemSync()).toBe(8);
    expect(explain.styleLoss([maps], [zeros([1, 2, 2])], [16]).itemSync()).toBeCloseTo(25 + 1 + 1 + 100, 4);
    const picture = tensor([
      [
        [
          [1, 2],
          [4, 8],
        ],
      ],
    ]);
    expect(explain.totalVariationLoss(picture, 2).itemSync()).toBe(2 * (9 + 36 + 1 + 16));
    expect(() => explain.styleLoss([maps], [], [1])).toThrow("as many maps, Gram matrices and weights");
  });

  test("the picture takes on the other's Gram matrices", async () => {
    manualSeed(2);
    const net = new nn.Sequential(new nn.Conv2d(3, 6, 3, { padding: 1 }), new nn.ReLU());
    const maps = (x: Tensor) => [x, net.forward(x)];
    const [content, style] = [randn([1, 3, 8, 8]).mul(0.1), randn([1, 3, 8, 8]).mul(0.8)];
    const losses: number[] = [];
    const y = await explain.styleTransfer(maps, content, style, {
      steps: 60,
      logEvery: 20,
      contentWeight: 0,
      tvWeight: 0,
      onStep: (_, loss) => void losses.push(loss),
    });
    expect(losses).toHaveLength(3);
    expect(losses[2]!).toBeLessThan(losses[0]!);
    expect(y.shape).toEqual([1, 3, 8, 8]);
    const away = (z: Tensor) =>
      explain
        .styleLoss(
          [...maps(z)],
          maps(style).map((m) => explain.gramMatrix(m)),
          [1, 1],
        )
        .itemSync();
    expect(away(y)).toBeLessThan(away(content) / 3);
    const [weight] = net.at(0).parameters();
    expect([weight!.requiresGrad, weight!.grad]).toEqual([true, null]);
  });

  test("its steps are Adam's on the sum of the three losses, to the bit", async () => {
    manualSeed(5);
    const net = new nn.Sequential(new nn.Conv2d(3, 4, 3), new nn.ReLU(), new nn.Conv2d(4, 5, 3), new nn.ReLU());
    const maps = (x: Tensor) => [net.at(1).forward(net.at(0).forward(x)), net.forward(x)];
    const [content, style] = [randn([1, 3, 9, 9]), randn([1, 3, 7, 7])];
    const seen: number[] = [];
    const y = await explain.styleTransfer(maps, content, style, {
      ...{ contentLayer: 1, contentWeight: 0.5, styleLayers: [0, 1], styleWeights: [30, 20], tvWeight: 0.1 },
      ...{ steps: 12, learningRate: 0.05, range: [-2, 2], logEvery: 1, onStep: (_, loss) => void seen.push(loss) },
    });
    const picture = content.clone().requiresGrad_();
    const optimizer = new optim.Adam([picture], { lr: 0.05 });
    const [wanted, grams] = noGrad(() => [maps(content), maps(style).map((m) => explain.gramMatrix(m))]);
    const losses: number[] = [];
    for (let step = 1; step <= 12; step++) {
      if (step === 11) optimizer.paramGroups[0]!.lr = 0.005;
      noGrad(() => picture.clamp_(-2, 2));
      optimizer.zeroGrad();
      const now = maps(picture);
      const loss = explain
        .contentLoss(now[1]!, wanted[1]!, 0.5)
        .add(explain.styleLoss(now, grams, [30, 20]))
        .add(explain.totalVariationLoss(picture, 0.1));
      loss.backward();
      optimizer.step();
      losses.push(loss.itemSync());
    }
    expect(seen).toEqual(losses);
    expect(y.dataSync()).toEqual(picture.detach().clamp(-2, 2).dataSync());
  });

  test("from noise, by seed, the content comes back from its maps; from a picture it goes on; others are refused", async () => {
    manualSeed(3);
    const net = new nn.Conv2d(3, 12, 3, { padding: 1 });
    const maps = (x: Tensor) => [net.forward(x)];
    const content = rand([1, 3, 8, 8]);
    const bounds = [tensor([0, 0, 0], [3, 1, 1]), tensor([1, 1, 1], [3, 1, 1])] as const;
    const options = { contentWeight: 1, styleWeights: [0], tvWeight: 0, range: bounds };
    const from = (seed: number, steps: number, init: "noise" | Tensor = "noise") => {
      manualSeed(seed);
      return explain.styleTransfer(maps, content, content, { ...options, steps, init });
    };
    const away = (z: Tensor) => z.sub(content).abs().mean().itemSync();
    const [short, long] = [await from(1, 5), await from(1, 200)];
    expect(away(long)).toBeLessThan(away(short) / 5);
    expect((await from(1, 5)).dataSync()).toEqual(short.dataSync());
    expect((await from(2, 5)).dataSync()).not.toEqual(short.dataSync());
    expect(away(await from(1, 5, content))).toBe(0);
    const kept = short.clone();
    await from(1, 3, short);
    expect(short.dataSync()).toEqual(kept.dataSync());
    await expect(from(1, 3, zeros([1, 3, 4, 4]))).rejects.toThrow(
      'styleTransfer: expected init to be "content", "noise" or a picture [1,3,8,8], got [1,3,4,4]',
    );
  });
});

describe("layers", () => {
  test("filters as pictures, activations by module", () => {
    const conv = new nn.Conv2d(2, 3, 3);
    expect(explain.filterPictures(conv.weight).shape).toEqual([6, 1, 3, 3]);
    const pictures = explain.filterPictures(new nn.Conv2d(3, 5, 3).weight);
    expect(pictures.shape).toEqual([5, 3, 3, 3]);
    expect(pictures.min().itemSync()).toBe(0);
    expect(pictures.max().itemSync()).toBeCloseTo(1, 6);
    expect(
      numbers(
        explain.scaledToUnit(
          tensor([
            [2, 2],
            [1, 3],
          ]),
        ),
      ),
    ).toEqual([0, 0, 0, 1]);
    const model = new models.ResNet({ classes: 3, width: 8, layers: [1, 1, 1, 1], stem: "cifar" });
    const [a, b] = explain.activations(model, [model.layer1, model.fc], zeros([2, 3, 8, 8]));
    expect([a!.shape, b!.shape]).toEqual([
      [2, 8, 8, 8],
      [2, 3],
    ]);
    expect(() => explain.activations(model, [conv], zeros([2, 3, 8, 8]))).toThrow("module 0 (Conv2d) was not called");
  });

  test("a vision transformer's attention: rows sum to one, and with the values it is what the block computes", () => {
    manualSeed(4);
    const vit = new models.VisionTransformer({
      classes: 3,
      imageSize: 8,
      patch: 4,
      dim: 12,
      depth: 2,
      heads: 3,
    }).eval();
    const x = randn([2, 3, 8, 8]);
    const maps = vit.attentionMaps(x);
    expect(maps.map((m) => m.shape)).toEqual([
      [2, 3, 5, 5],
      [2, 3, 5, 5],
    ]);
    expect(maps[1]!.sum(3).sub(1).abs().max().itemSync()).toBeLessThan(1e-6);
    const { attn, norm1 } = vit.blocks.at(0) as TransformerBlock;
    const [input] = explain.activations(vit, [norm1], x);
    const [, , v] = attn.split(input!);
    const y = attn.proj.forward(maps[0]!.matmul(v).transpose(1, 2).reshape([2, 5, 12]));
    expect(y.sub(attn.forward(input!)).abs().max().itemSync()).toBeLessThan(1e-5);
    const flow = explain.attentionRollout(maps);
    expect(flow.shape).toEqual([2, 5, 5]);
    expect(flow.sum(2).sub(1).abs().max().itemSync()).toBeLessThan(1e-6);
  });

  test("attention roll-out: by hand, rows sum to one", () => {
    const map = tensor([
      [
        [
          [0, 1],
          [0.5, 0.5],
        ],
      ],
    ]); // one head
    expect(numbers(explain.attentionRollout([map]))).toEqual([0.5, 0.5, 0.25, 0.75]);
    expect(numbers(explain.attentionRollout([map, map]))).toEqual([0.375, 0.625, 0.3125, 0.6875]);
    expect(() => explain.attentionRollout([])).toThrow("at least one layer");
  });
});
