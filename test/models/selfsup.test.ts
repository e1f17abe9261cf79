/** @file SimCLR and DINO beside PyTorch (fixtures/models/make_selfsup.py): losses, gradients, a whole step; what collapses and what learns. */
import { readFileSync } from "node:fs";
import { manualSeed, models, nn, noGrad, optim, randn, type Tensor, tensor, train, zeros } from "napier";
import { describe, expect, test } from "vitest";
import { even, fill } from "./formula.js";

const golden = JSON.parse(readFileSync(new URL("../fixtures/models/selfsup.json", import.meta.url), "utf8"));
const f64 = { dtype: "float64" } as const;
const near = (got: ArrayLike<number>, want: ArrayLike<number>, what: string, bound = 1e-9, least = 0) => {
  expect(got.length, what).toBe(want.length);
  const size = Math.max(least, ...Array.from(want, Math.abs));
  for (let i = 0; i < want.length; i++)
    if (!(Math.abs(got[i]! - want[i]!) <= bound * size))
      throw new Error(`${what}: element ${i} is ${got[i]}, PyTorch has ${want[i]}`);
};
const pictures = (name: string, ...shape: number[]): Tensor =>
  tensor(
    even(
      name,
      shape.reduce((a, b) => a * b),
    ),
    shape,
  );

function expectGradients(model: nn.Module, want: Record<string, number[]>): void {
  const learned = model.namedParameters().filter(([, p]) => p.grad !== null);
  expect(learned.map(([key]) => key).sort()).toEqual(Object.keys(want).sort());
  // Gradients that are 0 but for rounding (a bias before a normalisation) are judged by the largest.
  const largest = Math.max(...Object.values(want).flat().map(Math.abs));
  for (const [key, p] of learned) near(p.grad!.dataSync(), want[key]!, `the gradient of ${key}`, 1e-9, 1e-3 * largest);
}

describe("NT-Xent", () => {
  test.each([0, 1])("loss and gradients as PyTorch's, case %d", (i) => {
    const { temperature, loss, dz1, dz2 } = golden.ntXent[i];
    const [z1, z2] = [pictures("z1", 5, 6).requiresGrad_(), pictures("z2", 5, 6).requiresGrad_()];
    const y = models.ntXentLoss(z1, z2, { temperature });
    y.backward();
    near([y.itemSync()], [loss], "loss");
    near(z1.grad!.dataSync(), dz1, "dz1");
    near(z2.grad!.dataSync(), dz2, "dz2");
  });
  test("knows no length, and is symmetric", () => {
    const [z1, z2] = [pictures("z1", 5, 6), pictures("z2", 5, 6)];
    const want = models.ntXentLoss(z1, z2).itemSync();
    near([models.ntXentLoss(z1.mul(7), z2.mul(0.1)).itemSync()], [want], "other lengths");
    near([models.ntXentLoss(z2, z1).itemSync()], [want], "swapped");
  });
  test("of one picture is 0: there is nothing to tell it from", () => {
    expect(models.ntXentLoss(pictures("z1", 1, 6), pictures("z2", 1, 6)).itemSync()).toBeCloseTo(0, 12);
  });
  test("what is wrong", () => {
    const z = randn([4, 3]);
    expect(() => models.ntXentLoss(randn([4]), z)).toThrow("ntXentLoss: expected z1 of shape [n,dim], got [4]");
    expect(() => models.ntXentLoss(z, randn([3, 3]))).toThrow("expected z2 of the shape of z1, [4,3], got [3,3]");
    expect(() => models.ntXentLoss(z, z, { temperature: 0 })).toThrow("expected a temperature above 0, got 0");
  });
});

