/** The contender OpenBLAS: Debian's pthread build, on as many threads as ours (bench/rivals/openblas_cases.py). */
import { spawnSync } from "node:child_process";
import { addon } from "#lib/native.js";
import type { Case } from "./cases.js";
import { type Contender, contender, python, rivals } from "./contender.js";

const script = `${rivals}openblas_cases.py`;
let version: string | null | undefined;

export const openblas = {
  name: "openblas",
  takes: ({ op }: Case): boolean => op === "matmul",
  /** null where it is not installed. */
  version(): string | null {
    if (version === undefined) {
      const { status, stdout } = spawnSync(python, [script, "--version"]);
      version = status === 0 ? String(stdout).trim() : null;
    }
    return version;
  },
  install: "apt-get install libopenblas-pthread-dev python3-numpy",
  start: (): Contender => contender("openblas", python, [script], { OPENBLAS_NUM_THREADS: String(addon.threads()) }),
};
