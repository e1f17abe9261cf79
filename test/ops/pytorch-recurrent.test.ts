/** @file Recurrent layers and cells beside PyTorch (fixtures/ops/make_recurrent.py). */
import { nn, type Tensor } from "napier";
import { checkTorch, withParameters } from "../pytorch.js";

const [IN, SIZE] = [3, 2];
type Options = { keys: string[]; lengths?: number[]; size?: number };

/** The module on the hashed parameters, and what is left of the inputs. */
function take<M extends nn.Module>(module: M, inputs: Tensor[], { keys }: Options): [M, Tensor[]] {
  const own = inputs.length - keys.length;
  return [withParameters(module, keys, inputs.slice(own)), inputs.slice(0, own)];
}

checkTorch("recurrent", {
  RNN: (inputs, { lengths, ...options }) => {
    const [rnn, [x, h]] = take(new nn.RNN(IN, SIZE, options), inputs, options);
    return rnn.forward(x!, h, { lengths });
  },
  LSTM: (inputs, { lengths, size = SIZE, ...options }) => {
    const [lstm, [x, h, c]] = take(new nn.LSTM(IN, size, options), inputs, options);
    const [y, state] = lstm.forward(x!, [h, c], { lengths });
    return [y, ...state];
  },
  GRU: (inputs, { lengths, ...options }) => {
    const [gru, [x, h]] = take(new nn.GRU(IN, SIZE, options), inputs, options);
    return gru.forward(x!, h, { lengths });
  },
  RNNCell: (inputs, options) => {
    const [cell, [x, h]] = take(new nn.RNNCell(IN, SIZE, options), inputs, options);
    return cell.forward(x!, h);
  },
  LSTMCell: (inputs, options) => {
    const [cell, [x, h, c]] = take(new nn.LSTMCell(IN, SIZE, options), inputs, options);
    return cell.forward(x!, [h, c]);
  },
  GRUCell: (inputs, options) => {
    const [cell, [x, h]] = take(new nn.GRUCell(IN, SIZE, options), inputs, options);
    return cell.forward(x!, h);
  },
});