describe("SimCLR", () => {
  test.each([
    ["norm", true],
    ["plain", false],
  ] as const)("loss and gradients as PyTorch's, head %s", (name, batchNorm) => {
    const { loss, grads } = golden.simclr[name];
    const encoder = new nn.Sequential(
      new nn.Conv2d(2, 4, 3, { stride: 2, padding: 1 }),
      new nn.BatchNorm2d(4),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Linear(64, 7),
    );
    const options = { features: 7, hidden: 9, dim: 5, batchNorm, temperature: 0.2 };
    const model = fill(new models.SimCLR(encoder, options).to("float64"));
    const y = model.loss([pictures("a", 6, 2, 8, 8), pictures("b", 6, 2, 8, 8)]);
    y.backward();
    near([y.itemSync()], [loss], "loss");
    expectGradients(model, grads);
  });

  test("learns to tell the pictures of a batch apart, the same way for a seed", () => {
    const train = () => {
      manualSeed(3);
      const encoder = new models.Encoder(new models.CifarResNet({ depth: 8, width: 4, inChannels: 1 }));
      const model = new models.SimCLR(encoder, { features: 16, dim: 8, temperature: 0.2 });
      const x = randn([8, 1, 8, 8]);
      const views = [x, x.add(randn([8, 1, 8, 8]).mul(0.1))];
      const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2 });
      return Array.from({ length: 30 }, () => {
        optimizer.zeroGrad();
        const loss = model.loss(views);
        loss.backward();
        optimizer.step();
        return loss.itemSync();
      });
    };
    const losses = train();
    expect(losses.at(-1)!).toBeLessThan(0.3 * losses[0]!);
    expect(losses.at(-1)!).toBeLessThan(0.3);
    expect(train()).toEqual(losses);
  });

  test("what is wrong", () => {
    const model = new models.SimCLR(new nn.Flatten(), { features: 4, dim: 2 });
    const x = zeros([2, 1, 2, 2]);
    expect(() => model.loss([x])).toThrow("SimCLR: expected two views, got 1");
    expect(() => model.loss([x, zeros([3, 1, 2, 2])])).toThrow("expected views of one shape, [2,1,2,2], got [3,1,2,2]");
    expect(() => new models.SimCLR(new nn.Flatten(), { features: 0 })).toThrow("features");
    expect(() => new models.SimCLR(new nn.Flatten(), { features: 4, temperature: -1 })).toThrow("temperature above 0");
  });
});

/** The fixture's encoder: pictures of any size to 24 features. */
const small = () =>
  new nn.Sequential(
    new nn.Conv2d(2, 6, 3, { stride: 2, padding: 1 }),
    new nn.BatchNorm2d(6),
    new nn.ReLU(),
    new nn.AdaptiveAvgPool2d(2),
    new nn.Flatten(),
  );
const pairs = (n: number, side = 4) => [randn([n, 1, side, side]), randn([n, 1, side, side])];
const flat = (options: Partial<models.DINOOptions> = {}) =>
  new models.DINO(() => new nn.Sequential(new nn.Flatten(), new nn.Linear(16, 8)), {
    features: 8,
    head: { out: 6, hidden: 8, bottleneck: 4 },
    ...options,
  });

