// Objectives of test/tune/search.test.ts, run in processes of their own.
import { rand } from "napier";

export async function objective({ x }, { report }) {
  for (let epoch = 1; epoch <= 9; epoch++) if (!(await report(epoch, x * epoch))) return x * epoch;
  return x * 9;
}
export const drawn = () => rand([1]).dataSync()[0];
export const throws = () => {
  throw new Error("no such luck");
};
export const dies = () => process.exit(3);
/** Loss x / epoch; x = 0 diverges at the second epoch, and answers a number all the same. */
export async function diverges({ x }, { report }) {
  for (let epoch = 1; epoch <= 3; epoch++)
    if (!(await report(epoch, x === 0 && epoch === 2 ? Number.NaN : x / epoch))) break;
  return x / 3;
}
export const answers = ({ x }) => x;
export const wrongStep = async (_, { report }) => (await report(0, 1)) ? 1 : 0;
/** Names its fold and its parameters in its score. */
export const fold = ({ number, train, validation, parameters }) => {
  if (!(train instanceof Int32Array)) throw new TypeError("indices that are none");
  return parameters.scale * (100 * number + validation.length) + validation.reduce((a, b) => a + b, 0) / 1000;
};
