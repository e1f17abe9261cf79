#!/usr/bin/python3
"""Contender: PyTorch, two threads. Speaks bench/contenders/serve.ts's protocol: a line {"c": case, "budget": ms} in, a line
{"ms": [...]} out. Steps come from torch_steps.py beside it."""
import json, sys, time
import torch
import torch.nn.functional as F
import resnet18
import torch_attention
import torch_memory
import torch_sampling
import torch_steps
import torch_zoo

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
torch.set_num_threads(threads)


def convolution(op, p, rand):
    """conv2d or convTranspose2d; with " dx" or " dw" that gradient alone, with "+backward" all three."""
    transposed = op.startswith("convTranspose2d")
    x = rand(p["n"], p["c"], p["h"], p["h"])
    groups = p["groups"]
    w = rand(*(p["c"], p["o"] // groups) if transposed else (p["o"], p["c"] // groups), p["r"], p["r"])
    call = F.conv_transpose2d if transposed else F.conv2d
    forward = lambda: call(x, w, stride=p["stride"], padding=p["pad"], groups=groups)
    if op in ("conv2d", "convTranspose2d"):
        return forward
    dy = torch.rand_like(forward())
    if op.endswith("+backward"):
        x.requires_grad_(), w.requires_grad_()
        return lambda: torch.autograd.grad(forward(), (x, w), dy)
    mask = [op.endswith("dx"), op.endswith("dw"), False]
    s, pad = [p["stride"]] * 2, [p["pad"]] * 2
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(dy, x, w, None, s, pad, [1, 1], transposed, [0, 0], groups, mask)


def build(name, op, p):
    if op == "inference":
        model, x = resnet18.resnet18(), resnet18.picture(int(p["n"]))
        return torch.inference_mode()(lambda: model(x))
    if op == "step":
        step, _ = getattr(torch_steps, name)()
        torch.set_num_threads(threads)
        return step
    rand = lambda *shape: torch.rand(*shape) - 0.5
    if op == "matmul":
        a = rand(p["k"], p["m"]).t() if p["transA"] else rand(p["m"], p["k"])
        b = rand(p["n"], p["k"]).t() if p["transB"] else rand(p["k"], p["n"])
        return lambda: a @ b
    if op.startswith("conv"):
        return convolution(op, p, rand)
    return None


def timed(run, budget):
    times, start = [], time.perf_counter()
    while not times or (time.perf_counter() - start < budget / 1e3 and len(times) < 2000):
        t = time.perf_counter()
        run()
        times.append((time.perf_counter() - t) * 1e3)
    return times


name, run, result = None, None, {}
for line in sys.stdin:
    request = json.loads(line)
    c = request["c"]
    try:
        if c["name"] != name:
            known = None
            suite = {"memory": torch_memory.build, "attention": torch_attention.build}.get(c.get("suite"))
            if c["op"] == "zoo":
                run, known = torch_zoo.build(c["name"])
            elif c["op"] == "sampling":
                run, known = torch_sampling.build(c["params"])
            else:
                run = suite(c["op"], c["params"]) if suite else build(c["name"], c["op"], c["params"])
            name, result = c["name"], {}
            if run:
                run(), run()
            if known or c["op"] == "inference":
                result = {"result": known or run().flatten().tolist()}
        answer = {"ms": timed(run, request["budget"]) if run else [], **result}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
