/**
 * What is measured: named shapes from real models, each with its arithmetic. A case is plain data, so that every contender
 * (this process, naive TypeScript, PyTorch) can build it; the naive kernels take part where they finish in seconds.
 */

export interface Case {
  name: string;
  /** What contenders switch on. */
  op: string;
  params: Record<string, number | boolean>;
  /** Floating-point operations of one run, in 10^9; 0 where memory is the limit. */
  gflop: number;
  /** Bytes read and written by one run, in 10^9. */
  gbyte: number;
  naive?: boolean;
  /** Takes so long that it runs once, without a warm-up. */
  once?: boolean;
  /** A figure from the literature to stand beside the measured ones. */
  published?: { by: string; ms: number };
  /** The file that the case stands in, where op names of two files meet. */
  suite?: "memory" | "attention" | "zoo";
  /** What one run works through, for a rate that means something to who trains. */
  items?: { count: number; of: "pictures" | "tokens" };
}

const gemm = (m: number, k: number, n: number, transA = false, transB = false, naive = false): Case => ({
  name: `matmul ${m}x${k}x${n}${transA ? " A^T" : ""}${transB ? " B^T" : ""}`,
  op: "matmul",
  params: { m, k, n, transA, transB },
  gflop: (2 * m * k * n) / 1e9,
  gbyte: (4 * (m * k + k * n + m * n)) / 1e9,
  naive,
});

type Picture = [n: number, c: number, h: number, o: number, r: number, stride?: number, pad?: number, groups?: number];

/** `op` is conv2d or convTranspose2d, alone or with what of it runs: " dx", " dw" (each apart), "+backward" (all three). */
const conv = (op: string, [n, c, h, o, r, stride = 1, pad = r >> 1, groups = 1]: Picture, naive = false): Case => {
  const transposed = op.startsWith("convTranspose2d");
  const p = transposed ? (h - 1) * stride - 2 * pad + r : Math.floor((h + 2 * pad - r) / stride) + 1;
  const passes = op.endsWith("+backward") ? 3 : 1;
  return {
    name: `${op} ${n}x${c}x${h}x${h} ${o} ${r}x${r}${stride > 1 ? ` s${stride}` : ""}${groups > 1 ? ` groups ${groups}` : ""}`,
    op,
    params: { n, c, h, o, r, stride, pad, groups, p },
    gflop: (passes * 2 * n * o * (c / groups) * r * r * (transposed ? h * h : p * p)) / 1e9,
    gbyte: (passes * 4 * (n * c * h * h + n * o * p * p)) / 1e9,
    naive,
  };
};
/** Forward, input gradient and weight gradient. */
const apart = (op: string, ...picture: Picture): Case[] => ["", " dx", " dw"].map((part) => conv(op + part, picture));

/** Products of matrices and convolutions. */
export const ops: Case[] = [
  ...[64, 128, 256, 512, 1024, 2048].map((n) => gemm(n, n, n, false, false, n === 256)),
  gemm(64, 576, 3136),
  gemm(128, 1152, 784),
  gemm(512, 4608, 49),
  gemm(512, 4608, 1568),
  gemm(128, 3072, 100),
  gemm(3072, 128, 100, true),
  gemm(128, 100, 3072, false, true),
  gemm(4096, 192, 192, false, true),
  gemm(576, 100352, 64, true),
  // A matrix and a vector, either way; a linear layer on a few rows.
  gemm(4096, 4096, 1),
  gemm(4096, 4096, 1, true),
  ...[1, 2, 4, 8].map((rows) => gemm(rows, 768, 3072, false, true)),
  // The eight 3x3 of ResNets and U-Nets, a ResNet's stem, a bottleneck's 1x1, a small stem, a strided one.
  ...apart("conv2d", 32, 64, 56, 64, 3),
  ...apart("conv2d", 32, 128, 28, 128, 3),
  ...apart("conv2d", 32, 256, 14, 256, 3),
  ...apart("conv2d", 32, 512, 7, 512, 3),
  ...apart("conv2d", 64, 32, 32, 32, 3),
  ...apart("conv2d", 128, 32, 16, 64, 3),
  ...apart("conv2d", 64, 64, 16, 64, 3),
  ...apart("conv2d", 64, 128, 8, 128, 3),
  ...apart("conv2d", 8, 3, 224, 64, 7, 2),
  ...apart("conv2d", 32, 64, 56, 256, 1),
  ...apart("conv2d", 64, 3, 32, 32, 3),
  ...apart("conv2d", 32, 64, 56, 128, 3, 2),
  ...apart("conv2d", 32, 128, 28, 256, 3, 2),
  ...apart("conv2d", 32, 256, 56, 64, 1),
  // The first layers of a LeNet and of a DCGAN's discriminator.
  ...apart("conv2d", 64, 1, 28, 32, 5, 1, 0),
  ...apart("conv2d", 128, 1, 28, 64, 4, 2, 1),
  // Depthwise: MobileNets, EfficientNet, ConvNeXt.
  ...apart("conv2d", 32, 96, 56, 96, 3, 1, 1, 96),
  ...apart("conv2d", 32, 96, 56, 96, 3, 2, 1, 96),
  ...apart("conv2d", 32, 240, 28, 240, 5, 1, 2, 240),
  ...apart("conv2d", 16, 96, 56, 96, 7, 1, 3, 96),
  // A DCGAN's generator.
  ...apart("convTranspose2d", 128, 128, 7, 64, 4, 2, 1),
  ...apart("convTranspose2d", 128, 64, 14, 1, 4, 2, 1),
  conv("conv2d+backward", [32, 64, 56, 64, 3]),
  conv("conv2d", [8, 32, 32, 32, 3], true),
  conv("conv2d+backward", [8, 32, 32, 32, 3], true),
];

/** Whole training steps: the names and models of bench/rivals/torch_steps.py. */
export const steps: Case[] = [
  { name: "two_layer", op: "step", params: {}, gflop: 0.37, gbyte: 0 },
  { name: "small_convnet", op: "step", params: {}, gflop: 4.0, gbyte: 0 },
  { name: "resnet18_cifar", op: "step", params: {}, gflop: 107, gbyte: 0 },
  { name: "vit_tiny", op: "step", params: {}, gflop: 69, gbyte: 0 },
  { name: "dcgan_mnist", op: "step", params: {}, gflop: 31, gbyte: 0 },
  { name: "ddpm_unet", op: "step", params: {}, gflop: 34, gbyte: 0 },
];
