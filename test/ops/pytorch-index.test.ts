/** @file Indexing by tensors and masks beside PyTorch (fixtures/ops/make_index.py). */
import * as ops from "napier";
import { checkTorch } from "../pytorch.js";

checkTorch("index", {
  gather: ([x, i], { axis }) => ops.gather(x!, axis, i!),
  scatterAdd: ([x, i, y], { axis }) => ops.scatterAdd(x!, axis, i!, y!),
  scatter: ([x, i, y], { axis }) => ops.scatter(x!, axis, i!, y!),
  indexSelect: ([x, i], { axis }) => ops.indexSelect(x!, axis, i!),
  indexAdd: ([x, i, y], { axis }) => ops.indexAdd(x!, axis, i!, y!, { alpha: 0.5 }),
  takeAlong: ([x, i], { axis }) => ops.takeAlong(x!, i!, axis),
  take: ([x, i]) => ops.take(x!, i!),
  nonzero: ([x]) => ops.nonzero(x!),
  maskedSelect: ([x, m]) => ops.maskedSelect(x!, m!),
  maskedScatter: ([x, m, y]) => ops.maskedScatter(x!, m!, y!),
});
