/**
 * Texts to numbers: by characters, by words, and by byte pairs (Sennrich, Haddow & Birch, "Neural machine translation of
 * rare words with subword units", 2016; on bytes as GPT-2 does, so that every text can be written and read back).
 */
import { expect } from "../errors.js";

/** What every tokenizer does. */
export interface Tokenizer {
  /** Number of tokens. */
  readonly size: number;
  /** A text's tokens. */
  encode(text: string): Int32Array;
  /** The text of tokens. */
  decode(ids: ArrayLike<number>): string;
}

function checkIds(op: string, ids: ArrayLike<number>, size: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (!Number.isInteger(id) || id < 0 || id >= size)
      throw new RangeError(`${op}: expected tokens from 0 to ${size - 1}, got ${id} at ${i}`);
  }
}

/**
 * One token a character, in the order of their code points.
 *
 * @example
 * const tokenizer = new data.CharTokenizer("hello");
 * tokenizer.decode(tokenizer.encode("hole")); // "hole"
 */
export class CharTokenizer implements Tokenizer {
  /** The characters; their positions are the tokens. */
  readonly characters: readonly string[];
  readonly #ids: ReadonlyMap<string, number>;

  /** Knows the characters that occur in `text`, whatever their order. */
  constructor(text: string) {
    this.characters = [...new Set(text)].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
    this.#ids = new Map(this.characters.map((c, i) => [c, i]));
  }

  get size(): number {
    return this.characters.length;
  }

  /** @throws RangeError for a character that the text did not have */
  encode(text: string): Int32Array {
    return Int32Array.from([...text], (c) => {
      const id = this.#ids.get(c);
      if (id === undefined)
        throw new RangeError(`CharTokenizer.encode: ${JSON.stringify(c)} is none of its characters`);
      return id;
    });
  }

  decode(ids: ArrayLike<number>): string {
    checkIds("CharTokenizer.decode", ids, this.size);
    return Array.from(ids, (id) => this.characters[id]!).join("");
  }
}

/** The tokens that frame a caption, in this order at the front of a WordTokenizer. */
export const CAPTION_TOKENS = ["<pad>", "<start>", "<end>", "<unk>"] as const;

/**
 * One token a word, with CS231n's four special tokens in front: 0 fills up, 1 starts, 2 ends, 3 stands for other words.
 *
 * @example
 * const tokenizer = new data.WordTokenizer(["a red circle", "a blue square"]);
 * const caption = tokenizer.frame("a red square", 6); // 1 4 8 9 2 0
 */
export class WordTokenizer implements Tokenizer {
  /** The words; their positions are the tokens. */
  readonly words: readonly string[];
  readonly #ids: ReadonlyMap<string, number>;

  /**
   * Knows the words of `texts`, in alphabetical order.
   *
   * @param options leastCount: words that occur less often become <unk>. Default 1
   */
  constructor(texts: Iterable<string>, { leastCount = 1 }: { leastCount?: number } = {}) {
    const counts = new Map<string, number>();
    for (const text of texts) for (const word of wordsOf(text)) counts.set(word, (counts.get(word) ?? 0) + 1);
    const known = [...counts].filter(([, n]) => n >= leastCount).map(([word]) => word);
    this.words = [...CAPTION_TOKENS, ...known.sort()];
    this.#ids = new Map(this.words.map((word, i) => [word, i]));
  }

  get size(): number {
    return this.words.length;
  }

