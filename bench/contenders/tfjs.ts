/** Contender: TensorFlow.js on its wasm backend, which has no gradient of a convolution: two_layer is the one step it takes. */
import { createRequire } from "node:module";
import { rivals } from "../contender.js";
import { serve } from "./serve.js";

/** What of its layers API is used here. */
interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  sequential(options: { layers: unknown[] }): {
    compile(options: { optimizer: unknown; loss: string }): void;
    /** Answers the loss as a number: it has been read. */
    trainOnBatch(x: unknown, y: unknown): Promise<number | number[]>;
  };
  layers: { dense(options: { units: number; activation: string; inputShape?: number[] }): unknown };
  train: { sgd(lr: number): unknown };
  randomNormal(shape: number[]): unknown;
  tensor1d(values: Int32Array, dtype: "int32"): unknown;
  oneHot(labels: unknown, classes: number): unknown;
}

const require = createRequire(`${rivals}package.json`);
console.log = console.warn = () => {}; // lines on stdout are answers
const tf = require("@tensorflow/tfjs") as TensorFlow;
const { setThreadsCount } = require("@tensorflow/tfjs-backend-wasm") as { setThreadsCount(n: number): void };
setThreadsCount(Number(process.argv[2]));
await tf.setBackend("wasm");
await tf.ready();

await serve(({ op, name }) => {
  if (op !== "step" || name !== "two_layer") return null;
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ inputShape: [3072], units: 100, activation: "relu" }),
      tf.layers.dense({ units: 10, activation: "softmax" }),
    ],
  });
  model.compile({ optimizer: tf.train.sgd(1e-3), loss: "categoricalCrossentropy" });
  const x = tf.randomNormal([200, 3072]);
  const y = tf.oneHot(
    tf.tensor1d(
      Int32Array.from({ length: 200 }, (_, i) => (i * 7) % 10),
      "int32",
    ),
    10,
  );
  return async () => void (await model.trainOnBatch(x, y));
});
