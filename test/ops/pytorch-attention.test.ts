/** @file Attention, bags of embeddings and bilinear products beside PyTorch (fixtures/ops/make_attention.py). */
import { bilinear, embeddingBag, eye, scaledDotProductAttention, tensor } from "napier";
import { checkTorch } from "../pytorch.js";

checkTorch("attention", {
  scaledDotProductAttention: ([q, k, v, m], { diagonal, ...options }) => {
    const mask = diagonal ? m!.logicalOr(eye(4, 6).to("bool")) : m;
    return scaledDotProductAttention(q!, k!, v!, { ...options, mask });
  },
  embeddingBag: ([ids, weight, perSampleWeights], { offsets, ...options }) =>
    embeddingBag(ids!, weight!, {
      ...options,
      perSampleWeights,
      offsets: offsets && tensor(Int32Array.from(offsets), [offsets.length]),
    }),
  bilinear: ([x1, x2, w, b]) => bilinear(x1!, x2!, w!, b),
});
