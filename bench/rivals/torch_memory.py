"""PyTorch's side of bench/memory.ts: build(op, params) answers the function of one run, or None."""
import torch
import torch.nn.functional as F

RESNET18 = [64 * 3 * 49, 64, 64]
for o in (64, 128, 256, 512):
    c = o if o == 64 else o // 2
    for size in [o * c * 9, o * o * 9] + ([] if o == 64 else [o * c]) + [o * o * 9, o * o * 9]:
        RESNET18 += [size, o, o]
RESNET18 += [512 * 1000, 1000]


def chain(x):
    return torch.square(torch.relu(x * 1.5 + 0.5) * x - 0.25)


def build(op, p):
    shape = [p["n"], p["c"], p["h"], p["h"]] if "c" in p else [p["rows"], p["cols"]] if "rows" in p else [int(p.get("n", 1))]
    centred = lambda s=shape: torch.rand(*s) - 0.5

    def both(forward, others=()):
        x = centred().requires_grad_()
        dy = torch.rand_like(forward(x)) - 0.5
        return lambda: torch.autograd.grad(forward(x), (x, *others), dy)

    def plain(forward):
        x = centred()
        return lambda: forward(x)

    def stepper(counts, make):
        params = [torch.rand(n).requires_grad_() for n in counts]
        for w in params:
            w.grad = torch.rand_like(w)
        return make(params).step

    if op in ("batchnorm+relu+backward", "batchnorm+add+relu+backward", "batchnorm+backward"):
        w, b = torch.ones(p["c"]).requires_grad_(), torch.zeros(p["c"]).requires_grad_()
        mean, var = torch.zeros(p["c"]), torch.ones(p["c"])
        norm = lambda x: F.batch_norm(x, mean, var, w, b, True)
        if op == "batchnorm+backward":
            return both(norm, (w, b))
        if "add" in op:
            r = centred().requires_grad_()
            return both(lambda x: F.relu(norm(x).add_(r), inplace=True), (w, b, r))
        return both(lambda x: F.relu(norm(x), inplace=True), (w, b))
    if op == "adam":
        return stepper(RESNET18, lambda params: torch.optim.Adam(params, lr=1e-3))
    if op == "adamw":
        return stepper(RESNET18, lambda params: torch.optim.AdamW(params, lr=1e-3))
    if op == "sgd momentum":
        return stepper(RESNET18, lambda params: torch.optim.SGD(params, lr=1e-3, momentum=0.9))
    if op == "sgd":
        return stepper([int(p["n"])], lambda params: torch.optim.SGD(params, lr=1e-3))
    if op == "chain of six":
        return plain(chain)
    if op == "chain of six+backward":
        return both(chain)
    if op == "layernorm+backward":
        w, b = torch.ones(p["cols"]).requires_grad_(), torch.zeros(p["cols"]).requires_grad_()
        return both(lambda x: F.layer_norm(x, (p["cols"],), w, b), (w, b))
    if op == "rmsnorm+backward":
        w = torch.ones(p["cols"]).requires_grad_()
        return both(lambda x: x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6) * w, (w,))
    if op in ("softmax+backward", "softmax of channels+backward"):
        return both(lambda x: torch.softmax(x, 1))
    if op == "logSoftmax+backward":
        return both(lambda x: torch.log_softmax(x, 1))
    if op == "crossEntropy+backward":
        x, y = centred().requires_grad_(), torch.arange(p["rows"]) % p["cols"]
        return lambda: torch.autograd.grad(F.cross_entropy(x, y), x)
    if op == "groupnorm+backward":
        w, b = torch.rand(p["c"]).requires_grad_(), torch.rand(p["c"]).requires_grad_()
        return both(lambda x: F.group_norm(x, p["groups"], w, b), (w, b))
    if op == "maxpool3s2+backward":
        return both(lambda x: F.max_pool2d(x, 3, 2, 1))
    if op == "maxpool2+backward":
        return both(lambda x: F.max_pool2d(x, 2))
    if op == "avgpool2+backward":
        return both(lambda x: F.avg_pool2d(x, 2))
    if op == "avgpool3s1+backward":
        return both(lambda x: F.avg_pool2d(x, 3, 1, 1))
    if op == "globalpool+backward":
        return both(lambda x: F.adaptive_avg_pool2d(x, 1))
    if op == "add":
        other = centred()
        return plain(lambda x: x + other)
    if op == "gelu":
        return plain(F.gelu)
    if op in ("relu", "exp", "tanh", "sigmoid"):
        return plain(getattr(torch, op))
    if op == "relu+backward":
        return both(F.relu)
    if op == "gelu+backward":
        return both(F.gelu)
    if op == "silu+backward":
        return both(F.silu)
    if op == "dropout+backward":
        return both(lambda x: F.dropout(x, 0.1))
    if op == "transpose":
        return plain(lambda x: x.t().contiguous())
    if op == "bias":
        b = torch.rand(p["cols"])
        return plain(lambda x: x + b)
    if op == "sum all":
        return plain(torch.sum)
    if op == "sum rows":
        return plain(lambda x: x.sum(1))
    if op == "sum columns":
        return plain(lambda x: x.sum(0))
    if op in ("amax rows", "amax columns"):
        return plain(lambda x: x.amax(1 if op == "amax rows" else 0))
    if op in ("argmax rows", "argmax columns"):
        return plain(lambda x: x.argmax(1 if op == "argmax rows" else 0))
    if op in ("cumsum rows", "cumsum columns"):
        return plain(lambda x: x.cumsum(1 if op == "cumsum rows" else 0))
    return None
