/** @file Worker threads of a loader: the same batches for any number, errors with the sample, clean ends, no addon. */
import { spawnSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { data, type Tensor } from "napier";
import { describe, expect, test } from "vitest";

const squares = new URL("./modules/squares.mjs", import.meta.url);
const make = (options: data.DataLoaderOptions = {}) =>
  new data.DataLoader(squares, { batchSize: 3, shuffle: true, seed: 7, ...options });
const rows = (batch: Tensor[]) => batch.map((t) => t.toArraySync());

async function epoch(loader: data.DataLoader, most = 99): Promise<unknown[]> {
  const batches: unknown[] = [];
  for await (const batch of loader) {
    batches.push(rows(batch));
    if (batches.length === most) break;
  }
  return batches;
}

describe("batches", () => {
  test("are the same for any number of workers, in any epoch, and have the dtypes of their arrays", async () => {
    const [one, three] = [make({ workers: 1 }), make({ workers: 3, persistentWorkers: true })];
    const first = await epoch(one);
    expect(first).toHaveLength(7);
    expect(await epoch(three)).toEqual(first);
    expect(await epoch(three)).toEqual(await epoch(one));
    await three.close();
    for await (const [x, y, z, w] of make({ shuffle: false })) {
      expect([x!.dtype, y!.dtype, z!.dtype, w!.dtype]).toEqual(["float32", "int32", "uint8", "float32"]);
      expect([x!.shape, y!.shape, z!.shape, w!.shape]).toEqual([[3, 2], [3], [3, 1, 2], [3, 1, 2]]);
      expect(y!.toArraySync()).toEqual([0, 1, 2]);
      expect(x!.toArraySync()).toEqual([
        [0, 0],
        [1, 1],
        [2, 4],
      ]);
      break;
    }
  });
  test("go on where a saved state was taken", async () => {
    const whole = await epoch(make());
    const loader = make({ workers: 2 });
    await epoch(loader, 2);
    const resumed = make({ workers: 2 });
    resumed.loadStateDict(loader.stateDict());
    expect(await epoch(resumed)).toEqual(whole.slice(2));
    const other = make({ workerOptions: { length: 5 } });
    other.loadStateDict(loader.stateDict());
    await expect(epoch(other)).rejects.toThrow("expected a state of 5 examples in batches of 3, got 20");
  });
  test("length is known once the workers are ready", async () => {
    const loader = make({ workerOptions: { length: 10 } });
    expect(() => loader.length).toThrow("await loader.ready() first");
    await loader.ready();
    expect(loader.length).toBe(4);
    await loader.close();
  });
  test("workers do not load the addon", async () => {
    const loader = make({ workers: 2, workerOptions: { reportAddons: true } });
    expect((await epoch(loader)).flat(2)).toEqual(Array(20).fill(0));
  });
});

describe("errors", () => {
  test("name the sample, where its batch would come", async () => {
    const loader = make({ shuffle: false, workers: 2, workerOptions: { fail: 7 } });
    const seen: unknown[] = [];
    const run = async () => {
      for await (const batch of loader) seen.push(batch[1]!.toArraySync());
    };
    await expect(run()).rejects.toThrow(/^DataLoader: sample 7 \(worker [01]\): no square of 7$/);
    expect(seen).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
  });
  test("of a module that cannot be opened, or is none", async () => {
    await expect(epoch(make({ workerOptions: { length: -1 } }))).rejects.toThrow("worker 0: no squares below 0");
    const at = (name: string) => new data.DataLoader(new URL(`./modules/${name}`, import.meta.url));
    await expect(epoch(at("wrong.mjs"))).rejects.toThrow(
      "to be { length, get(index, pass) } or a function that makes it",
    );
    await expect(epoch(at("missing.mjs"))).rejects.toThrow(/worker 0: Cannot find module/);
    expect(() => new data.DataLoader(squares, { workers: 0 })).toThrow("workers to be a whole number from 1 up");
  });
  test("a worker that ends takes its batches with it, and says so", async () => {
    const loader = make({ shuffle: false, workerOptions: { exit: 4 } });
    await expect(epoch(loader)).rejects.toThrow("DataLoader: worker 0 ended with code 3 before its batches were made");
  });
});

test("an early end ends the workers, and the process ends with an abandoned loader", () => {
  const script = `
    import { data } from ${JSON.stringify(pathToFileURL("dist/index.js").href)};
    const loader = new data.DataLoader(new URL(${JSON.stringify(squares.href)}), { workers: 2, batchSize: 2, persistentWorkers: true });
    for await (const [x] of loader) { console.log(x.shape.join()); break; }
    const other = new data.DataLoader(new URL(${JSON.stringify(squares.href)}), { batchSize: 2 });
    for await (const [x] of other) break;
    const open = new data.DataLoader(new URL(${JSON.stringify(squares.href)}));
    await open.ready();
  `;
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    timeout: 20_000,
  });
  expect([stdout, stderr, status]).toEqual(["2,2\n", "", 0]);
});
