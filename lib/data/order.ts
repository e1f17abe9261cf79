/**
 * The order of examples: a permutation that depends on (seed, epoch) alone, made on the host so that starting an epoch
 * waits for no kernel. 60,000 examples take about 5 ms.
 */
import { philox4x32 } from "./philox.js";

/** Last word of the Philox counter: what the numbers are for. */
const ORDER = 0x6f72646e;
const SEED = 0x73656564;

const low = (x: number): number => x | 0;
const high = (x: number): number => Math.floor(x / 2 ** 32) | 0;

/** A seed for the loader's own draws: they share none with the ops, which use the same generator and the user's seed. */
export function deriveSeed(seed: number): number {
  const words = new Uint32Array(4);
  philox4x32(words, 0, 0, 0, SEED, low(seed), high(seed));
  return words[0]! * 2 ** 20 + (words[1]! >>> 12);
}

/** 0 to n - 1 in random order (Fisher & Yates; indices from 53 random bits each). */
export function permutation(n: number, seed: number, epoch: number): Int32Array {
  const order = inOrder(n);
  const words = new Uint32Array(4);
  for (let i = n - 1; i > 0; i--) {
    const half = i & 1;
    if (half === 1 || i === n - 1) philox4x32(words, i >>> 1, low(epoch), high(epoch), ORDER, low(seed), high(seed));
    const bits = words[2 * half]! * 2 ** 21 + (words[2 * half + 1]! >>> 11);
    const j = Math.floor((bits / 2 ** 53) * (i + 1));
    const moved = order[i]!;
    order[i] = order[j]!;
    order[j] = moved;
  }
  return order;
}

/** 0 to n - 1. */
export function inOrder(n: number): Int32Array {
  const order = new Int32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  return order;
}
