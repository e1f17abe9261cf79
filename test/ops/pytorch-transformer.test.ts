/** @file Multi-head attention and transformers beside PyTorch (fixtures/ops/make_transformer.py). */
import { arange, greater, nn, type Tensor, tensor } from "napier";
import { checkTorch, withParameters } from "../pytorch.js";

const [S, E, H] = [4, 4, 2];
const padding = () => tensor([0, 0, 0, 0, 0, 0, 0, 1], [2, S]).to("bool");
const causalMask = () => greater(arange(S), arange(S).unsqueeze(1));

function take<M extends nn.Module>(module: M, inputs: Tensor[], keys: string[]): [M, Tensor[]] {
  const own = inputs.length - keys.length;
  return [withParameters(module, keys, inputs.slice(own)), inputs.slice(0, own)];
}

checkTorch("transformer", {
  MultiheadAttention: (inputs, options) => {
    const made = new nn.MultiheadAttention(E, H, options.module);
    const [attention, [q, k, v]] = take(made, inputs, options.keys);
    const [y, weights] = attention.forward(q!, options.self ? q! : k!, options.self ? q! : v!, {
      ...options.call,
      keyPaddingMask: options.padding ? padding() : null,
      attnMask: options.causalMask ? causalMask() : null,
    });
    return weights ? [y, weights] : y;
  },
  TransformerEncoderLayer: (inputs, options) => {
    const [layer, [x]] = take(new nn.TransformerEncoderLayer(E, H, options.module), inputs, options.keys);
    return layer.forward(x!, options.call);
  },
  TransformerDecoderLayer: (inputs, options) => {
    const [layer, [x, memory]] = take(new nn.TransformerDecoderLayer(E, H, options.module), inputs, options.keys);
    return layer.forward(x!, memory!, { ...options.call, memoryKeyPaddingMask: padding() });
  },
  Transformer: (inputs, options) => {
    const [net, [src, tgt]] = take(new nn.Transformer(options.module), inputs, options.keys);
    return net.forward(src!, tgt!, options.call);
  },
});
