/** nn.foldBatchNorm: the model's values with fewer passes, and what it leaves alone. */
import { capture, grad, manualSeed, nn, noGrad, ones, profile, randn, type Tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";

manualSeed(0);

/** Statistics and weights as after training, in evaluation mode. */
function trained<M extends nn.Module>(model: M): M {
  noGrad(() => {
    for (const m of model.modules()) {
      if (!(m instanceof nn.BatchNorm1d || m instanceof nn.BatchNorm2d || m instanceof nn.BatchNorm3d)) continue;
      const c = m.numFeatures;
      m.runningMean?.copy_(randn([c]));
      m.runningVar?.copy_(randn([c]).square().add(0.3));
      m.weight?.copy_(randn([c]));
      m.bias?.copy_(randn([c]));
    }
  });
  return model.eval();
}
const error = (a: Tensor, b: Tensor): number => a.sub(b).abs().amax().itemSync();
const names = (folded: readonly nn.FoldedNorm[]) => folded.map(({ layer, norm, relu }) => [layer, norm, relu]);

/** A residual block; `fused` hands relu and the shortcut to the normalisation. */
class Block extends nn.Module {
  conv1 = new nn.Conv2d(4, 6, 3, { padding: 1, stride: 2, bias: false });
  bn1 = new nn.BatchNorm2d(6);
  conv2 = new nn.Conv2d(6, 6, 3, { padding: 1, groups: 2 });
  bn2 = new nn.BatchNorm2d(6);
  downsample = new nn.Sequential(new nn.Conv2d(4, 6, 1, { stride: 2 }), new nn.BatchNorm2d(6, { affine: false }));
  constructor(readonly fused: boolean) {
    super();
  }
  forward(x: Tensor): Tensor {
    const residual = this.downsample.forward(x);
    if (this.fused) {
      const h = this.bn1.forward(this.conv1.forward(x), { activation: "relu" });
      return this.bn2.forward(this.conv2.forward(h), { residual, activation: "relu" });
    }
    const h = this.bn1.forward(this.conv1.forward(x)).relu();
    return this.bn2.forward(this.conv2.forward(h)).add(residual).relu();
  }
}

describe.each([true, false])("a residual block, its tail in the normalisation: %s", (fused) => {
  const block = trained(new Block(fused));
  const predict = nn.foldBatchNorm(block, zeros([1, 4, 8, 8]));
  const x = randn([3, 4, 8, 8]);

  test("has the block's values", () => {
    expect(names(predict.folded)).toEqual([
      ["downsample.0", "downsample.1", null],
      ["conv1", "bn1", null],
      ["conv2", "bn2", null],
    ]);
    expect(
      error(
        noGrad(() => predict(x)),
        block.forward(x),
      ),
    ).toBeLessThan(1e-5);
  });

  test("leaves the block as it was", () => {
    const [state, before] = [block.stateDict(), block.forward(x).dataSync()];
    noGrad(() => predict(x));
    expect(Object.keys(block.stateDict())).toEqual(Object.keys(state));
    expect(block.conv1.bias).toBeNull();
    expect(Object.hasOwn(block.bn1, "forward")).toBe(false);
    expect(block.forward(x).dataSync()).toEqual(before);
  });

  test("gradients of x go through it", () => {
    const [a, b] = [x.clone().requiresGrad_(), x.clone().requiresGrad_()];
    const [da] = grad(predict(a).square().sum(), [a]);
    const [db] = grad(block.forward(b).square().sum(), [b]);
    expect(error(da!, db!)).toBeLessThan(1e-3);
  });

  test("can be captured", async () => {
    const step = capture((x: Tensor) => noGrad(() => predict(x)), { warmup: 0 });
    for (let i = 0; i < 2; i++) expect(error(await step(x), block.forward(x))).toBeLessThan(1e-5);
    expect(step.ops).not.toContain("batchNormInfer");
  });
});

test("a ReLU module behind it runs in place, of any layer and dtype", () => {
  const model = trained(
    new nn.Sequential(
      new nn.Conv1d(3, 5, 3, { dtype: "float64" }),
      new nn.BatchNorm1d(5, { dtype: "float64" }),
      new nn.ReLU(),
      new nn.Unflatten(2, [2, 2, 2]),
      new nn.Conv3d(5, 4, 2, { dtype: "float64" }),
      new nn.BatchNorm3d(4, { dtype: "float64" }),
      new nn.Flatten(),
      new nn.Linear(4, 3, { dtype: "float64", bias: false }),
      new nn.BatchNorm1d(3, { dtype: "float64" }),
      new nn.ReLU(),
    ),
  );
  const x = randn([4, 3, 10], { dtype: "float64" });
  const predict = nn.foldBatchNorm(model, x);
  expect(names(predict.folded)).toEqual([
    ["0", "1", "2"],
    ["4", "5", null],
    ["7", "8", "9"],
  ]);
  expect(
    error(
      noGrad(() => predict(x)),
      model.forward(x),
    ),
  ).toBeLessThan(1e-12);
});

test("the folded model runs fewer kernels", async () => {
  const model = trained(new nn.Sequential(new nn.Conv2d(2, 3, 3), new nn.BatchNorm2d(3), new nn.ReLU()));
  const x = randn([1, 2, 5, 5]);
  const predict = nn.foldBatchNorm(model, x);
  const ops = (await profile(() => noGrad(() => predict(x)))).ops.map(({ op }) => op);
  expect(ops.sort()).toEqual(["conv2d"]);
});

describe("what is not folded", () => {
  const conv = () => new nn.Conv2d(2, 2, 1);
  const x = randn([2, 2, 4, 4]);
  class Net extends nn.Module {
    conv = conv();
    norm: nn.BatchNorm2d = new nn.BatchNorm2d(2);
    relu = new nn.ReLU();
    kept: Tensor | null = null;
    constructor(readonly run: (net: Net, x: Tensor) => Tensor | Tensor[]) {
      super();
    }
    forward(x: Tensor): Tensor | Tensor[] {
      return this.run(this, x);
    }
  }
  const cases: Record<string, (net: Net, x: Tensor) => Tensor | Tensor[]> = {
    "a layer whose output somebody else uses": ({ conv, norm }, x) => {
      const h = conv.forward(x);
      return norm.forward(h).add(h);
    },
    "a layer whose output is added behind": ({ conv, norm }, x) => {
      const h = conv.forward(x);
      return norm.forward(h, { residual: h });
    },
    "a layer whose output is a result": ({ conv, norm }, x) => {
      const h = conv.forward(x);
      return [h, norm.forward(h)];
    },
    "a layer that runs twice": ({ conv, norm }, x) => norm.forward(conv.forward(conv.forward(x))),
    "a normalisation that runs twice": ({ conv, norm }, x) => norm.forward(norm.forward(conv.forward(x))),
    "a normalisation behind something else": ({ conv, norm }, x) => norm.forward(conv.forward(x).relu()),
  };
  test.each(Object.entries(cases))("%s", (_, run) => {
    const net = trained(new Net(run));
    const predict = nn.foldBatchNorm(net, x);
    expect(predict.folded).toEqual([]);
    const [got, want] = [noGrad(() => predict(x)), net.forward(x)].map((y) => (Array.isArray(y) ? y[1]! : y));
    expect(got!.dataSync()).toEqual(want!.dataSync());
  });

  test("a ReLU that is not alone behind it", () => {
    const net = trained(
      new Net(({ conv, norm, relu }, x) => {
        const h = norm.forward(conv.forward(x));
        return relu.forward(h).add(h);
      }),
    );
    const predict = nn.foldBatchNorm(net, x);
    expect(names(predict.folded)).toEqual([["conv", "norm", null]]);
    expect(error(noGrad(() => predict(x)) as Tensor, net.forward(x) as Tensor)).toBeLessThan(1e-5);
  });

  test("normalisations by the batch's statistics, modules with hooks, subclasses, computed weights", () => {
    class Own extends nn.Conv2d {}
    const hooked = new nn.BatchNorm2d(2);
    const model = trained(
      new nn.Sequential(
        conv(),
        new nn.BatchNorm2d(2, { trackRunningStats: false }),
        conv(),
        hooked,
        new Own(2, 2, 1),
        new nn.BatchNorm2d(2),
        nn.weightNorm(conv()),
        new nn.BatchNorm2d(2),
      ),
    );
    hooked.registerForwardHook(() => undefined);
    expect(nn.foldBatchNorm(model, x).folded).toEqual([]);
  });

  test("channels that are not the features of a Linear", () => {
    const model = trained(new nn.Sequential(new nn.Linear(5, 3), new nn.BatchNorm1d(3)));
    expect(nn.foldBatchNorm(model, randn([2, 3, 5])).folded).toEqual([]);
    expect(nn.foldBatchNorm(model, randn([2, 5])).folded).toHaveLength(1);
  });
});

describe("errors", () => {
  const make = () => trained(new nn.Sequential(new nn.Conv2d(2, 3, 1), new nn.BatchNorm2d(3)));
  const x = ones([1, 2, 4, 4]);

  test("training mode, at once and later", () => {
    const model = make().train();
    expect(() => nn.foldBatchNorm(model, x)).toThrow(
      "foldBatchNorm: expected a model in evaluation mode (call model.eval()), got the model (Sequential) in training mode",
    );
    const predict = nn.foldBatchNorm(model.eval(), x);
    model.train();
    expect(() => predict(x)).toThrow("got 1 (BatchNorm2d) in training mode");
  });

  test("a change of what was folded", () => {
    const model = make();
    const predict = nn.foldBatchNorm(model, x);
    noGrad(() => (model.at(0) as nn.Conv2d).weight.add_(1));
    expect(() => predict(x)).toThrow(
      "foldBatchNorm: a tensor [3,2,1,1] of 0 or 1 has changed since they were folded; fold the model anew",
    );
    const again = nn.foldBatchNorm(model, x);
    const remove = model.at(1).registerForwardHook(() => undefined);
    expect(() => again(x)).toThrow("foldBatchNorm: a hook of 0 or 1 has changed");
    remove();
    expect(
      error(
        noGrad(() => again(x)),
        model.forward(x),
      ),
    ).toBeLessThan(1e-5);
  });

  test("one in the model's forward leaves the model as it was", () => {
    const model = make();
    const predict = nn.foldBatchNorm(model, x);
    const before = model.forward(x).dataSync();
    expect(() => predict(ones([1, 5, 4, 4]))).toThrow("conv2d");
    expect(model.forward(x).dataSync()).toEqual(before);
  });
});
