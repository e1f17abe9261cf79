/**
 * Small pictures with texts: emoji of 32x32 pixels on white, each with the embedding that a CLIP text tower gave its name, or
 * ten drawn digits with a one-hot vector each where there are no data.
 *
 *     emoji32.json                            [{ text, aliases, category, clip_text }]  one a picture
 *     emoji32_rgb_on_white_u8_nhwc.npy        uint8 [1609,32,32,3]
 *     clip_texts.json                         { text: row }
 *     clip_vitb32_text_embeddings_f16.npy     float16 [2484,512]
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { cat, data, eye, io, noGrad, scope, type Tensor, tensor } from "napier";

export interface CaptionedPictures {
  name: "emoji" | "glyphs";
  /** [n,3,32,32] in [-1, 1]. */
  pictures: Tensor;
  /** One a picture, all different. */
  texts: string[];
  /** Of the texts [n,d], together of mean 0 and variance 1. */
  embeddings: Tensor;
  /** Other names of some pictures, none among the texts, with the picture's number; their embeddings, on the same scale. */
  synonyms: { text: string; picture: number }[];
  synonymEmbeddings: Tensor | null;
}

interface Entry {
  text: string;
  aliases: string[];
  category: string;
  clip_text: string | null;
}

const CATEGORIES = ["Animals & Nature", "Food & Drink"];

const rowsOf = (t: Tensor, rows: readonly number[]): Tensor => t.indexSelect(0, tensor(Int32Array.from(rows)));
const json = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, "utf8"));

async function emoji(directory: string): Promise<CaptionedPictures> {
  const entries = (await json(join(directory, "emoji32.json"))) as Entry[];
  const rowOf = (await json(join(directory, "clip_texts.json"))) as Record<string, number>;
  const bytes = await io.loadNpy(join(directory, "emoji32_rgb_on_white_u8_nhwc.npy"));
  const vectors = await io.loadNpy(join(directory, "clip_vitb32_text_embeddings_f16.npy"));
  const chosen = new Map<string, number>(); // text -> entry
  for (const [i, { category, clip_text: text }] of entries.entries())
    if (CATEGORIES.includes(category) && text !== null && !chosen.has(text)) chosen.set(text, i);
  const texts = [...chosen.keys()];
  const synonyms = [...chosen.values()].flatMap((i, picture) => {
    const names = [entries[i]!.text, ...entries[i]!.aliases.map((alias) => alias.replaceAll("_", " "))];
    const others = new Set(names.filter((text) => Object.hasOwn(rowOf, text) && !chosen.has(text)));
    return [...others].map((text) => ({ text, picture }));
  });
  const rows = (all: readonly string[]) =>
    rowsOf(
      vectors.to("float32"),
      all.map((text) => rowOf[text]!),
    );
  return scope(() =>
    noGrad(() => {
      const pictures = rowsOf(bytes, [...chosen.values()])
        .permute([0, 3, 1, 2])
        .to("float32")
        .div(127.5)
        .sub(1);
      const [raw, others] = [rows(texts), rows(synonyms.map(({ text }) => text))];
      const mean = raw.mean(0);
      const spread = raw.sub(mean).square().mean().sqrt();
      const [embeddings, synonymEmbeddings] = [raw, others].map((e) => e.sub(mean).div(spread)) as [Tensor, Tensor];
      return { name: "emoji", pictures, texts, embeddings, synonyms, synonymEmbeddings } as const;
    }),
  );
}

async function digits(): Promise<CaptionedPictures> {
  const { train, classes } = await data.glyphs({ train: 200, test: 1, normalize: false });
  const [x, y] = train.tensors as [Tensor, Tensor];
  const labels = Array.from(await y.data(), Number);
  const first = classes.map((_, i) => labels.indexOf(i));
  return scope(() =>
    noGrad(() => {
      const grey = rowsOf(x, first).pad([2, 2, 2, 2]).to("float32").div(127.5).sub(1);
      const embeddings = eye(classes.length)
        .sub(1 / classes.length)
        .mul(Math.sqrt(classes.length));
      const pictures = cat([grey, grey, grey], 1);
      const texts = [...classes];
      return { name: "glyphs", pictures, texts, embeddings, synonyms: [], synonymEmbeddings: null } as const;
    }),
  );
}

/** Animals, plants, food and drink of the emoji in a directory, or digits where none is given. */
export const captionedPictures = (directory?: string): Promise<CaptionedPictures> =>
  directory ? emoji(directory) : digits();
