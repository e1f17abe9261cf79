/** The other contenders: which cases each takes, how it is started, and what to install where it is missing. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { addon } from "#lib/native.js";
import type { Case } from "./cases.js";
import { type Contender, contender, node, ours, python, rivals } from "./contender.js";
import { openblas } from "./openblas.js";

/** A row of the table. */
export interface Peer {
  /** Its first word is the product. */
  name: string;
  takes(c: Case): boolean;
  /** null where it is not installed. */
  version(): string | null;
  /** How it is installed. */
  install: string;
  start(): Contender;
}

const threads = String(addon.threads());

const found = new Map<string, string | null>();
const pythonVersion = (module: string) => (): string | null => {
  if (!found.has(module)) {
    const { status, stdout } = spawnSync(python, ["-c", `import ${module}; print(${module}.__version__)`]);
    found.set(module, status === 0 ? String(stdout).trim() : null);
  }
  return found.get(module)!;
};
const packageVersion = (name: string) => (): string | null => {
  const file = `${rivals}node_modules/${name}/package.json`;
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : null;
};
const always = { version: () => "", install: "" };

const jemalloc = ["x86_64", "aarch64"].map((cpu) => `/usr/lib/${cpu}-linux-gnu/libjemalloc.so.2`).find(existsSync);
/** PyTorch's better setting as a rule: jemalloc that keeps its pages, pinned threads. */
const tuned = {
  ...(jemalloc && { LD_PRELOAD: jemalloc }),
  MALLOC_CONF: "dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0",
  OMP_PROC_BIND: "true",
  OMP_PLACES: "cores",
};
const pytorch = (name: string, env: NodeJS.ProcessEnv): Peer => ({
  name,
  takes: ({ op }) => !["distances", "neighbours"].includes(op),
  version: pythonVersion("torch"),
  install: "apt-get install python3-torch libjemalloc2",
  start: () => contender(name, python, [`${rivals}torch_cases.py`, threads], { OMP_NUM_THREADS: threads, ...env }),
});

/** scikit-learn converts float32 piece by piece to float64; both are asked, the faster counts. */
const scikit = (dtype: string): Peer => ({
  name: `scikit-learn ${dtype}`,
  takes: ({ op, params }) => op === "neighbours" || (op === "distances" && params.loops === 0),
  version: pythonVersion("sklearn"),
  install: "apt-get install python3-sklearn",
  start: () => {
    const env = { OPENBLAS_NUM_THREADS: threads, OMP_NUM_THREADS: threads };
    return contender(`scikit-learn ${dtype}`, python, [`${rivals}sklearn_knn.py`, dtype], env);
  },
});

const NPM = "npm install --prefix bench/rivals --ignore-scripts";

/** By the name that --peers takes. */
export const PEERS: Record<string, Peer> = {
  eager: {
    name: "napier eager",
    takes: ({ op }) => ["step", "inference", "zoo", "sampling"].includes(op),
    ...always,
    start: () => ours("napier eager", { NAPIER_BENCH: "eager" }),
  },
  naive: { name: "naive", takes: (c) => c.naive === true, ...always, start: () => node("naive", "naive.js") },
  pytorch: pytorch("pytorch", {}),
  tuned: pytorch("pytorch tuned", tuned),
  openblas,
  sklearn32: scikit("float32"),
  sklearn64: scikit("float64"),
  tfjs: {
    name: "tensorflow.js wasm",
    // It has no gradient of a convolution.
    takes: ({ op, name }) => op === "inference" || (op === "step" && name === "two_layer"),
    version: packageVersion("@tensorflow/tfjs"),
    install: NPM,
    start: () => node("tensorflow.js wasm", "tfjs.js", [threads]),
  },
  onnxruntime: {
    name: "onnxruntime",
    takes: ({ op }) => op === "inference",
    version: packageVersion("onnxruntime-node"),
    install: NPM,
    start: () => node("onnxruntime", "onnxruntime.js", [threads]),
  },
};
