/** @file io.save and io.load: tensors through files and back. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { io, nn, scope, type Tensor, tensor, zeros } from "napier";
import { afterAll, expect, test } from "vitest";

const directory = mkdtempSync(join(tmpdir(), "napier-io-"));
afterAll(() => rmSync(directory, { recursive: true }));
const path = join(directory, "x.safetensors");

test.each(["float32", "float64", "int32", "int64", "uint8", "int8", "bool", "bfloat16", "float16"] as const)(
  "%s survives",
  async (dtype) => {
    const x = tensor([
      [0, 1, 2],
      [3, 4, 5],
    ]).to(dtype);
    await io.save(path, { x, empty: zeros([0, 3]), scalar: tensor(7) });
    const back = await io.load(path);
    expect(Object.keys(back).sort()).toEqual(["empty", "scalar", "x"]);
    expect([back.x!.dtype, back.x!.shape]).toEqual([dtype, [2, 3]]);
    expect(back.x!.toArraySync()).toEqual(x.toArraySync());
    expect([back.empty!.shape, back.scalar!.shape, back.scalar!.itemSync()]).toEqual([[0, 3], [], 7]);
  },
);

test("a model's state comes back into another model; metadata and header can be read alone", async () => {
  const [a, b] = [new nn.Linear(3, 2), new nn.Linear(3, 2)];
  await io.save(path, a.stateDict(), { metadata: { epoch: "5" } });
  b.loadStateDict(await io.load(path));
  expect(b.weight.toArraySync()).toEqual(a.weight.toArraySync());
  const { tensors, metadata } = await io.inspect(path);
  expect(tensors.map((t) => [t.name, t.dtype, t.shape])).toEqual([
    ["bias", "float32", [2]],
    ["weight", "float32", [2, 3]],
  ]);
  expect(metadata).toEqual({ epoch: "5" });
});

test("the values are those at the call", async () => {
  const x = tensor([1, 2]);
  const saving = io.save(path, { x });
  x.free();
  await saving;
  expect((await io.load(path)).x!.toArraySync()).toEqual([1, 2]);
});

test("what cannot be saved", async () => {
  await expect(io.save(path, { x: 3 as never })).rejects.toThrow(
    'io.save: expected tensors by name, got number for "x"',
  );
  const x = tensor([9]).to("int32");
  const bad = scope((): Tensor => tensor([[1, 2]]).crossEntropy(x));
  await expect(io.save(path, { bad })).rejects.toThrow("crossEntropy");
});

test("NumPy files", async () => {
  const npy = join(directory, "x.npy");
  await io.saveNpy(
    npy,
    tensor([
      [1, 2],
      [3, 4],
    ]),
  );
  expect((await io.loadNpy(npy)).toArraySync()).toEqual([
    [1, 2],
    [3, 4],
  ]);
});