describe("DINO", () => {
  test.each([
    ["plain", { layers: 3, batchNorm: false, normLastLayer: true }],
    ["norm", { layers: 2, batchNorm: true, normLastLayer: false }],
  ] as const)("a step with five views as PyTorch's, head %s: loss, gradients, centre, teacher", (name, head) => {
    const { loss, grads, center, teacher } = golden.dino[name];
    const options = { features: 24, head: { out: 11, hidden: 10, bottleneck: 5, ...head }, momentum: 0.9 };
    const model = fill(new models.DINO(small, options).to("float64"));
    model.schedule(0); // as a trainer does: the temperature, 0.04, in float64
    const views = [8, 8, 6, 6, 6].map((side, i) => pictures(`view${i}`, 4, 2, side, side));
    const optimizer = new optim.SGD(
      model.parameters().filter((p) => p.requiresGrad),
      { lr: 0.1 },
    );
    const y = model.loss(views);
    y.backward();
    near([y.itemSync()], [loss], "loss");
    expectGradients(model, grads);
    near(model.center.dataSync(), center, "centre");
    optimizer.step();
    model.update();
    const state = model.teacher.stateDict();
    for (const [key, want] of Object.entries<number[]>(teacher)) near(state[key]!.dataSync(), want, `teacher ${key}`);
  });

  describe.each([
    ["plain", false],
    ["norm", true],
  ] as const)("a training whose last layer is frozen for its first half, head %s", (name, normLastLayer) => {
    const STEPS = 14;
    const run = async (capture: boolean) => {
      const head = { out: 7, layers: 2, hidden: 10, bottleneck: 4, normLastLayer };
      const options = { features: 24, head, momentum: 0.9, freezeLastLayer: 0.5 };
      const model = fill(new models.DINO(small, options).to("float64"));
      model.teacher.loadStateDict(model.student.stateDict());
      const last = model.student.head.lastLayer;
      const learned = model.parameters().filter((p) => p.requiresGrad);
      const optimizer = new optim.AdamW(learned, { lr: 0.01, weightDecay: 0.1 });
      const trainer = new train.SelfSupervisedTrainer(model, { optimizer, finalRate: 1, capture });
      const views = [8, 8, 6].map((side, i) => pictures(`view${i}`, 4, 2, side, side));
      const loader = (async function* () {
        for (;;) yield views;
      })();
      let runs = 0;
      const { loss } = model;
      model.loss = (given) => {
        runs++;
        return loss.call(model, given);
      };
      const steps: { loss: number; frozen: boolean; last: Record<string, Float64Array> }[] = [];
      for await (const event of trainer.fit(loader, { steps: STEPS, logEvery: 1 })) {
        expect(event.notice).toBe(null);
        const values = Object.entries(last.stateDict()).map(([key, t]) => [key, t.dataSync("float64")]);
        steps.push({ loss: event.loss, frozen: model.student.head.frozen, last: Object.fromEntries(values) });
      }
      return { steps, runs };
    };

    test.each([true, false])("as PyTorch's with the paper's gradients left out, captured: %s", async (capture) => {
      const { losses, beginning, turn, end } = golden.frozen[name];
      const { steps, runs } = await run(capture);
      expect(steps.map(({ frozen }) => frozen)).toEqual(losses.map((_: number, i: number) => i < STEPS / 2));
      near(
        steps.map(({ loss }) => loss),
        losses,
        "the losses",
      );
      for (const [i, want] of [
        [0, beginning],
        [STEPS / 2 - 1, beginning], // neither gradients nor weight decay have moved it
        [STEPS / 2, turn],
        [STEPS - 1, end],
      ] as const)
        for (const key of ["weight_g", "weight_v"])
          near(steps[i]!.last[key]!, want[key], `${key} behind step ${i + 1}`);
      // Captured: four steps to look at and a recording before the change, and again behind it.
      expect(runs).toBe(capture ? 10 : STEPS);
    });
  });

  test("the loss: sharp teachers ask for one answer, warm ones for many, centring takes what all say", () => {
    const [t, s] = [tensor([[2, 1, 0]], f64), tensor([[0, 0, 0]], f64)];
    const loss = (options: models.DinoLossOptions, student = s) =>
      models.dinoLoss([t, student], [t], options).itemSync();
    near([loss({})], [Math.log(3)], "an even answer");
    const softmax = (x: number[]) => x.map((v) => Math.exp(v) / x.reduce((sum, w) => sum + Math.exp(w), 0));
    const entropy = (x: number[]) => -softmax(x).reduce((sum, p) => sum + p * Math.log(p), 0);
    near([loss({ teacherTemperature: 0.5, studentTemperature: 0.5 }, t)], [entropy([4, 2, 0])], "its own answer");
    const center = tensor([[2, 1, 0]], f64);
    near(
      [loss({ center, teacherTemperature: 0.5, studentTemperature: 1 }, t)],
      [-[2, 1, 0].reduce((sum, v) => sum + Math.log(softmax([2, 1, 0])[2 - v]!) / 3, 0)],
      "a teacher that says what it always says asks for all alike",
    );
  });

  test("both begin alike; the teacher's gradients are none; its momentum and temperature follow the schedule", () => {
    manualSeed(1);
    const model = flat({ momentum: 0.9, teacherTemperature: [0.04, 0.08], temperatureWarmup: 0.5 });
    const [student, teacher] = [model.student.stateDict(), model.teacher.stateDict()];
    for (const [key, t] of Object.entries(student)) expect(teacher[key]!.dataSync()).toEqual(t.dataSync());
    expect(model.teacher.parameters().some((p) => p.requiresGrad)).toBe(false);
    expect(model.student.parameters().filter((p) => !p.requiresGrad).length).toBe(1); // the lengths of the last layer
    for (const [progress, momentum, temperature] of [
      [0, 0.9, 0.04],
      [0.25, 1 - (0.1 * (1 + Math.SQRT1_2)) / 2, 0.06],
      [0.5, 0.95, 0.08],
      [1, 1, 0.08],
    ] as const) {
      model.schedule(progress);
      expect(model.momentum).toBeCloseTo(momentum, 12);
      expect(model.temperature.itemSync()).toBeCloseTo(temperature, 7);
    }
    const x = randn([3, 1, 4, 4]);
    expect(model.encode(x).dataSync()).toEqual(model.teacher.encoder.forward(x).dataSync());
    expect(model.forward(x).shape).toEqual([3, 6]);
  });

  test("views of several sizes need no order of their own, but the first two", () => {
    manualSeed(2);
    const model = new models.DINO(small, { features: 24, head: { out: 6, hidden: 8, bottleneck: 4 } }).eval();
    const sides = [8, 8, 6, 4, 6];
    const views = sides.map((side) => randn([3, 2, side, side]));
    const all = noGrad(() => model.student.answers(views));
    for (const [v, view] of views.entries())
      near(all[v]!.dataSync(), model.forward(view).dataSync(), `view ${v}`, 1e-5);
  });

  test("a batch is learned by heart, and answers differ from picture to picture", () => {
    manualSeed(4);
    const model = flat({ head: { out: 16, hidden: 32, bottleneck: 4 }, momentum: 0.9 });
    const x = randn([16, 1, 4, 4]);
    const views = [x, x.add(randn([16, 1, 4, 4]).mul(0.1))];
    const optimizer = new optim.AdamW(
      model.parameters().filter((p) => p.requiresGrad),
      { lr: 3e-3 },
    );
    const losses = Array.from({ length: 200 }, () => {
      optimizer.zeroGrad();
      const loss = model.loss(views);
      loss.backward();
      optimizer.step();
      model.update();
      return loss.itemSync();
    });
    expect(losses[0]!).toBeGreaterThan(0.4);
    expect(losses.at(-1)!).toBeLessThan(0.1);
    const answers = model.teacher.answers([x])[0]!.sub(model.center).argmax(1).dataSync();
    expect(new Set(answers).size).toBeGreaterThanOrEqual(3);
  });

  test("what is wrong", () => {
    const model = flat();
    const [a, b] = pairs(3) as [Tensor, Tensor];
    expect(() => model.loss([a])).toThrow("DINO: expected two views or more, got 1");
    expect(() => model.loss([a, randn([3, 1, 2, 2])])).toThrow("DINO: expected views of 3 pictures each");
    expect(() => model.loss([a, b, randn([2, 1, 4, 4])])).toThrow("got [3,1,4,4] [3,1,4,4] [2,1,4,4]");
    expect(() => flat({ freezeLastLayer: -1 })).toThrow("DINO: expected freezeLastLayer from 0 to 1, got -1");
    expect(() => flat({ momentum: 1.5 })).toThrow("DINO: expected momentum from 0 to 1, got 1.5");
    expect(() => flat({ teacherTemperature: [0.04, 0] })).toThrow("DINO: expected temperatures above 0");
    expect(() => new models.DINOHead(4, { layers: 0 })).toThrow("layers");
    const t = randn([2, 3]);
    expect(() => models.dinoLoss([t], [t])).toThrow("dinoLoss: expected two views of the student or more");
    expect(() => models.dinoLoss([t, randn([2, 4])], [t])).toThrow("dinoLoss: expected answers [n,out] of one shape");
    expect(() => models.dinoLoss([t, t], [t], { teacherTemperature: 0 })).toThrow("teacherTemperature above 0");
    expect(() => models.dinoLoss([t, t], [t], { studentTemperature: 0 })).toThrow("studentTemperature above 0");
  });
});

