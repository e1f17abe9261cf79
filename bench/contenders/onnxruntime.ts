/**
 * Contender: onnxruntime, which folds batch normalisations and fuses what follows a convolution by itself. The network is
 * written by PyTorch's exporter from bench/rivals/resnet18.py.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { python, rivals } from "../contender.js";
import { pictures } from "./resnet18.js";
import { serve } from "./serve.js";

interface OrtTensor {
  data: Float32Array;
}
/** What of its interface is used here. */
interface OnnxRuntime {
  InferenceSession: {
    create(
      file: string,
      options: { intraOpNumThreads: number; interOpNumThreads: number; graphOptimizationLevel: "all" },
    ): Promise<{ run(feeds: { x: OrtTensor }): Promise<{ y: OrtTensor }> }>;
  };
  Tensor: new (dtype: "float32", data: Float32Array, shape: number[]) => OrtTensor;
}
const ort = createRequire(`${rivals}package.json`)("onnxruntime-node") as OnnxRuntime;

function exportModel(): { file: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "napier-bench-"));
  const file = join(folder, "resnet18.onnx");
  const remove = () => rmSync(folder, { recursive: true });
  const { status, stderr } = spawnSync(python, [`${rivals}resnet18.py`, file]);
  if (status === 0) return { file, remove };
  remove();
  throw new Error(`the export of ResNet-18 needs PyTorch (apt-get install python3-torch): ${stderr}`);
}

await serve(async ({ op, params }) => {
  if (op !== "inference") return null;
  const n = Number(params.n);
  const { file, remove } = exportModel();
  const threads = { intraOpNumThreads: Number(process.argv[2]), interOpNumThreads: 1 };
  const session = await ort.InferenceSession.create(file, { ...threads, graphOptimizationLevel: "all" });
  remove();
  const x = new ort.Tensor("float32", pictures(n), [n, 3, 224, 224]);
  const run = async () => (await session.run({ x })).y.data;
  return { run: async () => void (await run()), result: run };
});
