/** @file Optimizers, schedules, data sets and loaders, trainers: from the files to the weights. */
import { data, models, nn, optim, type Tensor, tensor, train } from "napier";
import { asserts, type Equal, type Expect } from "./equal.js";

export async function right(signal: AbortSignal) {
  const { train: pictures, test, normalize } = await data.glyphs({ train: 100, test: 20 });
  const loader = new data.DataLoader(pictures, {
    batchSize: 32,
    shuffle: true,
    transform: new data.Compose([new data.RandomHorizontalFlip(), normalize]),
    mix: new data.MixUp({ classes: 10 }),
  });
  const pairs = new data.ExampleDataset(3, (i) => [i, tensor([i, i])]);
  const stream = new data.IterableDataset(async function* () {
    yield [tensor([1, 2]), 3];
  });
  const [first, rest] = data.randomSplit(pairs, [2, 1]);
  for await (const batch of new data.DataLoader(stream)) {
    asserts<[Expect<Equal<typeof batch, Tensor[]>>]>();
  }

  const model = models.create("mlp");
  const optimizer = new optim.AdamW([
    { params: model.parameters(), lr: 1e-3, betas: [0.9, 0.99] },
    { params: [new nn.Parameter(tensor([1]))], weightDecay: 0 },
  ]);
  const schedule = new optim.LinearWarmup(new optim.CosineAnnealingLR(optimizer, { tMax: 10 }), { steps: 2 });
  const ema = new optim.EMA(model, { decay: 0.99 });
  const trainer = new train.Trainer(model, {
    optimizer,
    schedule,
    ema,
    // What the model gives and the loader's second field, both tensors.
    loss: (output, target) => {
      asserts<[Expect<Equal<typeof output, Tensor>>, Expect<Equal<typeof target, Tensor>>]>();
      return output.crossEntropy(target, { labelSmoothing: 0.1 });
    },
    metrics: ["accuracy", { name: "sum", measure: (output, target) => ({ sum: output.sub(target).sum(), count: 1 }) }],
  });
  const run = trainer.fit(loader, {
    epochs: 2,
    validation: new data.DataLoader(test),
    earlyStopping: { patience: 2 },
    signal,
    callbacks: [
      (event) => {
        if (event.type === "validation") {
          asserts<[Expect<Equal<typeof event, train.ValidationEvent>>, Expect<Equal<typeof event.best, boolean>>]>();
        }
      },
    ],
  });
  for await (const event of run) {
    asserts<[Expect<Equal<typeof event, train.TrainEvent>>]>();
  }
  const result = await run;
  const { scores } = await trainer.evaluate(loader);
  const predicted = await trainer.predict(new data.DataLoader(test));
  optimizer.loadStateDict(optimizer.stateDict());
  loader.loadStateDict(loader.stateDict());
  schedule.loadStateDict(schedule.stateDict());
  ema.loadStateDict(ema.stateDict());
  asserts<
    [
      Expect<Equal<typeof first, data.Subset>>,
      Expect<Equal<typeof rest, data.Subset>>,
      Expect<Equal<typeof pictures, data.TensorDataset>>,
      Expect<Equal<typeof normalize, data.Normalize>>,
      Expect<Equal<(typeof optimizer.paramGroups)[number]["betas"], readonly [number, number]>>,
      Expect<Equal<typeof result, train.FitResult>>,
      Expect<Equal<typeof scores, train.Scores>>,
      Expect<Equal<typeof predicted, Tensor>>,
    ]
  >();
}

export function wrongOptimizers(model: models.MLP, x: Tensor) {
  const adam = new optim.Adam(model.parameters());
  // @ts-expect-error: parameters, not the model
  new optim.Adam(model);
  // @ts-expect-error: parameters without their names
  new optim.Adam(model.namedParameters());
  // @ts-expect-error: not the method itself
  new optim.Adam(model.parameters);
  // @ts-expect-error: a list, even of one
  new optim.Adam(x);
  // @ts-expect-error: the rate is an option
  new optim.SGD(model.parameters(), 0.1);
  // @ts-expect-error: misspelt
  new optim.SGD(model.parameters(), { learningRate: 0.1 });
  // @ts-expect-error: PyTorch's name
  new optim.SGD(model.parameters(), { lr: 0.1, weight_decay: 1e-4 });
  // @ts-expect-error: Adam has no momentum
  new optim.Adam(model.parameters(), { momentum: 0.9 });
  // @ts-expect-error: two of them
  new optim.Adam(model.parameters(), { betas: 0.9 });
  // @ts-expect-error: misspelt in a group
  new optim.SGD([{ params: model.parameters(), momentun: 0.9 }]);
  // @ts-expect-error: a group has parameters
  new optim.SGD([{ lr: 0.1 }]);
  // @ts-expect-error: groups have what the optimizer has
  adam.paramGroups[0].momentum;
  // @ts-expect-error: step() takes no closure (LBFGS does)
  adam.step(() => x);
  // @ts-expect-error: a model's state is none of an optimizer
  adam.loadStateDict(model.stateDict());
  // @ts-expect-error: a schedule is of an optimizer
  new optim.StepLR(model, { stepSize: 1 });
  // @ts-expect-error: when to step is needed
  new optim.StepLR(adam);
  // @ts-expect-error: PyTorch's name
  new optim.CosineAnnealingLR(adam, { T_max: 10 });
  // @ts-expect-error: milestones are numbers
  new optim.MultiStepLR(adam, { milestones: "30,60" });
  // @ts-expect-error: a function of the step
  new optim.LambdaLR(adam, 0.9);
  // @ts-expect-error: no such strategy
  new optim.OneCycleLR(adam, { maxLr: 0.1, totalSteps: 10, annealStrategy: "exp" });
  // @ts-expect-error: an average is of a model
  new optim.EMA(model.parameters());
  // @ts-expect-error: misspelt
  new optim.EMA(model, { decy: 0.99 });
  // @ts-expect-error: the norm is needed
  optim.clipGradNorm(model.parameters());
  // @ts-expect-error: gradients of parameters, not of the model
  optim.clipGradNorm(model, 1);
}