describe("encoders", () => {
  test("a classifier without its scores: maps averaged, tokens as they are", () => {
    manualSeed(5);
    const x = randn([2, 3, 16, 16]);
    const resnet = new models.CifarResNet({ depth: 8, width: 4 }).eval();
    const features = new models.Encoder(resnet).forward(x);
    expect(features.shape).toEqual([2, 16]);
    near(resnet.linear.forward(features).dataSync(), resnet.forward(x).dataSync(), "scores", 1e-6);
    const vit = new models.VisionTransformer({ imageSize: 16, patch: 8, dim: 12, depth: 1, heads: 2, classes: 3 });
    expect(new models.Encoder(vit).forward(x).dataSync()).toEqual(vit.features(x).dataSync());
  });

  test.each([0, 1])("VisionTransformer on another size as PyTorch has it, case %d", (i) => {
    const { pool, size, scores, dpositions } = golden.vit[i];
    const options = { classes: 10, inChannels: 3, imageSize: 24, patch: 8, dim: 48, depth: 2, heads: 3, pool };
    const model = fill(new models.VisionTransformer({ ...options, dynamicImageSize: true }).to("float64"));
    const y = model.forward(pictures("input", 2, 3, ...size));
    near(y.dataSync(), scores, "scores");
    const gradient = tensor(
      Float64Array.from(scores, (_, k) => Math.sin(k + 1)),
      [2, 10],
    );
    y.backward({ gradient });
    near(model.posEmbed.grad!.dataSync(), dpositions, "the gradient of pos_embed");
    expect(() => model.forward(zeros([1, 3, 20, 24], f64))).toThrow(
      "PatchEmbed: expected pictures [n,3,h,w] with sides that 8 divides, got [1,3,20,24]",
    );
    expect(() => new models.VisionTransformer(options).forward(zeros([1, 3, 16, 24]))).toThrow(
      "expected pictures [n,3,24,24], got [1,3,16,24]",
    );
  });
});