  encode(text: string): Int32Array {
    return Int32Array.from(wordsOf(text), (word) => this.#ids.get(word) ?? 3);
  }

  /** Words up to <end>, without <pad> and <start>. */
  decode(ids: ArrayLike<number>): string {
    checkIds("WordTokenizer.decode", ids, this.size);
    const end = Array.prototype.indexOf.call(ids, 2);
    return Array.from(ids)
      .slice(0, end < 0 ? ids.length : end)
      .filter((id) => id > 1)
      .map((id) => this.words[id]!)
      .join(" ");
  }

  /** <start>, the words, <end>, <pad> up to `length`; words that do not fit are left out, <end> is not. */
  frame(text: string, length: number): Int32Array {
    expect(Number.isSafeInteger(length) && length >= 2, "WordTokenizer.frame", "a length from 2 up", `${length}`);
    const ids = new Int32Array(length);
    const words = this.encode(text).subarray(0, length - 2);
    ids[0] = 1;
    ids.set(words, 1);
    ids[words.length + 1] = 2;
    return ids;
  }
}

const wordsOf = (text: string): string[] =>
  text.toLowerCase().match(/[\p{L}\p{N}]+(?:'[\p{L}]+)?|[^\s\p{L}\p{N}]/gu) ?? [];

/** How GPT-2 cuts a text before pairs are merged: no pair reaches across a cut. */
export const GPT2_PATTERN = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** Options of BytePairTokenizer.train(). */
export interface BytePairOptions {
  /** Number of tokens, bytes and merges, special tokens not counted. From 256 up. */
  vocabulary: number;
  /** How texts are cut; null: not at all. Default GPT2_PATTERN. */
  pattern?: RegExp | null;
  /** Texts with a token of their own, behind all others: "<|endoftext|>". Default none. */
  specialTokens?: readonly string[];
}

/** A BytePairTokenizer as JSON. */
export interface BytePairState {
  /** [left, right] of each merge; merge i makes token 256 + i. */
  merges: [number, number][];
  /** Source of the pattern; null: texts are not cut. */
  pattern: string | null;
  /** Texts with a token of their own. */
  specialTokens: string[];
}

const PAIR = 2 ** 26; // pair (a, b) as a * PAIR + b

/**
 * Byte pairs: 256 bytes, and the pairs that training merged, most frequent first.
 *
 * @example
 * const tokenizer = data.BytePairTokenizer.train(["low lower lowest"], { vocabulary: 260 });
 * tokenizer.decode(tokenizer.encode("a slow text")); // "a slow text"
 */
export class BytePairTokenizer implements Tokenizer {
  /** [left, right] of each merge; merge i makes token 256 + i. */
  readonly merges: readonly (readonly [number, number])[];
  /** Texts with a token of their own. */
  readonly specialTokens: readonly string[];
  /** How texts are cut. */
  readonly pattern: RegExp | null;
  readonly #ranks = new Map<number, number>();
  readonly #bytes: Uint8Array[];
  readonly #special: ReadonlyMap<string, number>;
  readonly #cache = new Map<string, number[]>();

  /** @throws RangeError for a merge of tokens that do not exist before it */
  constructor({
    merges,
    pattern = GPT2_PATTERN.source,
    specialTokens = [],
  }: Partial<BytePairState> & Pick<BytePairState, "merges">) {
    this.#bytes = Array.from({ length: 256 }, (_, i) => Uint8Array.of(i));
    merges.forEach(([a, b], i) => {
      const good = [a, b].every((id) => Number.isInteger(id) && id >= 0 && id < 256 + i);
      if (!good)
        throw new RangeError(`BytePairTokenizer: merge ${i} joins ${a} and ${b}, expected tokens below ${256 + i}`);
      this.#ranks.set(a * PAIR + b, i);
      this.#bytes.push(Uint8Array.from([...this.#bytes[a]!, ...this.#bytes[b]!]));
    });
    this.merges = merges;
    this.pattern = pattern === null ? null : new RegExp(pattern, "gu");
    this.specialTokens = specialTokens;
    this.#special = new Map(specialTokens.map((text, i) => [text, 256 + merges.length + i]));
  }

  /**
   * Merges the most frequent pair (of equally frequent ones the one that occurs first) until there are `vocabulary`
   * tokens, or no pair occurs twice.
   */
  static train(
    texts: Iterable<string>,
    { vocabulary, pattern = GPT2_PATTERN, specialTokens = [] }: BytePairOptions,
  ): BytePairTokenizer {
    expect(
      Number.isSafeInteger(vocabulary) && vocabulary >= 256,
      "BytePairTokenizer.train",
      "a vocabulary from 256 up",
      `${vocabulary}`,
    );
    const counts = new Map<string, number>();
    for (const text of texts) for (const piece of cut(text, pattern)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
    const words = [...counts].map(([piece, count]) => ({ ids: [...utf8.encode(piece)], count }));
    // How often each pair occurs, and in which words; kept up to date merge by merge.
    const pairs = new Map<number, { count: number; words: Set<number> }>();
    const note = (word: number, sign: 1 | -1) => {
      const { ids, count } = words[word]!;
      for (let i = 0; i + 1 < ids.length; i++) {
        const key = ids[i]! * PAIR + ids[i + 1]!;
        let pair = pairs.get(key);
        if (!pair) pairs.set(key, (pair = { count: 0, words: new Set() }));
        pair.count += sign * count;
        if (sign > 0) pair.words.add(word);
        else pair.words.delete(word);
        if (pair.count === 0) pairs.delete(key);
      }
    };
    for (const i of words.keys()) note(i, 1);
    /** Of equally frequent pairs the one that occurs first. */
    const firstOf = (keys: readonly number[]): number => {
      if (keys.length === 1) return keys[0]!;
      const places = keys.map((key) => {
        const word = Math.min(...pairs.get(key)!.words);
        const { ids } = words[word]!;
        return { key, word, at: ids.findIndex((id, i) => id * PAIR + (ids[i + 1] ?? -1) === key) };
      });
      return places.reduce((a, b) => (b.word < a.word || (b.word === a.word && b.at < a.at) ? b : a)).key;
    };
    const merges: [number, number][] = [];
    while (256 + merges.length < vocabulary) {
      let most = 2;
      let tied: number[] = [];
      for (const [key, { count }] of pairs) {
        if (count > most) tied = [];
        if (count >= most) tied.push(key);
        most = Math.max(most, count);
      }
      if (tied.length === 0) break;
      const best = firstOf(tied);
      const [a, b] = [Math.floor(best / PAIR), best % PAIR];
      const made = 256 + merges.push([a, b]) - 1;
      for (const word of [...pairs.get(best)!.words]) {
        note(word, -1);
        words[word]!.ids = merged(words[word]!.ids, a, b, made);
        note(word, 1);
      }
    }
    return new BytePairTokenizer({
      merges,
      pattern: pattern === null ? null : pattern.source,
      specialTokens: [...specialTokens],
    });
  }

  /**
   * From GPT-2's merges.txt: one merge a line, its two parts in GPT-2's letters for bytes. Tokens are numbered as here,
   * not as GPT-2's vocab.json numbers them.
   */
  static fromMerges(text: string, options: { specialTokens?: readonly string[] } = {}): BytePairTokenizer {
    const ids = new Map(gpt2Letters().map((letter, byte) => [letter, byte]));
    const merges: [number, number][] = [];
    for (const line of text.split("\n")) {
      if (line === "" || line.startsWith("#version")) continue;
      const parts = line.trimEnd().split(" ");
      const [a, b] = parts.map((part) => ids.get(part));
      if (parts.length !== 2 || a === undefined || b === undefined)
        throw new RangeError(`BytePairTokenizer.fromMerges: expected two known tokens, got ${JSON.stringify(line)}`);
      ids.set(parts.join(""), 256 + merges.push([a, b]) - 1);
    }
    return new BytePairTokenizer({ merges, specialTokens: [...(options.specialTokens ?? [])] });
  }

  get size(): number {
    return 256 + this.merges.length + this.specialTokens.length;
  }

  encode(text: string): Int32Array {
    const ids: number[] = [];
    for (const part of this.#parts(text)) {
      const special = this.#special.get(part);
      if (special !== undefined) ids.push(special);
      else for (const piece of cut(part, this.pattern)) ids.push(...this.#piece(piece));
    }
    return Int32Array.from(ids);
  }

  /** Bytes that are no UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>): string {
    checkIds("BytePairTokenizer.decode", ids, this.size);
    const bytes: number[] = [];
    for (let i = 0; i < ids.length; i++) {
      const own = this.#bytes[ids[i]!];
      bytes.push(...(own ?? utf8.encode(this.specialTokens[ids[i]! - 256 - this.merges.length]!)));
    }
    return new TextDecoder().decode(Uint8Array.from(bytes));
  }

  /** For JSON.stringify(); the constructor takes it back. */
  toJSON(): BytePairState {
    return {
      merges: this.merges.map(([a, b]) => [a, b]),
      pattern: this.pattern?.source ?? null,
      specialTokens: [...this.specialTokens],
    };
  }

  /** The text cut at special tokens, which stay as parts. */
  #parts(text: string): string[] {
    if (this.#special.size === 0) return [text];
    const escaped = [...this.#special.keys()]
      .sort((a, b) => b.length - a.length)
      .map((s) => s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return text.split(new RegExp(`(${escaped.join("|")})`)).filter((part) => part !== "");
  }

  #piece(piece: string): readonly number[] {
    const known = this.#cache.get(piece);
    if (known) return known;
    let ids = [...utf8.encode(piece)];
    while (ids.length > 1) {
      let first = Number.POSITIVE_INFINITY;
      for (let i = 0; i + 1 < ids.length; i++)
        first = Math.min(first, this.#ranks.get(ids[i]! * PAIR + ids[i + 1]!) ?? Number.POSITIVE_INFINITY);
      if (first === Number.POSITIVE_INFINITY) break;
      const [a, b] = this.merges[first]!;
      ids = merged(ids, a, b, 256 + first);
    }
    if (this.#cache.size >= 65_536) this.#cache.clear();
    this.#cache.set(piece, ids);
    return ids;
  }
}

const utf8 = new TextEncoder();

const cut = (text: string, pattern: RegExp | null): Iterable<string> =>
  pattern === null ? [text] : (text.match(pattern) ?? []);

/** `ids` with each a, b in a row as `made`. */
function merged(ids: readonly number[], a: number, b: number, made: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] === a && ids[i + 1] === b) {
      out.push(made);
      i++;
    } else out.push(ids[i]!);
  }
  return out;
}

/** GPT-2's letter of each byte: printable ones stand for themselves, the others from U+0100 up. */
function gpt2Letters(): string[] {
  let next = 256;
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
}
