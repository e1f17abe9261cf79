/** napier's side of bench/attention.ts. */
import { grad, randn, scaledDotProductAttention } from "napier";
import type { Case } from "../cases.js";

/** What a run of the case does. */
export function attentionOp({ op, params }: Case): () => unknown {
  const { n, heads, t, s, d, causal } = params as { [name: string]: number } & { causal: boolean };
  const inputs = [t, s, s].map((length) => randn([n!, heads!, length!, d!]));
  const forward = () => scaledDotProductAttention(inputs[0]!, inputs[1]!, inputs[2]!, { causal });
  if (!op.endsWith("+backward")) return forward;
  for (const x of inputs) x.requiresGrad_();
  const dy = randn(inputs[0]!.shape);
  return () => grad(forward(), inputs, { gradOutputs: [dy] });
}
