import { defineConfig, mergeConfig } from "vitest/config";
import short from "./vitest.config.js";

// What takes minutes: kills, memory over many steps, long fuzzing. One file at a time, since they measure.
const { exclude: _, ...test } = short.test!;
export default mergeConfig(
  defineConfig({ ...short, test: { ...test, include: [] } }),
  defineConfig({ test: { include: ["test/long/**/*.test.ts"], testTimeout: 30 * 60_000, maxWorkers: 1, fileParallelism: false } }),
);
