/** @file Module: what is found, named, switched, saved, loaded, converted, watched. */
import { memory, nn, noGrad, ones, randn, scope, type Tensor, tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";

class Block extends nn.Module {
  conv = new nn.Conv2d(2, 4, 3, { padding: 1, bias: false });
  bn = new nn.BatchNorm2d(4);
  forward(x: Tensor): Tensor {
    return this.bn.forward(this.conv.forward(x)).relu();
  }
}
class Net extends nn.Module {
  scale = new nn.Parameter(ones([1]));
  blocks = new nn.ModuleList([new Block()]);
  head = new nn.Sequential(new nn.AdaptiveAvgPool2d(1), new nn.Flatten(), new nn.Linear(4, 3));
  forward(x: Tensor): Tensor {
    for (const block of this.blocks) x = block.forward(x);
    return this.head.forward(x).mul(this.scale);
  }
}
const KEYS = [
  "scale",
  "blocks.0.conv.weight",
  "blocks.0.bn.weight",
  "blocks.0.bn.bias",
  "blocks.0.bn.running_mean",
  "blocks.0.bn.running_var",
  "blocks.0.bn.num_batches_tracked",
  "head.2.weight",
  "head.2.bias",
];

describe("what a module finds", () => {
  test("parameters and buffers by assignment, nested, under PyTorch's keys", () => {
    const net = new Net();
    expect(Object.keys(net.stateDict())).toEqual(KEYS);
    expect(net.namedParameters().map(([name]) => name)).toEqual(KEYS.filter((key) => !/running|tracked/.test(key)));
    expect(net.namedBuffers().map(([name]) => name)).toEqual(KEYS.filter((key) => /running|tracked/.test(key)));
    expect(net.namedModules().map(([name]) => name)).toEqual([
      "",
      "blocks",
      "blocks.0",
      "blocks.0.conv",
      "blocks.0.bn",
      "head",
      "head.0",
      "head.1",
      "head.2",
    ]);
    expect(net.children().length).toBe(2);
  });

  test("a plain tensor, a null and a number are no parameters", () => {
    class Plain extends nn.Module {
      cached = ones([2]);
      none = null;
      size = 3;
      forward = (x: Tensor): Tensor => x;
    }
    expect(new Plain().stateDict()).toEqual({});
    expect(new Plain().parameters()).toEqual([]);
  });

  test("a parameter assigned later is found, one taken away is not", () => {
    class Late extends nn.Module {
      weight: nn.Parameter | null = null;
      forward = (x: Tensor): Tensor => x;
    }
    const m = new Late();
    expect(m.parameters()).toEqual([]);
    m.weight = new nn.Parameter(zeros([2]));
    expect(m.parameters()).toEqual([m.weight]);
    m.weight = null;
    expect(m.parameters()).toEqual([]);
  });

  test("what two modules share counts once as a parameter and stands twice in the state", () => {
    const [a, b] = [new nn.Linear(3, 3), new nn.Linear(3, 3)];
    b.weight = a.weight;
    const net = new nn.Sequential(a, b, a);
    expect(net.parameters().length).toBe(3);
    expect(Object.keys(net.stateDict())).toEqual(["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"]);
    expect(net.modules().length).toBe(3);
  });

  test("buffers and keys of one's own", () => {
    class Masked extends nn.Module {
      inProj = new nn.Parameter(ones([2]));
      readonly mask!: Tensor;
      readonly scratch!: Tensor;
      constructor() {
        super();
        this.registerKey("inProj", "in_proj_weight");
        this.registerBuffer("mask", zeros([2]));
        this.registerBuffer("scratch", zeros([2]), { persistent: false });
      }
      forward = (x: Tensor): Tensor => x.mul(this.mask);
    }
    const m = new Masked();
    expect(Object.keys(m.stateDict())).toEqual(["in_proj_weight", "mask"]);
    expect(m.buffers()).toEqual([m.mask, m.scratch]);
  });
});

describe("switches", () => {
  test("train and eval reach every module", () => {
    const net = new Net();
    expect(
      net
        .eval()
        .modules()
        .some((m) => m.training),
    ).toBe(false);
    expect(
      net
        .train()
        .modules()
        .every((m) => m.training),
    ).toBe(true);
  });
  test("requiresGrad_ and zeroGrad", () => {
    const net = new Net();
    net
      .forward(randn([2, 2, 4, 4]))
      .sum()
      .backward();
    expect(net.parameters().every((p) => p.grad)).toBe(true);
    net.zeroGrad();
    expect(net.parameters().some((p) => p.grad)).toBe(false);
    net.requiresGrad_(false);
    expect(net.forward(randn([2, 2, 4, 4])).requiresGrad).toBe(false);
    net.requiresGrad_();
    expect(net.forward(randn([2, 2, 4, 4])).requiresGrad).toBe(true);
  });
  test("apply visits the inside first", () => {
    const seen: string[] = [];
    new Block().apply((m) => seen.push(m.constructor.name));
    expect(seen).toEqual(["Conv2d", "BatchNorm2d", "Block"]);
  });
});

describe("state", () => {
  test("loads into another module, bit for bit, and converts dtypes", () => {
    const [a, b] = [new Net(), new Net().to("float64")];
    a.forward(randn([2, 2, 4, 4]));
    const x = randn([1, 2, 4, 4]);
    expect(b.loadStateDict(a.stateDict())).toEqual({ missing: [], unexpected: [], mismatched: [] });
    expect(b.blocks.at(0).bn.numBatchesTracked!.itemSync()).toBe(1);
    const [ya, yb] = [a.eval().forward(x), b.to("float32").eval().forward(x)].map((y) => y.toArraySync());
    expect(yb).toEqual(ya);
  });
  test("the dict shares memory with the module", () => {
    const m = new nn.Linear(2, 1);
    const { weight } = m.stateDict();
    noGrad(() => m.weight.fill_(5));
    expect(weight.toArraySync()).toEqual([[5, 5]]);
    expect(weight.requiresGrad).toBe(false);
  });
  test("strict: every difference is listed and nothing is loaded", () => {
    const m = new nn.Sequential(new nn.Linear(2, 1));
    const before = m
      .at(0)
      .parameters()
      .map((p) => p.toArraySync());
    const state = { "0.weight": ones([1, 3]), "1.weight": ones([2]), "2.bias": ones([]) };
    let message = "";
    try {
      m.loadStateDict(state);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message.split("\n")).toEqual([
      "loadStateDict: the state does not fit Sequential; nothing was loaded. Pass { strict: false } to load what fits.",
      "  missing from the state:",
      "    0.bias [1]",
      "  unexpected in the state:",
      "    1.weight [2]",
      "    2.bias []",
      "  of another shape:",
      "    0.weight: expected [1,2], got [1,3]",
    ]);
    expect(
      m
        .at(0)
        .parameters()
        .map((p) => p.toArraySync()),
    ).toEqual(before);
  });
  test("lenient: what fits is loaded", () => {
    const m = new nn.Linear(2, 1);
    const result = m.loadStateDict({ weight: ones([1, 2]), other: ones([1]) }, { strict: false });
    expect(result).toEqual({ missing: ["bias"], unexpected: ["other"], mismatched: [] });
    expect(m.weight.toArraySync()).toEqual([[1, 1]]);
  });
  test("loading is noticed by a graph that saved the old weight", () => {
    const m = new nn.Linear(2, 1);
    const y = m.forward(ones([1, 2]).requiresGrad_());
    m.loadStateDict(new nn.Linear(2, 1).stateDict());
    expect(() => y.backward()).toThrow(/changed in place since/);
  });
});

describe("to(dtype)", () => {
  test("keeps the parameter objects, their gradients and their place as leaves", () => {
    const m = new nn.Linear(3, 2);
    const { weight } = m;
    m.forward(ones([1, 3]))
      .sum()
      .backward();
    m.to("float64");
    expect(m.weight).toBe(weight);
    expect([weight.dtype, weight.grad!.dtype, weight.isLeaf, weight.requiresGrad]).toEqual([
      "float64",
      "float64",
      true,
      true,
    ]);
    expect(weight.grad!.toArraySync()).toEqual([
      [1, 1, 1],
      [1, 1, 1],
    ]);
    m.forward(ones([1, 3], { dtype: "float64" }))
      .sum()
      .backward();
    expect(weight.grad!.toArraySync()).toEqual([
      [2, 2, 2],
      [2, 2, 2],
    ]);
  });
  test("leaves integers alone, and knows float dtypes only", () => {
    const bn = new nn.BatchNorm1d(2).to("float64");
    expect([bn.runningMean!.dtype, bn.numBatchesTracked!.dtype]).toEqual(["float64", "int64"]);
    expect(() => bn.to("int32")).toThrow(/Module.to: expected float32 or float64, got "int32"/);
  });
});

describe("lifetimes", () => {
  test("a model built in a scope, and stepped in one, lives on", () => {
    const net = scope(() => {
      const net = new Net();
      net
        .forward(randn([2, 2, 4, 4]))
        .sum()
        .backward();
      return { net };
    }).net;
    expect(
      Number.isFinite(
        net
          .eval()
          .forward(randn([1, 2, 4, 4]))
          .sum()
          .itemSync(),
      ),
    ).toBe(true);
    expect(net.parameters().every((p) => p.grad && Number.isFinite(p.grad.sum().itemSync()))).toBe(true);
  });
  test("forward in a scope leaves nothing behind", () => {
    const net = new Net();
    const x = randn([2, 2, 4, 4]);
    scope(() => void net.forward(x));
    const before = memory().tensors;
    for (let i = 0; i < 5; i++) scope(() => void noGrad(() => net.forward(x)));
    expect(memory().tensors).toBe(before);
  });
});

describe("hooks", () => {
  test("see inputs and outputs, may replace them, and can be removed", () => {
    const m = new nn.Linear(2, 2);
    const plain = m.forward(ones([1, 2])).toArraySync();
    const seen: unknown[] = [];
    const removers = [
      m.registerForwardPreHook((_, [x]) => [(x as Tensor).mul(0)]),
      m.registerForwardHook((module, inputs, output) => void seen.push(module, inputs, output)),
      m.registerForwardHook((_, __, output) => (output as Tensor).sub(m.bias!)),
    ];
    expect(m.forward(ones([1, 2])).toArraySync()).toEqual([[0, 0]]);
    expect(seen[0]).toBe(m);
    expect((seen[1] as Tensor[])[0].toArraySync()).toEqual([[0, 0]]);
    for (const remove of removers) remove();
    expect(m.forward(ones([1, 2])).toArraySync()).toEqual(plain);
    expect(Object.hasOwn(m, "forward")).toBe(false);
  });
});

describe("summary", () => {
  test("shapes, parameters, FLOPs, results, receptive fields; the module stays as it was", () => {
    const net = new Net();
    net.head.eval();
    const text = net.summary([2, 2, 8, 8]);
    const rows = text.split("\n").map((line) => line.trim().split(/\s{2,}/));
    const row = (name: string) => rows.find((r) => r[0] === name)!.slice(1);
    expect(row("Net")).toEqual(["[2,3]", "96", "18.48 k", "6.08 KiB", "all"]); // 3 * 2048 + 32 + 2 * 24 bytes
    expect(row("conv: Conv2d")).toEqual(["[2,4,8,8]", "72", "18.43 k", "2.00 KiB", "3"]); // 2 * 2 * 4 * 64 * 2 * 9
    expect(row("2: Linear")).toEqual(["[2,3]", "15", "48", "24 B", "all"]);
    expect(row("blocks: ModuleList")).toEqual(["(not called)", "80", "-", "-", "-"]);
    expect(text).toMatch(/Parameters: 96 \(96 learned\), buffers: 9/);
    expect(net.training && !net.head.training && net.blocks.training).toBe(true);
    expect(net.blocks.at(0).bn.numBatchesTracked!.itemSync()).toBe(0);
    expect(net.modules().some((m) => Object.hasOwn(m, "forward"))).toBe(false);
  });
  test("of inputs that are not one float tensor", () => {
    const net = new nn.Sequential(new nn.Embedding(10, 4), new nn.Linear(4, 2));
    expect(net.summary([tensor([[1, 2, 3]], { dtype: "int32" })])).toMatch(/\[1,3,2\]/);
    expect(() => net.summary([1, 3])).toThrow(/embedding: expected ids of dtype/);
    expect(net.modules().some((m) => Object.hasOwn(m, "forward"))).toBe(false);
  });
});

test("prints as a tree", () => {
  expect(String(new nn.Sequential(new nn.Linear(2, 3, { bias: false }), new nn.ReLU()))).toBe(
    "Sequential(\n  (0): Linear(2, 3, bias: false)\n  (1): ReLU()\n)",
  );
});

describe("containers", () => {
  test("Sequential: iterable, indexed, grows", () => {
    const net = new nn.Sequential(new nn.Linear(2, 3), new nn.ReLU());
    expect([net.length, net.at(-1).constructor.name]).toEqual([2, "ReLU"]);
    net.append(new nn.Linear(3, 1)).set(1, new nn.Tanh());
    expect([...net].map((m) => m.constructor.name)).toEqual(["Linear", "Tanh", "Linear"]);
    expect([...net.forward(ones([4, 2])).shape]).toEqual([4, 1]);
    expect(() => net.at(3)).toThrow(/Sequential: expected an index from -3 to 2, got 3/);
    expect(() => new nn.Sequential(3 as never)).toThrow(/Sequential: expected modules, got number/);
  });
  test("ModuleList has no forward", () => {
    expect(() => new nn.ModuleList([new nn.ReLU()]).forward()).toThrow(/call its modules, or use Sequential/);
  });
});
