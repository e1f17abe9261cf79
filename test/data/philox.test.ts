/** @file Philox4x32-10 against the known answers of Random123 (tests/kat_vectors of that distribution). */

import { describe, expect, it } from "vitest";
import { PhiloxStream, philox4x32 } from "#lib/data/philox.js";

const ONES = 0xffffffff;
const KNOWN_ANSWERS = [
  { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
  { counter: [ONES, ONES, ONES, ONES], key: [ONES, ONES], words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd] },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    key: [0xa4093822, 0x299f31d0],
    words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
];

describe("philox4x32", () => {
  it.each(KNOWN_ANSWERS)("known answer of counter $counter, key $key", ({ counter, key, words }) => {
    const out = new Uint32Array(4);
    const [c0, c1, c2, c3] = counter;
    philox4x32(out, c0, c1, c2, c3, key[0], key[1]);
    expect([...out]).toEqual(words);
  });
});

describe("PhiloxStream", () => {
  it("counts in the first word of the counter", () => {
    const stream = new PhiloxStream();
    stream.reset(1, 2, 3, 4, 5);
    const out = new Uint32Array(4);
    for (let block = 0; block < 3; block++) {
      philox4x32(out, block, 3, 4, 5, 1, 2);
      for (const word of out) expect(stream.next()).toBe(word);
    }
  });

  it("starts over after reset in the middle of a block", () => {
    const stream = new PhiloxStream();
    stream.reset(7, 0, 0, 0, 0);
    const first = [stream.next(), stream.next()];
    stream.reset(7, 0, 0, 0, 0);
    expect([stream.next(), stream.next()]).toEqual(first);
  });

  it("between and spread reach both ends and keep their means", () => {
    const stream = new PhiloxStream();
    stream.reset(9, 0, 0, 0, 0);
    const die = new Array(7).fill(0);
    let sum = 0;
    let widest = 0;
    for (let i = 0; i < 60_000; i++) {
      die[stream.between(1, 6)]++;
      const value = stream.spread(10);
      sum += value;
      widest = Math.max(widest, Math.abs(value));
    }
    expect(die[0]).toBe(0);
    for (const rolls of die.slice(1)) expect(Math.abs(rolls - 10_000)).toBeLessThan(400); // 4 deviations of 91
    expect(widest).toBe(10);
    expect(Math.abs(sum / 60_000)).toBeLessThan(0.07); // 4 deviations of 4.1 / sqrt(60000)
  });
});
