/**
 * Attention at shapes from real models: `npm run bench -- attention`. gflop counts the products of pairs that see each
 * other, two forward and five backward (the scores made again); whoever stores the scores needs one less.
 */
import type { Case } from "./cases.js";

type Shape = [n: number, heads: number, t: number, s: number, d: number, causal?: boolean];

/** `op`: attention, or attention+backward, which makes the gradients of q, k and v too. */
const attend = (op: string, [n, heads, t, s, d, causal = false]: Shape): Case => {
  const pairs = n * heads * (causal ? (t * (t + 1)) / 2 : t * s);
  const passes = op.endsWith("+backward") ? 4 : 1;
  return {
    name: `${op} ${n}x${heads}x${t}x${d}${s === t ? "" : ` to ${s}`}${causal ? " causal" : ""}`,
    op,
    params: { n, heads, t, s, d, causal },
    gflop: ((passes === 4 ? 7 : 2) * 2 * pairs * d) / 1e9,
    gbyte: (passes * 4 * n * heads * d * 2 * (t + s)) / 1e9,
    suite: "attention",
  };
};
const both = (...shape: Shape): Case[] => ["attention", "attention+backward"].map((op) => attend(op, shape));

export const attention: Case[] = [
  ...both(8, 4, 256, 256, 64),
  ...both(8, 4, 1024, 1024, 64),
  ...both(8, 4, 1024, 1024, 64, true),
  ...both(64, 3, 65, 65, 64), // ViT-Tiny on 32 x 32 pictures
  ...both(16, 12, 197, 197, 64), // ViT-B/16
  ...both(2, 8, 1024, 77, 40), // Stable Diffusion's cross attention
  ...both(2, 8, 512, 512, 128, true),
  attend("attention+backward", [1, 1, 8192, 8192, 64, true]),
];
