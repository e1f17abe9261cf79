/**
 * Contender: TensorFlow.js on its wasm backend. It has no gradient of a convolution, so two_layer is the one step it takes;
 * its ResNet-18 has folded normalisations and fused activations, as a converted model has.
 */
import { createRequire } from "node:module";
import { type nn, noGrad, type Tensor } from "napier";
import { rivals } from "../contender.js";
import { type Block, pictures, resnet18 } from "./resnet18.js";
import { type Checked, serve } from "./serve.js";

type TfTensor = {
  data(): Promise<Float32Array>;
  dispose(): void;
};
type Activation = "linear" | "relu";
/** What of its interface is used here. */
interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tidy<T>(fn: () => T): T;
  sequential(options: { layers: unknown[] }): {
    compile(options: { optimizer: unknown; loss: string }): void;
    /** Answers the loss as a number: it has been read. */
    trainOnBatch(x: unknown, y: unknown): Promise<number | number[]>;
  };
  layers: { dense(options: { units: number; activation: string; inputShape?: number[] }): unknown };
  train: { sgd(lr: number): unknown };
  randomNormal(shape: number[]): TfTensor;
  tensor(values: Float32Array, shape: number[]): TfTensor;
  tensor1d(values: Int32Array, dtype: "int32"): TfTensor;
  transpose(x: TfTensor, order: number[]): TfTensor;
  oneHot(labels: TfTensor, classes: number): TfTensor;
  add(a: TfTensor, b: TfTensor): TfTensor;
  relu(x: TfTensor): TfTensor;
  mean(x: TfTensor, axes: number[]): TfTensor;
  maxPool(x: TfTensor, size: number, strides: number, pad: number): TfTensor;
  fused: {
    conv2d(options: {
      x: TfTensor;
      filter: TfTensor;
      strides: number;
      pad: number;
      bias: TfTensor;
      activation: Activation;
    }): TfTensor;
    matMul(options: { a: TfTensor; b: TfTensor; bias: TfTensor }): TfTensor;
  };
}

const require = createRequire(`${rivals}package.json`);
console.log = console.warn = () => {}; // lines on stdout are answers
const tf = require("@tensorflow/tfjs") as TensorFlow;
const { setThreadsCount } = require("@tensorflow/tfjs-backend-wasm") as { setThreadsCount(n: number): void };
setThreadsCount(Number(process.argv[2]));
await tf.setBackend("wasm");
await tf.ready();

function twoLayer(): () => Promise<void> {
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
}

function inference(n: number): Checked {
  type Layer = (x: TfTensor, activation: Activation) => TfTensor;
  const model = resnet18();
  const given = (t: Tensor): TfTensor => tf.tensor(t.dataSync() as Float32Array, [...t.shape]);
  /** A convolution and the normalisation behind it as one, of pictures [n, h, w, c]. */
  const folded = (conv: nn.Conv2d, norm: nn.BatchNorm2d, strides: number): Layer =>
    noGrad(() => {
      const scale = norm.weight!.div(norm.runningVar!.add(1e-5).sqrt());
      const bias = given(norm.bias!.sub(norm.runningMean!.mul(scale)));
      const filter = tf.transpose(given(conv.weight.mul(scale.reshape([-1, 1, 1, 1]))), [2, 3, 1, 0]);
      const pad = conv.weight.shape[2]! >> 1;
      return (x, activation) => tf.fused.conv2d({ x, filter, strides, pad, bias, activation });
    });
  const stem = folded(model.conv1, model.bn1, 2);
  const blocks = [model.layer1, model.layer2, model.layer3, model.layer4].flatMap((stage, s) =>
    [...stage].map((block, b) => {
      const stride = s > 0 && b === 0 ? 2 : 1;
      const { conv1, bn1, conv2, bn2, downsample } = block as Block;
      return {
        first: folded(conv1, bn1, stride),
        second: folded(conv2, bn2, 1),
        shortcut: downsample && folded(downsample.at(0) as nn.Conv2d, downsample.at(1) as nn.BatchNorm2d, stride),
      };
    }),
  );
  const [weight, bias] = [tf.transpose(given(model.fc.weight), [1, 0]), given(model.fc.bias!)];
  const input = tf.transpose(tf.tensor(pictures(n), [n, 3, 224, 224]), [0, 2, 3, 1]);
  const result = async () => {
    const logits = tf.tidy(() => {
      let x = tf.maxPool(stem(input, "relu"), 3, 2, 1);
      for (const { first, second, shortcut } of blocks)
        x = tf.relu(tf.add(second(first(x, "relu"), "linear"), shortcut ? shortcut(x, "linear") : x));
      return tf.fused.matMul({ a: tf.mean(x, [1, 2]), b: weight, bias });
    });
    const values = await logits.data();
    logits.dispose();
    return values;
  };
  return { run: async () => void (await result()), result };
}

await serve(({ op, name, params }) => {
  if (op === "inference") return inference(Number(params.n));
  return op === "step" && name === "two_layer" ? twoLayer() : null;
});
