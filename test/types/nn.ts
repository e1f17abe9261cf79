/** @file Modules, layers, state dicts and hooks. */
import { io, models, nn, type Tensor, zeros } from "napier";
import { asserts, type Equal, type Expect } from "./equal.js";

class Siamese extends nn.Module {
  readonly body = new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU());
  readonly scale = new nn.Parameter(zeros([1]));

  forward(a: Tensor, b: Tensor): { distance: Tensor; both: [Tensor, Tensor] } {
    const both: [Tensor, Tensor] = [this.body.forward(a), this.body.forward(b)];
    return { distance: both[0].sub(both[1]).mul(this.scale), both };
  }
}

export async function right(x: Tensor) {
  const model = new Siamese();
  const { distance, both } = model.forward(x, x);
  const sequence = new nn.Sequential(
    new nn.Conv2d(3, 8, [3, 1], { padding: "same" }),
    new nn.BatchNorm2d(8),
    model.body,
  );
  const [y, state] = new nn.LSTM(4, 8, { numLayers: 2 }).forward(x);
  const list = new nn.ModuleList([new nn.Linear(2, 2), new nn.Linear(2, 2)]);
  const [attended, weights] = new nn.MultiheadAttention(8, 2).forward(x, x, x);
  const linear = nn.weightNorm(new nn.Linear(2, 2));
  const result = model.loadStateDict(await io.load("model.safetensors"), { strict: false });
  const remove = model.registerForwardHook((module, inputs, output) => {
    asserts<[Expect<Equal<typeof module, nn.Module>>, Expect<Equal<typeof inputs, readonly unknown[]>>]>();
    return output;
  });
  const initialised = nn.init.kaimingNormal_(model.scale, { nonlinearity: "relu" });
  const made = models.create("mlp", { classes: 3 });
  const vit = models.create("vit_tiny", { imageSize: 32, patch: 4, depth: 2 });
  const any = models.create("mlp" as models.ModelName, { classes: 3, inChannels: 1 });
  asserts<
    [
      Expect<Equal<typeof distance, Tensor>>,
      Expect<Equal<typeof both, [Tensor, Tensor]>>,
      Expect<Equal<ReturnType<typeof sequence.forward>, Tensor>>,
      Expect<Equal<typeof y, Tensor>>,
      Expect<Equal<typeof state, [h: Tensor, c: Tensor]>>,
      Expect<Equal<ReturnType<typeof list.at>, nn.Linear>>,
      Expect<Equal<typeof attended, Tensor>>,
      Expect<Equal<typeof weights, Tensor | null>>,
      Expect<Equal<typeof linear, nn.Linear>>,
      Expect<Equal<typeof linear.bias, nn.Parameter | null>>,
      Expect<Equal<typeof result.missing, string[]>>,
      Expect<Equal<typeof remove, () => void>>,
      Expect<Equal<typeof initialised, nn.Parameter>>,
      Expect<Equal<ReturnType<typeof model.train>, Siamese>>,
      Expect<Equal<ReturnType<typeof model.namedParameters>, [string, nn.Parameter][]>>,
      Expect<Equal<ReturnType<typeof model.stateDict>, Record<string, Tensor>>>,
      Expect<Equal<typeof made, models.MLP>>,
      Expect<Equal<typeof vit, models.VisionTransformer>>,
      Expect<Equal<ReturnType<typeof any.forward>, Tensor>>,
      Expect<Equal<models.OptionsOf<"densenet121">, Omit<models.DenseNetOptions, "blocks">>>,
    ]
  >();
}

// @ts-expect-error: a module has a forward
export class Forgetful extends nn.Module {
  readonly fc = new nn.Linear(2, 2);
}

