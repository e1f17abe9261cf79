#!/usr/bin/python3
"""Contender: scikit-learn's brute force, on numpy's BLAS. Speaks bench/contenders/serve.ts's protocol: a line {"c": case,
"budget": ms} in, a line {"ms": [...]} out. Argument: the dtype of the points."""
import json, sys, time
import numpy as np
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors

dtype = sys.argv[1]


def build(op, p):
    rng = np.random.default_rng(0)
    a, b = (rng.random((rows, p["d"]), dtype=dtype) for rows in (p["n"], p["m"]))
    if op == "distances":
        return lambda: euclidean_distances(a, b)
    search = NearestNeighbors(n_neighbors=p["k"], algorithm="brute").fit(b)
    return lambda: search.kneighbors(a)


name, run = None, None
for line in sys.stdin:
    request = json.loads(line)
    c = request["c"]
    try:
        if c["name"] != name:
            run, name = build(c["op"], c["params"]), c["name"]
            run(), run()
        times, start = [], time.perf_counter()
        while not times or time.perf_counter() - start < request["budget"] / 1e3:
            t = time.perf_counter()
            run()
            times.append((time.perf_counter() - t) * 1e3)
        answer = {"ms": times}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
