/**
 * Ops that the memory's bandwidth limits, at shapes from real models: `npm run bench -- memory`. gbyte is what a run has
 * to move at least, each tensor read or written once in forward and once in backward, whatever the implementation does.
 */
import type { Case } from "./cases.js";

/** `floats`: elements that have to be moved, in 4 bytes each. */
const row = (op: string, shape: string, floats: number, params: Case["params"]): Case => ({
  name: `${op} ${shape}`,
  op,
  params,
  gflop: 0,
  gbyte: (4 * floats) / 1e9,
  suite: "memory",
});
const picture = (op: string, passes: number, n = 32, c = 64, h = 56, more: Case["params"] = {}): Case =>
  row(op, `${n}x${c}x${h}x${h}`, passes * n * c * h * h, { n, c, h, ...more });
const matrix = (op: string, passes: number, rows: number, cols: number): Case =>
  row(op, `${rows}x${cols}`, passes * rows * cols, { rows, cols });
const flat = (op: string, passes: number, million: number): Case =>
  row(op, `${million}M`, passes * million * 1e6, { n: million * 1e6 });

/** Numbers of elements of ResNet-18's parameters, in order: 62 tensors, 11.7 million. */
export const RESNET18 = [
  [64 * 3 * 49, 64, 64],
  ...[64, 128, 256, 512].flatMap((o, stage) => {
    const c = stage === 0 ? 64 : o / 2;
    const layer = (from: number, taps = 9) => [o * from * taps, o, o];
    return [layer(c), layer(o), ...(stage === 0 ? [] : [layer(c, 1)]), layer(o), layer(o)];
  }),
  [512 * 1000, 1000],
].flat();
const parameters = RESNET18.reduce((a, b) => a + b, 0);

export const memory: Case[] = [
  picture("batchnorm+relu+backward", 5),
  picture("batchnorm+add+relu+backward", 7),
  { ...picture("batchnorm+backward", 5), naive: true },
  row("adam", "resnet18", 7 * parameters, {}),
  row("adamw", "resnet18", 7 * parameters, {}),
  row("sgd momentum", "resnet18", 5 * parameters, {}),
  flat("chain of six", 2, 16),
  flat("chain of six+backward", 5, 16),
  matrix("layernorm+backward", 5, 8192, 768),
  matrix("softmax+backward", 5, 65536, 64),
  matrix("softmax+backward", 5, 8192, 1024),
  matrix("crossEntropy+backward", 3, 4096, 1000),
  matrix("crossEntropy+backward", 3, 1024, 32000),
  picture("groupnorm+backward", 5, 16, 256, 32, { groups: 32 }),
  picture("maxpool3s2+backward", 3, 32, 64, 112),
  picture("maxpool2+backward", 2.75, 32, 64, 56),
  picture("avgpool2+backward", 2.5, 32, 64, 56),
  picture("globalpool+backward", 2, 32, 512, 14),
  flat("add", 3, 64),
  flat("relu", 2, 64),
  flat("exp", 2, 64),
  flat("tanh", 2, 64),
  flat("sigmoid", 2, 64),
  flat("gelu", 2, 64),
  flat("sgd", 3, 64),
  picture("add", 3),
  picture("relu+backward", 5),
  picture("gelu+backward", 5),
  picture("silu+backward", 5),
  picture("dropout+backward", 4),
  matrix("transpose", 2, 4096, 4096),
  matrix("bias", 2, 8192, 3072),
  matrix("sum all", 1, 4096, 4096),
  matrix("sum rows", 1, 4096, 4096),
  matrix("sum columns", 1, 4096, 4096),
  matrix("amax columns", 1, 4096, 4096),
  matrix("amax rows", 1, 65536, 64),
  matrix("argmax rows", 1, 65536, 64),
  matrix("argmax columns", 1, 4096, 4096),
  matrix("cumsum rows", 2, 4096, 4096),
  matrix("cumsum columns", 2, 4096, 4096),
  matrix("logSoftmax+backward", 5, 65536, 10),
  picture("softmax of channels+backward", 5, 8, 21, 128),
  matrix("crossEntropy+backward", 3, 65536, 10),
  matrix("layernorm+backward", 5, 65536, 64),
  matrix("rmsnorm+backward", 5, 8192, 768),
  picture("maxpool2+backward", 2.75, 128, 64, 16),
  picture("avgpool3s1+backward", 4, 32, 64, 28),
];
