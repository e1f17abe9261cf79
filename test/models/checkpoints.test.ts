/** @file Every family in a file and back: what it was changed to, its running statistics too, answers bit for bit. */
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { io, manualSeed, models, nn, noGrad, randn, type Tensor } from "napier";
import { afterAll, beforeAll, expect, test } from "vitest";
import { answers, SMALLEST } from "./smallest.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "napier-checkpoints-"));
});
afterAll(() => rm(folder, { recursive: true }));

const bits = (tensors: readonly Tensor[]) =>
  tensors.map((t) => `${t.dtype} [${t.shape}] ${createHash("md5").update(t.dataSync()).digest("hex")}`);

test.each(Object.entries(SMALLEST))("%s restores", async (_, { make, inputs }) => {
  manualSeed(1);
  const model = make();
  const x = inputs();
  noGrad(() => {
    answers(model, x); // in training: running statistics move
    for (const p of model.parameters()) p.add_(randn(p.shape).mul(0.1));
  });
  const path = join(folder, "model.safetensors");
  await io.save(path, model.stateDict());
  manualSeed(2);
  const other = make();
  const scores = (m: nn.Module) => noGrad(() => bits(answers(m.eval(), x)));
  const want = scores(model);
  expect(scores(other)).not.toEqual(want);
  expect(other.loadStateDict(await io.load(path))).toEqual({ missing: [], unexpected: [], mismatched: [] });
  expect(scores(other)).toEqual(want);
  const [a, b] = [model.stateDict(), other.stateDict()];
  expect(Object.keys(b)).toEqual(Object.keys(a));
  expect(bits(Object.values(b))).toEqual(bits(Object.values(a)));
});

test("no class of models is missing", () => {
  const classes = Object.values(models).filter(
    (v): v is typeof models.Captioner => typeof v === "function" && v.prototype instanceof nn.Module,
  );
  const made = new Set<unknown>(
    Object.values(SMALLEST).flatMap(({ make }) =>
      make()
        .modules()
        .map((m) => m.constructor),
    ),
  );
  const missing = classes.filter((c) => !made.has(c)).map((c) => c.name);
  expect(missing).toEqual(["Captioner"]); // what the captioners share
});
