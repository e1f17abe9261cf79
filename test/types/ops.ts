/** @file Ops, as functions and as methods. */
import * as napier from "napier";
import { type Histogram, linalg, type MinMax, type Tensor, type Unique, type ValuesAndIndices } from "napier";
import { asserts, type Equal, type Expect } from "./equal.js";

export function right(x: Tensor, w: Tensor) {
  const y = x.conv2d(w, null, { stride: [2, 1], padding: "same", groups: 2 });
  const [pooled, index] = x.maxPool2dWithIndices(2);
  const { values, indices } = x.topk(5, -1, { largest: false });
  const along = x.max(1);
  const overall = x.max();
  const parts = x.split([1, 2], 0);
  const { q, r } = linalg.qr(x);
  const [h, c] = x.lstmCell(w);
  const weight = new napier.nn.Parameter(x);
  const same = weight.add_(x, { alpha: 2 }).clamp_(0);
  asserts<
    [
      Expect<Equal<typeof y, Tensor>>,
      Expect<Equal<typeof pooled, Tensor>>,
      Expect<Equal<typeof index, Tensor>>,
      Expect<Equal<typeof values, Tensor>>,
      Expect<Equal<typeof indices, Tensor>>,
      Expect<Equal<typeof along, ValuesAndIndices>>,
      Expect<Equal<typeof overall, Tensor>>,
      Expect<Equal<typeof parts, Tensor[]>>,
      Expect<Equal<typeof q, Tensor>>,
      Expect<Equal<typeof r, Tensor>>,
      Expect<Equal<typeof h, Tensor>>,
      Expect<Equal<typeof c, Tensor>>,
      Expect<Equal<ReturnType<typeof napier.histogram>, Histogram>>,
      Expect<Equal<ReturnType<typeof napier.aminmax>, MinMax>>,
      Expect<Equal<ReturnType<typeof napier.unique>, Unique>>,
      // Methods are the functions without their first argument.
      Expect<Equal<Parameters<Tensor["softmax"]>, [axis?: number]>>,
      Expect<Equal<ReturnType<Tensor["unbind"]>, Tensor[]>>,
      Expect<Equal<ReturnType<Tensor["allclose"]>, ReturnType<typeof napier.allclose>>>,
      Expect<Equal<typeof same, Tensor>>,
    ]
  >();
}

export function wrong(x: Tensor, w: Tensor) {
  // @ts-expect-error: a number or a tensor
  x.add("1");
  // @ts-expect-error: arrays are no tensors
  x.matmul([1, 2]);
  // @ts-expect-error: one operand is missing
  napier.mul(x);
  // @ts-expect-error: one too many
  x.relu(1);
  // @ts-expect-error: a list of tensors
  napier.cat(x, x);
  // @ts-expect-error: tensors, not numbers
  napier.stack([1, 2]);
  // @ts-expect-error: the order is one array
  x.permute(0, 2, 1);
  // @ts-expect-error: the shape is one array
  x.reshape(2, 3);
  // @ts-expect-error: axes are numbers
  x.sum("rows");
  // @ts-expect-error: PyTorch's name
  x.sum(0, { keepdim: true });
  // @ts-expect-error: misspelt
  x.mean(0, { keepDim: true });
  // @ts-expect-error: no option of softmax
  x.softmax({ axis: 1 });
  // @ts-expect-error: one axis
  x.argmax([0, 1]);
  // @ts-expect-error: a bias is a tensor or null
  x.conv2d(w, false);
  // @ts-expect-error: the bias is not among the options
  x.conv2d(w, { padding: 1 });
  // @ts-expect-error: misspelt
  x.conv2d(w, null, { strides: 2 });
  // @ts-expect-error: no such padding
  x.conv2d(w, null, { padding: "full" });
  // @ts-expect-error: two directions, not three
  x.conv2d(w, null, { stride: [1, 1, 1] });
  // @ts-expect-error: one direction
  x.conv1d(w, null, { stride: [1, 1] });
  // @ts-expect-error: the kernel's size is missing
  x.maxPool2d();
  // @ts-expect-error: averages have no dilation
  x.avgPool2d(2, { dilation: 2 });
  // @ts-expect-error: no such border
  x.pad([1, 1], { mode: "mirror" });
  // @ts-expect-error: no such mode
  x.interpolate({ size: 4, mode: "lanczos" });
  // @ts-expect-error: options are needed
  x.interpolate();
  // @ts-expect-error: exact or by tanh
  x.gelu({ approximate: true });
  // @ts-expect-error: PyTorch's name
  x.scaledDotProductAttention(x, x, { isCausal: true });
  // @ts-expect-error: a mask is a tensor
  x.scaledDotProductAttention(x, x, { mask: [true] });
  // @ts-expect-error: labels are a tensor
  x.crossEntropy([1, 2]);
  // @ts-expect-error: misspelt
  x.crossEntropy(w, { labelSmooth: 0.1 });
  // @ts-expect-error: no such reduction
  x.mse(w, { reduction: "average" });
  // @ts-expect-error: only kl has it
  x.crossEntropy(w, { reduction: "batchmean" });
  // @ts-expect-error: powers 1 and 2
  x.multiMargin(w, { p: 3 });
  // @ts-expect-error: an index is a tensor
  x.gather(0, [1, 2]);
  // @ts-expect-error: the equation comes first
  napier.einsum(x, "ij->ji");
  // @ts-expect-error: no such mode
  linalg.qr(x, { mode: "full" });
  // @ts-expect-error: an option, not a flag
  linalg.cholesky(x, true);
  // @ts-expect-error: descending is an option
  x.sort(-1, true);
  // @ts-expect-error: a result has two parts
  x.sort(-1).add(1);
  // @ts-expect-error: with an axis max gives values and indices
  x.max(1).add(1);
  // @ts-expect-error: numbers have no methods
  napier.dropout(0.5);
  // @ts-expect-error: kept is a probability, not an option
  x.dropout({ p: 0.5 });
  // @ts-expect-error: an alias of no one
  x.view([2, 3]);
}
