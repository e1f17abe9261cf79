/** @file Random numbers of the host that are a function of (seed, stream): the next trial's do not depend on when it is made. */
import { philox4x32 } from "../data/philox.js";

const TUNE = 0x74756e65;

/** A stream of numbers in [0, 1). */
export class Stream {
  #index = 0;

  constructor(
    private readonly seed: number,
    private readonly stream: number,
  ) {}

  /** The next number, of 53 random bits. */
  next(): number {
    const words = new Uint32Array(4);
    philox4x32(words, this.#index++, 0, this.stream, TUNE, this.seed | 0, Math.floor(this.seed / 2 ** 32) | 0);
    return (words[0]! * 2 ** 21 + (words[1]! >>> 11)) / 2 ** 53;
  }

  /** The next whole number from 0 below n. */
  below(n: number): number {
    return Math.min(n - 1, Math.floor(this.next() * n));
  }

  /** The next draw of a standard normal distribution (Box & Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next());
  }
}
