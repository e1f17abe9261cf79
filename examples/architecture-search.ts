/**
 * Architecture search on pictures of 16x16: random search, regularised evolution and DARTS look for a cell within the
 * same number of gradient steps, each seed by itself; every cell that was found is then trained by one recipe and tested on
 * pictures that no search saw. Some seven minutes a seed on two cores.
 *
 *     npm run example -- architecture-search [--data DIR] [--seed 1 | 2 | 3]
 *
 * Fashion-MNIST from the directory, drawn digits where none is given. What each search of a seed found is kept in
 * runs/architecture-search and not made again; when all of the three seeds are there, they are gathered.
 */
import { mkdir, readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { data, io, manualSeed, nas, noGrad, scope, type Tensor } from "napier";
import { percent, printTable, saveResult } from "./shared/pictures.js";

const SEEDS = [1, 2, 3];
const { values } = parseArgs({ options: { data: { type: "string" }, seed: { type: "string" } } });
const real = values.data !== undefined;
const dataset = real ? "fashion-mnist" : "glyphs";
const settings = {
  channels: real ? 6 : 2,
  stages: 3,
  /** Gradients of a batch of 64 that a search may take. */
  budget: real ? 8000 : 48,
  batchSize: 64,
  stepsPerTrial: real ? 100 : 8,
  population: real ? 12 : 3,
  sample: real ? 8 : 2,
  /**
   * Alphas see larger batches, which count as so many. Stopped early, before skips win (Zela et al. 2019): with 4,000 steps
   * two seeds of three ended with skips and means.
   */
  darts: { steps: real ? 1000 : 12, lr: 0.1, alphaLr: real ? 0.02 : 0.1 },
  alphaBatches: real ? 4 : 1,
  final: { steps: real ? 800 : 60, batchSize: real ? 128 : 64, trainings: real ? 3 : 1 },
};

/** Pictures [n,1,16,16] about 0, and labels [n]. */
function small({ tensors: [x, y] }: data.TensorDataset): [x: Tensor, y: Tensor] {
  const floats = () => x!.to("float32").interpolate({ size: 16, mode: "bilinear", antialias: true });
  return [scope(() => noGrad(() => floats().sub(73).div(90))), y!];
}
const bytes = { normalize: false };
const sets = values.data
  ? await data.fashionMnist(values.data, bytes)
  : await data.glyphs({ train: 2000, test: 500, ...bytes });
const [x, y] = small(sets.train);
const half = x.shape[0]! / 2;
const part = (low: number, high: number) => new data.TensorDataset([x.slice([low, high]), y.slice([low, high])]);
/** What weights learn from in a search; what its cells or alphas are judged by; what found cells learn from; the test. */
const [forWeights, forChoice, all, test] = [
  part(0, half),
  part(half, 2 * half),
  part(0, 2 * half),
  new data.TensorDataset(small(sets.test)),
];
const validation = part(half, half + (real ? 2000 : 200));
const shuffled = (set: data.TensorDataset, seed: number, batchSize = settings.batchSize) =>
  new data.DataLoader(set, { batchSize, shuffle: true, dropLast: true, seed });
const network = { inChannels: 1, classes: 10, channels: settings.channels, stages: settings.stages };

/** Accuracy of a cell after a short training. The seed decides about weights and batches: cells compete on equal terms. */
async function worthOf(cell: nas.Genotype, steps: number, seed: number): Promise<number> {
  manualSeed(seed);
  const model = new nas.CellNetwork(cell, network);
  await nas.trainAlone(model, shuffled(forWeights, seed), { steps });
  return nas.accuracy(model, new data.DataLoader(validation, { batchSize: 500 }));
}

const tested = new Map<string, number>();
/** Mean accuracy on the test pictures behind the final trainings, which are the same for every cell. */
async function testAccuracy(cell: nas.Genotype): Promise<number> {
  const key = cell.join();
  const { steps, batchSize, trainings } = settings.final;
  if (!tested.has(key)) {
    let sum = 0;
    for (let i = 0; i < trainings; i++) {
      manualSeed(1000 + i);
      const model = new nas.CellNetwork(cell, network);
      await nas.trainAlone(model, shuffled(all, 1000 + i, batchSize), { steps });
      sum += await nas.accuracy(model, new data.DataLoader(test, { batchSize: 500 }));
    }
    tested.set(key, sum / trainings);
  }
  return tested.get(key)!;
}

const METHODS = ["random", "evolution", "darts"] as const;
type Method = (typeof METHODS)[number];
interface Found {
  cell: nas.Genotype;
  /** Gradients of a batch of 64. */
  steps: number;
  /** Without the trainings of what was found. */
  searchSeconds: number;
  testAccuracy?: number;
}
interface SeedResult {
  seed: number;
  settings: object;
  found: Partial<Record<Method, Found>>;
}

async function search(method: Method, seed: number): Promise<{ cell: nas.Genotype; steps: number }> {
  const { budget, stepsPerTrial, population, sample, batchSize, darts, alphaBatches } = settings;
  if (method === "darts") {
    manualSeed(seed);
    const model = new nas.SuperNetwork(network);
    const [train, validation] = [shuffled(forWeights, seed), shuffled(forChoice, seed, alphaBatches * batchSize)];
    const { genotype } = await nas.darts(model, train, validation, darts);
    return { cell: genotype, steps: (1 + alphaBatches) * darts.steps };
  }
  const worth: nas.Evaluate = (cell, _, steps) => worthOf(cell, steps, seed);
  const options = { steps: budget, stepsPerTrial, seed };
  const { best, steps } =
    method === "random"
      ? await nas.randomSearch(worth, options)
      : await nas.evolve(worth, { ...options, population, sample });
  return { cell: best.genotype, steps };
}

const folder = "runs/architecture-search";
await mkdir(folder, { recursive: true });
const fileOf = (seed: number) => `${folder}/${dataset}-${seed}.json`;
/** What is there of a seed with these settings. */
async function kept(seed: number): Promise<SeedResult> {
  const text = await readFile(fileOf(seed), "utf8").catch((error) => {
    if (error.code === "ENOENT") return "null";
    throw error;
  });
  const result: SeedResult | null = JSON.parse(text);
  const same = JSON.stringify(result?.settings) === JSON.stringify(settings);
  return same ? result! : { seed, settings, found: {} };
}

for (const seed of values.seed === undefined ? SEEDS : [Number(values.seed)]) {
  if (!SEEDS.includes(seed)) throw new RangeError(`--seed: expected one of ${SEEDS.join(", ")}, got ${values.seed}`);
  console.log(`seed ${seed}`);
  const result = await kept(seed);
  const keep = () => io.writeFileAtomic(fileOf(seed), new TextEncoder().encode(JSON.stringify(result)));
  for (const method of METHODS) {
    if (!result.found[method]) {
      const start = performance.now();
      const { cell, steps } = await search(method, seed);
      result.found[method] = { cell, steps, searchSeconds: (performance.now() - start) / 1e3 };
      await keep();
    }
    const found = result.found[method];
    found.testAccuracy ??= await testAccuracy(found.cell);
    await keep();
    console.log(
      `  ${method}: ${found.cell.join(" ")}, ${percent(found.testAccuracy)}, ${found.searchSeconds.toFixed(0)} s`,
    );
  }
}

const whole = (await Promise.all(SEEDS.map(kept))).flatMap(({ seed, found: { random, evolution, darts } }) =>
  random && evolution && darts?.testAccuracy ? [{ seed, random, evolution, darts }] : [],
);
if (whole.length === SEEDS.length) {
  const mean = (method: Method) => whole.reduce((sum, r) => sum + r[method].testAccuracy!, 0) / whole.length;
  const row = (method: Method) => [
    method,
    ...whole.map((r) => percent(r[method].testAccuracy!)),
    percent(mean(method)),
  ];
  printTable(["test accuracy", ...SEEDS.map((seed) => `seed ${seed}`), "mean"], METHODS.map(row));
  await saveResult("architecture-search", dataset, {
    settings,
    seed: SEEDS,
    parameters: null,
    trainingSeconds: null,
    meanTestAccuracy: Object.fromEntries(METHODS.map((method) => [method, mean(method)])),
    seeds: whole,
  });
}
