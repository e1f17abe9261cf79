/**
 * @file Philox4x32-10 on the host: the counter-based generator of the data sets that are made, not read.
 * word = f(key, counter), so the draws of sample i need no state of sample i-1, and any order gives the same bytes.
 * The constants and the 10 rounds are those of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
 */

/** High 32 bits of the unsigned product a * b, as an int32. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  // neither sum exceeds (2^16-1)^2 + 2 (2^16-1) = 2^32-1
  const t = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const u = (Math.imul(aLow, bHigh) + (t & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (t >>> 16) + (u >>> 16)) | 0;
}

/** Writes the four words of counter (c0, c1, c2, c3) under key (k0, k1) to `out[0..3]`. All words are 32 bits. */
export function philox4x32(
  out: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
): void {
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = mulHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0; // golden ratio
    k1 = (k1 + 0xbb67ae85) | 0; // sqrt(3) - 1
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** The endless sequence of words under one key and one 96-bit stream (s0, s1, s2); the counter's first word counts. */
export class PhiloxStream {
  private readonly words = new Uint32Array(4);
  private used = 4;
  private block = 0;
  private k0 = 0;
  private k1 = 0;
  private s0 = 0;
  private s1 = 0;
  private s2 = 0;

  /** Starts at the first word of another key or stream. */
  reset(k0: number, k1: number, s0: number, s1: number, s2: number): void {
    this.k0 = k0;
    this.k1 = k1;
    this.s0 = s0;
    this.s1 = s1;
    this.s2 = s2;
    this.block = 0;
    this.used = 4;
  }

  /** The next word, uniform in [0, 2^32). */
  next(): number {
    if (this.used === 4) {
      philox4x32(this.words, this.block++, this.s0, this.s1, this.s2, this.k0, this.k1);
      this.used = 0;
    }
    return this.words[this.used++];
  }

  /** An integer, uniform in [low, high]; for ranges far below 2^16 (the bias is range / 2^32). */
  between(low: number, high: number): number {
    return low + (mulHigh(this.next(), high - low + 1) >>> 0);
  }

  /** An integer in [-reach, reach] with a triangular distribution (deviation reach / sqrt(6)); reach < 2^15. */
  spread(reach: number): number {
    const word = this.next();
    return (Math.imul((word & 0xffff) + (word >>> 16) - 0xffff, reach) + 0x8000) >> 16;
  }
}
