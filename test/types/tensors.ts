/** @file Tensors: what they are made of, their dtypes, how values are read, gradients, scopes. */
import {
  arange,
  backward,
  customFunction,
  type Device,
  type Draw,
  type DType,
  full,
  Generator,
  grad,
  gradcheck,
  keep,
  noGrad,
  randint,
  randn,
  scope,
  type Tensor,
  tensor,
  zeros,
} from "napier";
import { asserts, type Equal, type Expect } from "./equal.js";

export async function right() {
  const x = tensor([
    [1, 2],
    [3, 4],
  ]);
  tensor(3);
  tensor([]);
  tensor([true, false], { dtype: "bool" });
  tensor([[1, 2, 3]] as const);
  tensor(new Int8Array(6), [2, 3], { dtype: "float32" });
  tensor(new BigInt64Array(2), { dtype: "int64" });

  const floats = await x.data();
  const longs = await x.data("int64");
  const bytes = x.dataSync("bool");
  const halves = x.dataSync("float16");
  const value = await x.item();
  const [y, loss] = scope(() => [x.mul(2), 1] as const);
  const kept = keep(x.add(1));
  const nothing = noGrad(() => undefined);
  const masked = noGrad(() => (value > 0 ? x : null));
  const [dx] = grad(x.sum(), [x]);
  const [maybe] = grad(x.sum(), [x], { allowUnused: true });
  const double = customFunction({
    forward: (ctx, x: Tensor, by: number) => {
      ctx.save(x);
      return x.mul(by);
    },
    backward: ({ saved: [x] }, dy) => [dy.mul(x!)],
  });
  const generator = new Generator(1).load({ seed: 1, draw: 0 });

  asserts<
    [
      Expect<Equal<typeof x, Tensor>>,
      Expect<Equal<typeof floats, Float32Array<ArrayBuffer>>>,
      Expect<Equal<typeof longs, BigInt64Array<ArrayBuffer>>>,
      Expect<Equal<typeof bytes, Uint8Array<ArrayBuffer>>>,
      Expect<Equal<typeof halves, Uint16Array<ArrayBuffer>>>,
      Expect<Equal<typeof value, number>>,
      Expect<Equal<typeof y, Tensor>>,
      Expect<Equal<typeof loss, 1>>,
      Expect<Equal<typeof kept, Tensor>>,
      Expect<Equal<typeof nothing, undefined>>,
      Expect<Equal<typeof masked, Tensor | null>>,
      Expect<Equal<typeof dx, Tensor>>,
      Expect<Equal<typeof maybe, Tensor | null>>,
      Expect<Equal<typeof x.grad, Tensor | null>>,
      Expect<Equal<typeof x.device, Device>>,
      Expect<Equal<typeof x.dtype, DType>>,
      Expect<Equal<typeof x.shape, readonly number[]>>,
      Expect<Equal<typeof double, (x: Tensor, by: number) => Tensor>>,
      Expect<Equal<ReturnType<typeof generator.state>, Draw>>,
    ]
  >();
}

export async function wrong(x: Tensor) {
  // @ts-expect-error: texts are no values
  tensor(["1", "2"]);
  // @ts-expect-error: nor is null
  tensor([1, null]);
  // @ts-expect-error: nor a bigint outside a BigInt64Array
  tensor([1n, 2n]);
  // @ts-expect-error: 16-bit floats have no typed array of their own
  tensor(new Uint16Array(2));
  // @ts-expect-error: an object with a length is no array
  tensor({ length: 2 });
  // @ts-expect-error: no such dtype
  tensor([1], { dtype: "float" });
  // @ts-expect-error: misspelt
  tensor([1], { requireGrad: true });
  // @ts-expect-error: a shape is an array
  zeros(3);
  // @ts-expect-error: of numbers
  zeros(["3"]);
  // @ts-expect-error: the value is missing
  full([2]);
  // @ts-expect-error: options come last
  arange(0, { dtype: "int32" });
  // @ts-expect-error: randint makes integers
  randint(0, 5, [2], { dtype: "float32" });
  // @ts-expect-error: a generator is no seed
  randn([2], { generator: 7 });
  // @ts-expect-error: nor is a text one
  new Generator("seed");
  // @ts-expect-error: half a state
  new Generator().load({ seed: 1 });
  // @ts-expect-error: shapes do not change
  x.shape[0] = 1;
  // @ts-expect-error: nor are they set
  x.shape = [1];
  // @ts-expect-error: nor dtypes
  x.dtype = "int32";
  // @ts-expect-error: gradients are tensors
  x.grad = 0;
  // @ts-expect-error: no such dtype to read as
  x.data("int16");
  // @ts-expect-error: an int64's array is of bigints
  (await x.data("int64")) satisfies Int32Array;
  // @ts-expect-error: not awaited
  x.item() + 1;
  // @ts-expect-error: other tasks would run inside
  noGrad(async () => x.add(1));
  // @ts-expect-error: and here the tensors would be freed under them
  scope(async () => (await x.item()) + 1);
  // @ts-expect-error: no tensor
  keep(3);
  // @ts-expect-error: the outputs come first
  grad([x]);
  // @ts-expect-error: misspelt
  grad(x, [x], { createGraphs: true });
  // @ts-expect-error: misspelt
  backward(x, { retain_graph: true });
  // @ts-expect-error: a hook gives a tensor or nothing
  x.registerHook((dy) => dy.shape);
  // @ts-expect-error: the function gives tensors
  gradcheck((x) => x.shape, [x]);
  // @ts-expect-error: backward is missing
  customFunction({ forward: (_, x: Tensor) => x });
  // @ts-expect-error: no tensor
  customFunction({ forward: (_, x: Tensor) => x.shape, backward: (_, dy) => [dy] });
  // @ts-expect-error: no such method
  x.cuda();
  // @ts-expect-error: a device that is not known
  x.to("gpu");
}
