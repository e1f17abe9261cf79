/**
 * Every op. Those whose first argument is a tensor are methods too (lib/methods.ts).
 */
export * from "./arithmetic.js";
export * from "./attention.js";
export * from "./bilinear.js";
export * from "./cast.js";
export * from "./conv2d.js";
export * from "./create.js";
export * from "./elementwise.js";
export * from "./embedding.js";
export * from "./inplace.js";
export * from "./losses.js";
export * from "./matmul.js";
export * from "./norm.js";
export * from "./pool.js";
export * from "./random.js";
export * from "./recurrent.js";
export * from "./reduce.js";
export * from "./segments.js";
export * from "./shape.js";
export * from "./softmax.js";
