/**
 * The limits of this machine, measured in the same run as everything else: multiply-adds in registers on all threads, and
 * the bandwidth of copying arrays that fit no cache.
 */
import { rand, scope, zeros } from "napier";
import { addon, k } from "#lib/native.js";

export interface Peak {
  /** 10^9 floating-point operations a second, float32, all threads. */
  gflops: number;
  /** 10^9 bytes a second read and written by a copy. */
  gbytes: number;
}

function best(times: number, fn: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    fn();
    addon.synchronize();
    least = Math.min(least, performance.now() - start);
  }
  return least / 1e3;
}

export function measurePeak(): Peak {
  return scope(() => {
    const [chunks, rounds] = [64, 10_000]; // about a millisecond: short enough to find a quiet one
    const sums = zeros([chunks]);
    const seconds = best(100, () => k.peakFma(sums, rounds, chunks));
    const lanes = { avx512: 16, avx2: 8 }[addon.isa()] ?? 4;
    const perRound = 12 * lanes * 2; // twelve vectors of multiply-adds (native/cpu/peak.cc)
    const x = rand([32 * 2 ** 20]);
    const y = rand([32 * 2 ** 20]);
    const copy = best(40, () => k.copyStrided(y, x, 0, 1, x.size, 1));
    return { gflops: (chunks * rounds * perRound) / seconds / 1e9, gbytes: (2 * x.bytes) / copy / 1e9 };
  });
}
