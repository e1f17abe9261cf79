/**
 * Every op. Those whose first argument is a tensor are methods too (lib/methods.ts).
 */
export * from "./arithmetic.js";
export * from "./cast.js";
export * from "./channeldropout.js";
export * from "./conv1d.js";
export * from "./conv2d.js";
export * from "./conv3d.js";
export * from "./convTranspose.js";
export * from "./create.js";
export * from "./elementwise.js";
export * from "./embedding.js";
export * from "./gridsample.js";
export * from "./groupnorm.js";
export * from "./inplace.js";
export * from "./interpolate.js";
export * from "./localresponsenorm.js";
export * from "./losses.js";
export * from "./matmul.js";
export * from "./norm.js";
export * from "./pixelshuffle.js";
export * from "./pool.js";
export * from "./pool1d.js";
export * from "./random.js";
export * from "./reduce.js";
export * from "./rmsnorm.js";
export * from "./shape.js";
export * from "./softmax.js";
export * from "./unfold.js";
