# The polynomials of math.h: run it to see the coefficients and their errors (wants numpy and mpmath).
#
# Each is a minimax fit by Lawson's iteration (least squares whose weights are multiplied by the errors), of the
# relative error of the whole function where that is what counts. Coefficients are rounded to float32 one at a time, from
# the lowest power, and the others fitted again to what is left.
import mpmath as mp
import numpy as np

mp.mp.dps = 40


def fit(name, f, low, high, degree, weight, single=True, points=1500):
    """min max |weight(x) (f(x) - sum_k c_k x^k)| over [low, high]."""
    middle, half = mp.mpf(low + high) / 2, mp.mpf(high - low) / 2
    xs = [middle + half * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / points) for i in range(points)]
    xs = [x for x in xs if abs(x) > 1e-9]
    x, target, scale = (np.array(v, dtype=np.longdouble) for v in (xs, [f(v) for v in xs], [weight(v) for v in xs]))
    powers = np.stack([x**k for k in range(degree + 1)], 1)

    def lawson(columns, target):
        w, best = np.ones(len(x)), None
        for _ in range(60):
            a = (powers[:, columns] * scale[:, None]).astype(float) * np.sqrt(w)[:, None]
            size = np.linalg.norm(a, axis=0)
            c = np.zeros(len(columns), dtype=np.longdouble)
            for _ in range(2):  # solve, then refine
                rest = ((target - powers[:, columns] @ c) * scale).astype(float) * np.sqrt(w)
                c = c + np.linalg.lstsq(a / size, rest, rcond=None)[0] / size
            error = np.abs((target - powers[:, columns] @ c) * scale).astype(float)
            if best is None or error.max() < best[0]:
                best = (error.max(), c)
            w = w * error
            w = w / w.mean() + 1e-12
        return best

    coefficients, rest = [], target
    for k in range(degree + 1):
        c = lawson(list(range(k, degree + 1)), rest)[1][0]
        c = np.float32(c) if single else np.float64(c)
        coefficients.append("%.9gf" % c if single else float(c).hex())
        rest = rest - powers[:, k] * np.longdouble(c)
    print(f"// {name}: {float(np.abs(rest * scale).max()):.2g} on [{low:.6g}, {high:.6g}]")
    print("{" + ", ".join(coefficients) + "}")


root = mp.sqrt
r = float(mp.log(2)) / 2 * 1.0005
fit("(exp r - 1 - r) / r^2, of exp r", lambda r: (mp.exp(r) - 1 - r) / r**2, -r, r, 4, lambda r: r**2 / mp.exp(r))
fit("the same, of exp r - 1", lambda r: (mp.expm1(r) - r) / r**2, -r, r, 4, lambda r: r**2 / mp.expm1(r))
fit("(log(1 + f) - f + f^2/2) / f^3, of log(1 + f)", lambda f: (mp.log1p(f) - f + f * f / 2) / f**3,
    0.5**0.5 - 1, 2**0.5 - 1, 7, lambda f: f**3 / mp.log1p(f))
# Functions of z = x^2
fit("(tanh x - x) / x^3, of tanh x", lambda z: (mp.tanh(root(z)) - root(z)) / root(z)**3, 0, 0.625**2, 4,
    lambda z: root(z)**3 / mp.tanh(root(z)))
fit("erf x / x - 1, of erf x", lambda z: mp.erf(root(z)) / root(z) - 1, 0, 0.81, 5, lambda z: root(z) / mp.erf(root(z)))
fit("-log(1 - erf t) / t, of erf t", lambda t: -mp.log(mp.erfc(t)) / t, 0.9, 4.0, 5,
    lambda t: t * mp.erfc(t) / mp.erf(t))
def tail(a):
    return mp.erfc(a / root(2)) / 2


fit("-log cdf(-a), of cdf(-a), by its fourth root", lambda a: -mp.log(tail(a)), 0, 6, 10, lambda a: root(root(tail(a))))
quarter = float(mp.pi / 4) * 1.0001
fit("(sin r - r) / r^3, of sin r", lambda z: (mp.sin(root(z)) - root(z)) / root(z)**3, 0, quarter**2, 2,
    lambda z: root(z)**3 / mp.sin(root(z)))
fit("(cos r - 1 + r^2/2) / r^4, of cos r", lambda z: (mp.cos(root(z)) - 1 + z / 2) / z**2, 0, quarter**2, 2,
    lambda z: z**2 / mp.cos(root(z)))
fit("log2 m / s, s = (m - 1)/(m + 1)", lambda z: 2 * mp.atanh(root(z)) / mp.log(2) / root(z), 0, 0.1716**2, 4,
    lambda z: 1, single=False)
fit("(atan x - x) / x^3, of atan x", lambda z: (mp.atan(root(z)) - root(z)) / root(z)**3, 0, 1, 8,
    lambda z: root(z)**3 / mp.atan(root(z)))
# special.h
fit("(asin x - x) / x^3, of asin x", lambda z: (mp.asin(root(z)) - root(z)) / root(z)**3, 0, 0.25, 4,
    lambda z: root(z)**3 / mp.asin(root(z)))
fit("(sinh x - x) / x^3, of sinh x", lambda z: (mp.sinh(root(z)) - root(z)) / root(z)**3, 0, 1, 3,
    lambda z: root(z)**3 / mp.sinh(root(z)))
fit("log(erfc(x) exp(x^2) / t), t = 1 / (1 + x / 2)",
    lambda t: mp.log(mp.erfc(2 / t - 2) * mp.exp((2 / t - 2)**2) / t), 0.15, 1, 10, lambda t: 1, single=False, points=400)
for name, value in (("ln 2 - 0x1.62e4p-1", mp.log(2) - mp.mpf(float.fromhex("0x1.62e4p-1"))),
                    ("pi/2 - 0x1.921fb544p0", mp.pi / 2 - mp.mpf(float.fromhex("0x1.921fb544p0")))):
    print(f"// {name}: {float(value):.9g} = {float(value).hex()}")
