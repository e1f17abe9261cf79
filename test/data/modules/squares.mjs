// A worker's data set for test/data/workers.test.ts; its options choose what goes wrong.
import { createRequire } from "node:module";

const addons = () => Object.keys(createRequire(import.meta.url).cache).filter((path) => path.endsWith(".node"));

export default async function squares({ length = 20, fail = -1, exit = -1, reportAddons = false } = {}) {
  if (length < 0) throw new Error("no squares below 0");
  return {
    length,
    async get(index, { seed, epoch }) {
      if (index === fail) throw new Error(`no square of ${index}`);
      if (index === exit) process.exit(3);
      if (index % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 3)); // some come late
      if (reportAddons) return [addons().length];
      return [Float32Array.of(index, index ** 2), index, { data: Uint8Array.of(seed & 255, epoch), shape: [1, 2] }, [[index, 0.5]]];
    },
  };
}
