/** @file countParameters(): shared parameters once, frozen ones by the option, buffers never. */
import { models, nn, shapesOnly } from "napier";
import { expect, test } from "vitest";

class Tied extends nn.Module {
  readonly one = new nn.Linear(4, 3);
  readonly two = new nn.Linear(4, 3);
  readonly norm = new nn.BatchNorm1d(3); // running statistics are buffers
  constructor() {
    super();
    this.two.weight = this.one.weight;
  }
  forward(): null {
    return null;
  }
}

test("of a module and of parameters", () => {
  const net = new Tied();
  expect(nn.countParameters(net)).toBe(12 + 3 + 3 + 6);
  expect(nn.countParameters([net.one.weight, net.two.weight, net.one.bias!])).toBe(15);
  expect(nn.countParameters(new nn.ReLU())).toBe(0);
  net.one.weight.requiresGrad_(false);
  expect(nn.countParameters(net, { learned: true })).toBe(12);
  expect(nn.countParameters(net)).toBe(24);
});

test("of shapes alone, as torchvision counts", () => {
  expect(shapesOnly(() => nn.countParameters(models.create("resnet50")))).toBe(25_557_032);
});
