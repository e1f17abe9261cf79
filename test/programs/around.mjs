// The ops that write large results past the caches, on operands of odd lengths, unaligned rows and more than one chunk.
// Prints the SHA-256 of all results: with NAPIER_STREAM_BYTES=64 it must be the same as without.
import { createHash } from "node:crypto";
import { batchNorm, fuse, grad, groupNorm, layerNorm, manualSeed, randn, scope } from "napier";

manualSeed(7);
const hash = createHash("sha256");
const chain = fuse((x, y) => x.mul(1.5).add(y).relu().mul(x).sub(0.25).square());
for (const dtype of ["float32", "float64"])
  for (const shape of [[1], [37], [16, 64], [5, 33], [70_001], [131, 601]])
    scope(() => {
      const x = randn(shape).to(dtype);
      const y = randn(shape).to(dtype);
      const row = randn(shape.slice(-1)).to(dtype);
      const results = [
        x.relu(),
        x.exp(),
        x.gelu(),
        x.add(1),
        x.clamp(-1, 1),
        x.add(y),
        x.mul(row),
        x.maximum(randn([1]).to(dtype)),
        x.div(x),
        x.slice([0, Math.max(1, shape[0] - 1)]),
        chain(x, y),
        x.add(1).mul_(2),
        ...(x.ndim === 2 ? [x.t(), y.reshape([...shape, 1]).permute([2, 1, 0])] : []),
      ];
      const both = (f, s = shape) => {
        const z = x.reshape(s).detach().requiresGrad_();
        const r = f(z);
        results.push(r, ...grad(r, [z], { gradOutputs: [randn(r.shape).to(dtype)] }));
      };
      for (const axis of [0, -1]) both((z) => z.softmax(axis)), both((z) => z.logSoftmax(axis));
      if (shape.length === 2) both((z) => layerNorm(z, shape[1]));
      if (shape[0] === 16) both((z) => z.maxPool2d(3, { stride: 2, padding: 1 }), [4, 16, 16]);
      if (shape[0] === 16) both((z) => groupNorm(z, 2, null, null), [2, 8, 64]);
      for (const r of results) hash.update(new Uint8Array(r.dataSync(dtype).buffer));
    });
// Batch normalisation, which also asks ahead for planes: long and short ones, fewer than it asks ahead for, a tail.
for (const [n, c, inner] of [
  [5, 7, 320],
  [2, 3, 64],
  [1, 4, 1024],
  [9, 3, 131],
  [3, 2, 17_000],
])
  for (const dtype of ["float32", "float64"])
    for (const [activation, added] of [[null, false], ["relu", false], ["relu", true]])
      scope(() => {
        const draw = (shape) => randn(shape).to(dtype).requiresGrad_();
        const [x, w, b] = [draw([n, c, inner]), draw([c]), draw([c])];
        const residual = added ? draw(x.shape) : null;
        for (const training of [true, false]) {
          const running = [randn([c]).to(dtype), randn([c]).square().to(dtype)];
          const y = batchNorm(x, ...running, w, b, { training, residual, activation });
          const gradients = grad(y, [x, w, b, ...(residual ? [residual] : [])], { gradOutputs: [randn(y.shape).to(dtype)] });
          for (const r of [y, ...gradients]) hash.update(new Uint8Array(r.dataSync(dtype).buffer));
        }
      });
// Transposes: whole tiles, rows that are whole lines and others, three dimensions.
for (const [shape, order] of [
  [[96, 48], [1, 0]],
  [[50, 64], [1, 0]],
  [[3, 48, 80], [0, 2, 1]],
  [[64, 5, 32], [2, 1, 0]],
])
  for (const dtype of ["float32", "float64", "float16"])
    scope(() => hash.update(new Uint8Array(randn(shape).to(dtype).permute(order).dataSync(dtype).buffer)));
console.log(hash.digest("hex"));
