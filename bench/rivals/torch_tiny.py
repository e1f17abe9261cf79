#!/usr/bin/python3
"""Contender of bench/tiny.ts: small PyTorch ops, called one by one. A line {"c": case, "budget": ms} in, a line {"ms":
[...]} out; a time is that of params.calls calls. Argument: threads."""
import json, sys, time
import torch

torch.set_num_threads(int(sys.argv[1]))
pair = lambda *shape: (torch.randn(*shape), torch.randn(*shape))
OPERANDS = {"add 1000": pair(1000), "matmul 8x8": pair(8, 8), "matmul 64x64": pair(64, 64)}


def runner(op, calls, read):
    a, b = OPERANDS[op]
    call = (lambda: a + b) if op.startswith("add") else (lambda: a @ b)

    def run():
        for _ in range(calls):
            y = call()
            if read:
                y.numpy()

    return run


for line in sys.stdin:
    request = json.loads(line)
    try:
        c = request["c"]
        run = runner(c["op"], c["params"]["calls"], c["params"]["read"])
        run()
        times, start = [], time.perf_counter()
        while not times or time.perf_counter() - start < request["budget"] / 1e3:
            t = time.perf_counter()
            run()
            times.append((time.perf_counter() - t) * 1e3)
        answer = {"ms": times}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
