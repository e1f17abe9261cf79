import { defineConfig } from "vitest/config";

// Tests run against dist (what ships); Node loads it natively so that the addon exists once a process.
export default defineConfig({
  resolve: {
    alias: [
      { find: /^napier$/, replacement: new URL("./dist/index.js", import.meta.url).pathname },
      { find: /^napier\/classic$/, replacement: new URL("./dist/classic/index.js", import.meta.url).pathname },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/long/**"],
    globalSetup: ["test/record.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    server: { deps: { external: [/\/dist\//] } },
  },
});