export function wrongData(set: data.TensorDataset, x: Tensor) {
  // @ts-expect-error: a list of tensors
  new data.TensorDataset(x);
  // @ts-expect-error: of tensors
  new data.TensorDataset([x, [1, 2]]);
  // @ts-expect-error: a data set, not its tensors
  new data.DataLoader([x, x]);
  // @ts-expect-error: the batch size is an option
  new data.DataLoader(set, 32);
  // @ts-expect-error: misspelt
  new data.DataLoader(set, { batch: 32 });
  // @ts-expect-error: PyTorch's name
  new data.DataLoader(set, { num_workers: 2 });
  // @ts-expect-error: a URL, not a path
  new data.DataLoader("./mine.js");
  // @ts-expect-error: one transform; Compose joins several
  new data.DataLoader(set, { transform: [new data.RandomHorizontalFlip()] });
  // @ts-expect-error: a mix is no transform of pictures alone
  new data.DataLoader(set, { transform: new data.MixUp({ classes: 10 }) });
  // @ts-expect-error: nor the reverse
  new data.DataLoader(set, { mix: new data.RandomHorizontalFlip() });
  // @ts-expect-error: the number of classes is needed
  new data.MixUp();
  // @ts-expect-error: a list
  new data.Compose(new data.RandomHorizontalFlip());
  // @ts-expect-error: fields are tensors or numbers
  new data.ExampleDataset(3, () => ["a picture"]);
  // @ts-expect-error: batches are awaited
  [...new data.DataLoader(set)];
  // @ts-expect-error: parts are numbers
  data.randomSplit(set, { train: 0.8 });
  // @ts-expect-error: which of how many is needed
  new data.DistributedSampler(10, { rank: 0 });
  // @ts-expect-error: a standard deviation is needed
  new data.Normalize(0.5);
  // @ts-expect-error: no such labels
  data.cifar100(undefined, { labels: "rough" });
  // @ts-expect-error: misspelt
  data.mnist(undefined, { downlod: true });
  // @ts-expect-error: batch() of what is no data set
  new data.Subset(x, [0]);
}

export function wrongTrainers(model: models.MLP, optimizer: optim.Adam, loader: data.DataLoader, x: Tensor) {
  const loss = (output: Tensor, target: Tensor) => output.crossEntropy(target);
  const trainer = new train.Trainer(model, { optimizer, loss });
  // @ts-expect-error: options are needed
  new train.Trainer(model);
  // @ts-expect-error: so is the loss
  new train.Trainer(model, { optimizer });
  // @ts-expect-error: an optimizer that was made
  new train.Trainer(model, { optimizer: optim.Adam, loss });
  // @ts-expect-error: a function, not a module
  new train.Trainer(model, { optimizer, loss: new nn.CrossEntropyLoss() });
  // @ts-expect-error: that gives a tensor
  new train.Trainer(model, { optimizer, loss: (output) => output.mean().itemSync() });
  // @ts-expect-error: now, not a promise of one
  new train.Trainer(model, { optimizer, loss: async (output, target) => output.mse(target) });
  // @ts-expect-error: of two tensors
  new train.Trainer(model, { optimizer, loss: (output: Tensor, target: number) => output.sub(target) });
  // @ts-expect-error: models give a tensor, an LSTM more
  new train.Trainer(new nn.LSTM(4, 8), { optimizer, loss });
  // @ts-expect-error: no metric's name
  new train.Trainer(model, { optimizer, loss, metrics: ["accurcy"] });
  // @ts-expect-error: a list
  new train.Trainer(model, { optimizer, loss, metrics: "accuracy" });
  // @ts-expect-error: a schedule, not a function
  new train.Trainer(model, { optimizer, loss, schedule: (step: number) => 1 / step });
  // @ts-expect-error: no such rhythm
  new train.Trainer(model, { optimizer, loss, scheduleEvery: "batch" });
  // @ts-expect-error: misspelt
  new train.Trainer(model, { optimizer, loss, clipnorm: 1 });
  // @ts-expect-error: a loader, not a data set
  trainer.fit(loader.dataset, { epochs: 1 });
  // @ts-expect-error: nor a tensor
  trainer.fit(x, { epochs: 1 });
  // @ts-expect-error: how long is needed
  trainer.fit(loader);
  // @ts-expect-error: the number of epochs is an option
  trainer.fit(loader, 5);
  // @ts-expect-error: misspelt
  trainer.fit(loader, { epoch: 5 });
  // @ts-expect-error: no such moment
  trainer.fit(loader, { epochs: 1, checkpoint: "step" });
  // @ts-expect-error: a list of callbacks
  trainer.fit(loader, { epochs: 1, callbacks: (event: train.TrainEvent) => event });
  // @ts-expect-error: every event comes, not only the ends
  trainer.fit(loader, { epochs: 1, callbacks: [(event: train.EndEvent) => event.reason] });
  // @ts-expect-error: no such event
  trainer.fit(loader, { epochs: 1, callbacks: [(event) => event.type === "batch"] });
  // @ts-expect-error: not every event has scores
  trainer.fit(loader, { epochs: 1, callbacks: [(event) => event.scores] });
  // @ts-expect-error: a controller's signal, not the controller
  trainer.fit(loader, { epochs: 1, signal: new AbortController() });
  // @ts-expect-error: a run is awaited
  trainer.fit(loader, { epochs: 1 }).steps;
}