export async function wrong(x: Tensor, some: nn.Module) {
  // @ts-expect-error: widths are numbers
  new nn.Linear("4", 8);
  // @ts-expect-error: the output width is missing
  new nn.Linear(4);
  // @ts-expect-error: a bias is an option
  new nn.Linear(4, 8, false);
  // @ts-expect-error: misspelt
  new nn.Linear(4, 8, { biased: false });
  // @ts-expect-error: the kernel's size is missing
  new nn.Conv2d(3, 8);
  // @ts-expect-error: misspelt
  new nn.Conv2d(3, 8, 3, { pad: 1 });
  // @ts-expect-error: one direction
  new nn.Conv1d(3, 8, [3, 3]);
  // @ts-expect-error: PyTorch's name
  new nn.BatchNorm2d(8, { track_running_stats: false });
  // @ts-expect-error: a probability
  new nn.Dropout({ p: 0.5 });
  // @ts-expect-error: both are needed
  new nn.Threshold(1);
  // @ts-expect-error: relu or tanh
  new nn.RNN(4, 8, { nonlinearity: "sigmoid" });
  // @ts-expect-error: the reduction is an option
  new nn.CrossEntropyLoss("sum");
  // @ts-expect-error: no loss but kl has it
  new nn.MSELoss({ reduction: "batchmean" });
  // @ts-expect-error: a kernel's size, not a tensor
  new nn.MaxPool2d(x);
  // @ts-expect-error: sequences hold modules
  new nn.Sequential((x: Tensor) => x.relu());
  // @ts-expect-error: made ones, not classes
  new nn.Sequential(nn.ReLU);
  // @ts-expect-error: layers, not a list of them
  new nn.Sequential([new nn.ReLU()]);
  // @ts-expect-error: an LSTM gives more than a tensor
  new nn.Sequential(new nn.LSTM(4, 8), new nn.Linear(8, 2));
  // @ts-expect-error: attention takes three tensors
  new nn.Sequential(new nn.MultiheadAttention(8, 2));
  // @ts-expect-error: so does a loss take two
  new nn.Sequential(new nn.Linear(4, 2), new nn.MSELoss());
  // @ts-expect-error: as does a module of one's own
  new nn.Sequential(new Siamese());
  // @ts-expect-error: the second input is missing
  new Siamese().forward(x);
  // @ts-expect-error: a layer takes tensors
  new nn.Linear(2, 2).forward([1, 2]);
  // @ts-expect-error: modules are not called
  new nn.Linear(2, 2)(x);
  // @ts-expect-error: a list is no layer
  new nn.ModuleList([new nn.ReLU()]).forward(x);
  // @ts-expect-error: what a module takes is not known of any
  some.forward(x);
  // @ts-expect-error: a parameter is made of a tensor
  new nn.Parameter([1, 2]);
  // @ts-expect-error: a tensor is no parameter
  new nn.Linear(2, 2).weight = x;
  // @ts-expect-error: nor are arrays tensors
  some.loadStateDict({ weight: [1, 2] });
  // @ts-expect-error: misspelt
  some.loadStateDict({}, { strickt: false });
  // @ts-expect-error: a model is no state dict
  io.save("model.safetensors", some);
  // @ts-expect-error: a promise is none either
  some.loadStateDict(io.load("model.safetensors"));
  // @ts-expect-error: a buffer is a tensor or null
  some.registerBuffer("mean", 0);
  // @ts-expect-error: no such dtype
  some.to("half");
  // @ts-expect-error: describe() is for modules themselves
  some.describe();
  // @ts-expect-error: no such nonlinearity
  nn.init.kaimingNormal_(x, { nonlinearity: "rleu" });
  // @ts-expect-error: one axis or several, not a text
  new nn.LayerNorm("features");
  // @ts-expect-error: how to make a layer, not a layer
  new nn.TransformerEncoder(new nn.TransformerEncoderLayer(8, 2), 3);
  // @ts-expect-error: no such model
  models.create("mpl");
  // @ts-expect-error: misspelt
  models.create("mlp", { numClasses: 10 });
  // @ts-expect-error: another model's option
  models.create("convnet", { patch: 4 });
  // @ts-expect-error: the width makes the name
  models.create("vit_tiny", { dim: 8 });
  // @ts-expect-error: only the MLP has hidden units
  new models.ConvNet({ hidden: 10 });
}
