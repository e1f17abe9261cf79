/** @file einsum, products and distances beside PyTorch (fixtures/ops/make_einsum.py). */
import * as ops from "napier";
import { checkTorch } from "../pytorch.js";

checkTorch("einsum", {
  einsum: (xs, { equation }) => ops.einsum(equation, ...xs),
  mm: ([a, b]) => ops.mm(a!, b!),
  bmm: ([a, b]) => ops.bmm(a!, b!),
  mv: ([a, b]) => ops.mv(a!, b!),
  dot: ([a, b]) => ops.dot(a!, b!),
  vdot: ([a, b]) => ops.vdot(a!, b!),
  addmm: ([x, a, b], options) => ops.addmm(x!, a!, b!, options),
  baddbmm: ([x, a, b], options) => ops.baddbmm(x!, a!, b!, options),
  addmv: ([x, a, b], options) => ops.addmv(x!, a!, b!, options),
  tensordot: ([a, b], { axes }) => ops.tensordot(a!, b!, axes),
  cross: ([a, b], { axis }) => ops.cross(a!, b!, axis),
  matrixPower: ([x], { n }) => ops.matrixPower(x!, n),
  multiDot: (xs) => ops.linalg.multiDot(xs),
  cdist: ([a, b], { p, method }) =>
    ops.cdist(a!, b!, { p: p === "inf" ? Number.POSITIVE_INFINITY : Number(p), method }),
  pairwiseDistance: ([a, b], options) => ops.pairwiseDistance(a!, b!, options),
  normalize: ([x], options) => ops.normalize(x!, options),
  cosineSimilarity: ([a, b], options) => ops.cosineSimilarity(a!, b!, options),
});
