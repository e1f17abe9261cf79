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
