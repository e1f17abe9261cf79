/** @file Order and counting beside PyTorch (fixtures/ops/make_sort.py). */
import * as ops from "napier";
import { checkTorch } from "../pytorch.js";

const both = ({ values, indices }: ops.ValuesAndIndices) => [values, indices];
const three = ({ values, inverse, counts }: ops.Unique) => [values, inverse, counts];

checkTorch("sort", {
  sort: ([x], { axis, descending }) => both(ops.sort(x!, axis, { descending })),
  topk: ([x], { axis, count, largest }) => both(ops.topk(x!, count, axis, { largest })),
  kthvalue: ([x], { axis, count }) => both(ops.kthvalue(x!, count, axis)),
  median: ([x], { axis }) => both(ops.median(x!, axis)),
  nanmedian: ([x], { axis }) => both(ops.nanmedian(x!, axis)),
  quantile: ([x], { axis, q, interpolation }) => ops.quantile(x!, q, axis, { interpolation }),
  nanquantileOfLog: ([x], { axis, q }) => ops.nanquantile(ops.log(x!), q, axis),
  nanmedianOfLog: ([x], { axis }) => ops.nanmedian(ops.log(x!), axis).values,
  mode: ([x], { axis }) => ops.mode(x!, axis).values,
  searchsorted: ([s, v], { right }) => ops.searchsorted(ops.sort(s!).values, v!, { right }),
  bucketize: ([v, s], { right }) => ops.bucketize(v!, ops.sort(s!).values, { right }),
  unique: ([x]) => three(ops.unique(x!)),
  uniqueConsecutive: ([x]) => three(ops.uniqueConsecutive(x!)),
  bincount: ([x], { minLength }) => ops.bincount(x!, { minLength }),
  weighedBincount: ([x, weights]) => ops.bincount(x!, { weights: weights! }),
  histc: ([x], { bins, low, high }) => ops.histc(x!, bins, low, high),
  histogram: ([x, weight], { bins, range }) => {
    const { hist, binEdges } = ops.histogram(x!, bins, { range, weight: weight!, density: true });
    return [hist, binEdges];
  },
  isin: ([x, values]) => ops.isin(x!, values!),
});
