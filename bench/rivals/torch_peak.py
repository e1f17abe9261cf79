#!/usr/bin/python3
"""Peer of bench/contenders/peak.ts: torch_peak.py NAME THREADS makes the steps of torch_steps.py and prints, as JSON,
{"peakBytes": VmHWM less VmRSS before the model is built, "faults": minor page faults of each of the last steps}."""
import json, re, resource, sys
import torch
import torch_steps

STEPS, LAST = 10, 5
name, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)


def status(field):
    with open("/proc/self/status") as f:
        return int(re.search(rf"^{field}:\s+(\d+) kB$", f.read(), re.M)[1]) * 1024


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


before = status("VmRSS")
step, _ = getattr(torch_steps, name)()
counts = []
for _ in range(STEPS):
    start = faults()
    step()
    counts.append(faults() - start)
print(json.dumps({"peakBytes": status("VmHWM") - before, "faults": counts[-LAST:]}))
