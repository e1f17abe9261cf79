/**
 * Losses. Each gives one loss an example; `reduction` then takes their mean (default), sum, or none.
 */
export * from "./classes.js";
export { type LossOptions, type Reduction, reduceLoss } from "./common.js";
export * from "./ctc.js";
export * from "./distance.js";
export * from "./labels.js";
export * from "./regression.js";
