/** napier's side of bench/memory.ts. */
import { crossEntropy, fuse, grad, groupNorm, nn, optim, rand, type Tensor, tensor } from "napier";
import type { Case } from "../cases.js";
import { RESNET18 } from "../memory.js";

const chain = fuse((x) => x.mul(1.5).add(0.5).relu().mul(x).sub(0.25).square());

/** What a run of the case does, or null where it is not one of these. */
export function memoryOp({ op, params }: Case): (() => unknown) | null {
  const p = params as Record<string, number>;
  const shape = p.c ? [p.n!, p.c, p.h!, p.h!] : p.rows ? [p.rows, p.cols!] : [p.n ?? 1];
  const centred = (s: readonly number[] = shape): Tensor => rand(s).sub(0.5);
  /** Forward and backward with a given dy, gradients of x and of `others`. */
  const both = (forward: (x: Tensor) => Tensor, others: readonly Tensor[] = []) => {
    const x = centred().requiresGrad_();
    const dy = centred(forward(x).shape);
    return () => grad(forward(x), [x, ...others], { gradOutputs: [dy] });
  };
  const plain = (forward: (x: Tensor) => Tensor) => {
    const x = centred();
    return () => forward(x);
  };
  const stepper = (counts: readonly number[], make: (params: nn.Parameter[]) => optim.Optimizer) => {
    const list = counts.map((n) => new nn.Parameter(rand([n])));
    for (const w of list) w.grad = rand(w.shape);
    const optimizer = make(list);
    return () => optimizer.step();
  };
  switch (op) {
    case "batchnorm+relu+backward":
    case "batchnorm+add+relu+backward": {
      const layer = new nn.BatchNorm2d(p.c!);
      const residual = op.includes("add") ? centred().requiresGrad_() : null;
      const others = residual ? [residual] : [];
      return both((x) => layer.forward(x, { residual, activation: "relu" }), [...layer.parameters(), ...others]);
    }
    case "batchnorm+backward": {
      const layer = new nn.BatchNorm2d(p.c!);
      return both((x) => layer.forward(x), [...layer.parameters()]);
    }
    case "adam":
      return stepper(RESNET18, (list) => new optim.Adam(list, { lr: 1e-3 }));
    case "adamw":
      return stepper(RESNET18, (list) => new optim.AdamW(list, { lr: 1e-3 }));
    case "sgd momentum":
      return stepper(RESNET18, (list) => new optim.SGD(list, { lr: 1e-3, momentum: 0.9 }));
    case "sgd":
      return stepper([p.n!], (list) => new optim.SGD(list, { lr: 1e-3 }));
    case "chain of six":
      return plain(chain);
    case "chain of six+backward":
      return both(chain);
    case "layernorm+backward": {
      const layer = new nn.LayerNorm(p.cols!);
      return both((x) => layer.forward(x), [...layer.parameters()]);
    }
    case "rmsnorm+backward": {
      const layer = new nn.RMSNorm(p.cols!);
      return both((x) => layer.forward(x), [...layer.parameters()]);
    }
    case "softmax+backward":
    case "softmax of channels+backward":
      return both((x) => x.softmax(1));
    case "logSoftmax+backward":
      return both((x) => x.logSoftmax(1));
    case "crossEntropy+backward": {
      const x = centred().requiresGrad_();
      const y = tensor(Int32Array.from({ length: p.rows! }, (_, i) => i % p.cols!));
      return () => grad(crossEntropy(x, y), [x]);
    }
    case "groupnorm+backward": {
      const [w, b] = [new nn.Parameter(rand([p.c!])), new nn.Parameter(rand([p.c!]))];
      return both((x) => groupNorm(x, p.groups!, w, b), [w, b]);
    }
    case "maxpool3s2+backward":
      return both((x) => x.maxPool2d(3, { stride: 2, padding: 1 }));
    case "maxpool2+backward":
      return both((x) => x.maxPool2d(2));
    case "avgpool2+backward":
      return both((x) => x.avgPool2d(2));
    case "avgpool3s1+backward":
      return both((x) => x.avgPool2d(3, { stride: 1, padding: 1 }));
    case "globalpool+backward":
      return both((x) => x.adaptiveAvgPool2d(1));
    case "add": {
      const other = centred();
      return plain((x) => x.add(other));
    }
    case "relu":
    case "exp":
    case "tanh":
    case "sigmoid":
    case "gelu":
      return plain((x) => x[op]());
    case "relu+backward":
      return both((x) => x.relu());
    case "gelu+backward":
      return both((x) => x.gelu());
    case "silu+backward":
      return both((x) => x.silu());
    case "dropout+backward":
      return both((x) => x.dropout(0.1));
    case "transpose":
      return plain((x) => x.transpose(0, 1));
    case "bias": {
      const b = rand([p.cols!]);
      return plain((x) => x.add(b));
    }
    case "sum all":
      return plain((x) => x.sum());
    case "sum rows":
      return plain((x) => x.sum(1));
    case "sum columns":
      return plain((x) => x.sum(0));
    case "amax columns":
      return plain((x) => x.amax(0));
    case "amax rows":
      return plain((x) => x.amax(1));
    case "argmax rows":
      return plain((x) => x.argmax(1));
    case "argmax columns":
      return plain((x) => x.argmax(0));
    case "cumsum rows":
      return plain((x) => x.cumsum(1));
    case "cumsum columns":
      return plain((x) => x.cumsum(0));
    default:
      return null;
  }
}
