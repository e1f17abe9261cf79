/** @file GanTrainer on napier's own networks: DCGAN on four drawn pictures, with labels, with spectral normalisation. */
import { data, manualSeed, models, nn, noGrad, randn, type Tensor, tensor, train } from "napier";
import { describe, expect, test } from "vitest";

const weights = (m: nn.Module) =>
  Object.entries(m.stateDict()).map(([key, t]) => [key, Array.from(t.dataSync(), Number)]);
const imageSize = 16;
/** Four pictures in [-1, 1]: a square, a bar, a cross, a frame; labels 0, 1, 0, 1. */
const inside: ((x: number, y: number) => boolean)[] = [
  (x, y) => Math.max(Math.abs(x - 7), Math.abs(y - 7)) < 4,
  (x) => x > 5 && x < 10,
  (x, y) => Math.abs(x - y) < 2 || Math.abs(x + y - 15) < 2,
  (x, y) => Math.min(x, y, 15 - x, 15 - y) < 3,
];
const pictures = () => {
  const pixels = inside.flatMap((f) =>
    Array.from({ length: imageSize ** 2 }, (_, i) => (f(i % imageSize, Math.floor(i / imageSize)) ? 1 : -1)),
  );
  return tensor(Float32Array.from(pixels), [4, 1, imageSize, imageSize]);
};
const labels = () => tensor(Int32Array.from([0, 1, 0, 1]));
const loader = (...fields: Tensor[]) =>
  new data.DataLoader(new data.TensorDataset(fields), { batchSize: 4, shuffle: true, seed: 1 });

describe("DCGAN learns four drawn pictures", () => {
  test.each(["nonsaturating", "minimax"] as const)(
    "%s: losses are finite, samples come near the pictures",
    async (loss) => {
      manualSeed(1);
      const options = { imageSize, noiseDim: 4, classes: 2 };
      const [generator, discriminator] = [new models.DcganGenerator(options), new models.DcganDiscriminator(options)];
      const trainer = new train.GanTrainer(generator, discriminator, { loss });
      const x = pictures();
      /** Mean over samples of the mean distance of a pixel to the nearest picture of the sample's class. */
      const distance = async () => {
        const samples = await trainer.sample(16, { seed: 2 }); // labels 0, 1, 0, ...
        const to = samples
          .reshape([16, 1, 256])
          .sub(x.reshape([1, 4, 256]))
          .abs()
          .mean(2)
          .dataSync();
        let sum = 0;
        for (let i = 0; i < 16; i++) sum += Math.min(to[4 * i + (i % 2)]!, to[4 * i + (i % 2) + 2]!);
        return sum / 16;
      };
      const before = await distance();
      const judged: number[] = [];
      const losses: number[] = [];
      for await (const event of trainer.fit(loader(x, labels()), { steps: 60, logEvery: 10 })) {
        losses.push(event.discriminatorLoss, event.generatorLoss);
        const [real, fake] = [x, await trainer.sample(4, { seed: event.step })].map((p) =>
          noGrad(() => discriminator.forward(p, labels()).mean()).itemSync(),
        );
        judged.push(real! - fake!);
      }
      expect(losses).toHaveLength(12);
      expect(losses.every(Number.isFinite)).toBe(true);
      expect(Math.max(...judged)).toBeGreaterThan(1); // tells them apart at first
      expect(await distance()).toBeLessThan(0.7 * before);
      const noise = train.sampleNoise(4, 4);
      const zeros = await trainer.sample(4, { noise, labels: [0, 0, 0, 0] });
      const ones = await trainer.sample(4, { noise, labels: [1, 1, 1, 1] });
      expect(zeros!.sub(ones!).abs().mean().itemSync()).toBeGreaterThan(0.01); // labels count
    },
  );
});

describe("spectral normalisation", () => {
  test("each layer with weights is normalised, none without the option; scores and features follow", () => {
    manualSeed(3);
    const make = (spectralNorm: boolean) => [
      new models.GanDiscriminator({ imageSize: 8, spectralNorm }),
      new models.DcganDiscriminator({ imageSize, spectralNorm, classes: 2 }),
    ];
    for (const m of make(false)) expect(Object.keys(m.stateDict()).join(" ")).not.toContain("_orig");
    for (const m of make(true)) {
      const keys = Object.keys(m.stateDict());
      const layers = [...m.net].filter((l) => l instanceof nn.Linear || l instanceof nn.Conv2d);
      expect(keys.filter((key) => key.endsWith("weight_orig"))).toHaveLength(layers.length);
      const side = m.options.imageSize;
      const x = randn([3, 1, side, side]);
      const told = m.options.classes ? tensor(Int32Array.from([0, 1, 1])) : null;
      for (let i = 0; i < 60; i++) noGrad(() => m.forward(x, told)); // power iterations come to rest
      m.eval();
      for (const layer of layers) {
        const w = layer.weight.reshape([layer.weight.shape[0]!, -1]);
        const largest = noGrad(() => {
          let v = randn([w.shape[1]!, 1]);
          for (let i = 0; i < 60; i++) {
            v = w.transpose(0, 1).matmul(w.matmul(v));
            v = v.div(v.square().sum().sqrt());
          }
          return w.matmul(v).square().sum().sqrt();
        });
        expect(largest.itemSync()).toBeCloseTo(1, 1);
      }
      const features = m.features(x, told);
      expect([...m.net.at(-1).forward(features).dataSync()]).toEqual([...m.forward(x, told).dataSync()]);
    }
  });

  test("with the hinge loss: learns, eager and captured with the same bits", async () => {
    const run = async (capture: boolean) => {
      manualSeed(4);
      const options = { imageSize, noiseDim: 4 };
      const [generator, discriminator] = [
        new models.GanGenerator(options),
        new models.DcganDiscriminator({ ...options, spectralNorm: true }),
      ];
      const trainer = new train.GanTrainer(generator, discriminator, { loss: "hinge", capture });
      const losses: number[] = [];
      for await (const e of trainer.fit(loader(pictures()), { steps: 12, logEvery: 4 }))
        losses.push(e.discriminatorLoss, e.generatorLoss);
      return { losses, state: [weights(generator), weights(discriminator)] };
    };
    const eager = await run(false);
    expect(eager.losses).toHaveLength(6);
    expect(eager.losses[4]).toBeLessThan(eager.losses[0]!);
    expect(await run(true)).toEqual(eager);
  });
});
