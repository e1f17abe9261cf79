/**
 * Every op. Those whose first argument is a tensor are methods too (lib/methods.ts).
 */
export * from "./activation.js";
export * from "./arithmetic.js";
export * from "./arrange.js";
export * from "./cast.js";
export * from "./close.js";
export * from "./conv2d.js";
export * from "./counting.js";
export * from "./create.js";
export * from "./elementwise.js";
export * from "./embedding.js";
export * from "./gather.js";
export * from "./inplace.js";
export * from "./join.js";
export * from "./losses/index.js";
export * from "./masks.js";
export * from "./matmul.js";
export * from "./matrix.js";
export * from "./modulo.js";
export * from "./norm.js";
export * from "./pad.js";
export * from "./pool.js";
export * from "./quantile.js";
export * from "./random.js";
export * from "./reduce.js";
export * from "./scan.js";
export * from "./select.js";
export * from "./shape.js";
export * from "./softmax.js";
export * from "./sort.js";
export * from "./special.js";
export * from "./statistics.js";
export * from "./trigonometry.js";
