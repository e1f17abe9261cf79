/**
 * A small problem that the tests of training share: points in a plane, whose label says which of three directions is nearest.
 */
import { data, nn, optim, randn, tensor, train } from "napier";

export function points(n: number): data.TensorDataset {
  const x = randn([n, 2]);
  const directions = tensor([
    [1, -0.5, -0.5],
    [0, 0.87, -0.87],
  ]);
  return new data.TensorDataset([x, x.matmul(directions).argmax(1)]);
}

export const network = () => new nn.Sequential(new nn.Linear(2, 16), new nn.ReLU(), new nn.Linear(16, 3));

export function setup({
  n = 96,
  batchSize = 16,
  lr = 0.05,
  model: given,
  ...options
}: Partial<train.TrainerOptions> & { n?: number; batchSize?: number; lr?: number; model?: train.Model } = {}) {
  const loader = new data.DataLoader(points(n), { batchSize, shuffle: true, seed: 1 });
  const validation = new data.DataLoader(points(60), { batchSize: 25 });
  const model = given ?? network();
  const optimizer = new optim.SGD(model.parameters(), { lr, momentum: 0.9 });
  const trainer = new train.Trainer(model, { optimizer, loss: nn.crossEntropy, metrics: ["accuracy"], ...options });
  return { loader, validation, model, optimizer, trainer };
}

export const weights = async (model: nn.Module): Promise<number[]> => {
  const all = await Promise.all(model.parameters().map((p) => p.data()));
  return all.flatMap((a) => [...a]);
};
