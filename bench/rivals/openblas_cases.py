#!/usr/bin/python3
"""Contender: OpenBLAS, called through its C interface; its result goes into an array made beforehand. Speaks
bench/contenders/serve.ts's protocol. OPENBLAS_NUM_THREADS says on how many threads. With --version: prints the version and ends.
A call through ctypes costs about 2 us, which the smallest products show."""
import ctypes, glob, json, sys, time

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


def library():
    """The pthread build, whose threads wait as ours do; None where there is none."""
    found = sorted(glob.glob("/usr/lib/*/openblas-pthread/libopenblas.so.0"))
    return ctypes.CDLL(found[0]) if found else None


blas = library()
if blas is None:
    sys.exit("libopenblas is not installed")
if "--version" in sys.argv:
    blas.openblas_get_config.restype = ctypes.c_char_p
    print(blas.openblas_get_config().decode().split()[1])
    sys.exit()

import numpy

i, f, p = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
blas.cblas_sgemm.argtypes = [i, i, i, i, i, i, f, p, i, p, i, f, p, i]
blas.cblas_sgemv.argtypes = [i, i, i, i, f, p, i, p, i, f, p, i]


def build(op, q):
    if op != "matmul":
        return None
    m, n, k = q["m"], q["n"], q["k"]
    array = lambda rows, cols: numpy.random.rand(rows, cols).astype(numpy.float32) - numpy.float32(0.5)
    a, b, y = array(k, m) if q["transA"] else array(m, k), array(n, k) if q["transB"] else array(k, n), array(m, n)
    trans = lambda flag: TRANSPOSED if flag else PLAIN
    at = lambda x: x.ctypes.data
    keep = (a, b, y)
    if n == 1 or m == 1:  # its matrix-vector product
        big, x = (a, b) if n == 1 else (b, a)
        flag = q["transA"] if n == 1 else not q["transB"]
        args = (ROW_MAJOR, trans(flag), *big.shape, 1.0, at(big), big.shape[1], at(x), 1, 0.0, at(y), 1)
        return lambda keep=keep: blas.cblas_sgemv(*args)
    args = (ROW_MAJOR, trans(q["transA"]), trans(q["transB"]), m, n, k)
    args += (1.0, at(a), a.shape[1], at(b), b.shape[1], 0.0, at(y), n)
    return lambda keep=keep: blas.cblas_sgemm(*args)


def timed(run, budget):
    times, start = [], time.perf_counter()
    while not times or (time.perf_counter() - start < budget / 1e3 and len(times) < 2000):
        t = time.perf_counter()
        run()
        times.append((time.perf_counter() - t) * 1e3)
    return times


name, run = None, None
for line in sys.stdin:
    request = json.loads(line)
    c = request["c"]
    try:
        if c["name"] != name:
            run, name = build(c["op"], c["params"]), c["name"]
            if run:
                run(), run()
        answer = {"ms": timed(run, request["budget"]) if run else []}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
