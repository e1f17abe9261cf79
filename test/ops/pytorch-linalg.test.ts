/** @file Linear algebra beside PyTorch (fixtures/ops/make_linalg.py, which fixes the signs as napier does). */
import { add, eye, linalg, matmul, type Tensor, transpose } from "napier";
import { checkTorch } from "../pytorch.js";

const one = (x: Tensor) => eye(x.shape.at(-1)!, x.shape.at(-1)!, { dtype: x.dtype });
const far = (x: Tensor) => add(x, one(x).mul(6));
const positive = (x: Tensor) => add(matmul(x, x, { transB: true }), one(x));
const even = (x: Tensor) => add(x, transpose(x, -2, -1));
/** JSON has no infinity. */
const norm = (p: string | number) =>
  p === "inf" || p === "-inf" ? (p === "inf" ? 1 : -1) * Number.POSITIVE_INFINITY : p;
const order = (p: string | number) => norm(p) as number;

checkTorch(
  "linalg",
  {
    qr: ([x]) => Object.values(linalg.qr(x!)),
    qrComplete: ([x]) => Object.values(linalg.qr(x!, { mode: "complete" })),
    svd: ([x]) => Object.values(linalg.svd(x!)),
    svdvals: ([x]) => linalg.svdvals(x!),
    lu: ([x]) => Object.values(linalg.lu(x!)),
    pinv: ([x]) => linalg.pinv(x!),
    matrixRank: ([x]) => linalg.matrixRank(x!),
    matrixNorm: ([x], { p }) => linalg.matrixNorm(x!, { p: norm(p) as "fro" }),
    cond: ([x], { p, far: moved }) => linalg.cond(moved ? far(x!) : x!, { p: norm(p) as "fro" }),
    cholesky: ([x], options) => linalg.cholesky(positive(x!), options),
    choleskySolve: ([x, b]) => linalg.choleskySolve(b!, linalg.cholesky(positive(x!))),
    solve: ([x, b]) => linalg.solve(far(x!), b!),
    solveTriangular: ([x, b], options) => linalg.solveTriangular(far(x!), b!, options),
    lstsq: ([x, b]) => linalg.lstsq(x!, b!),
    inverse: ([x]) => linalg.inverse(far(x!)),
    det: ([x]) => linalg.det(x!),
    slogdet: ([x]) => Object.values(linalg.slogdet(x!)),
    eigh: ([x]) => Object.values(linalg.eigh(even(x!))),
    eigvalsh: ([x]) => linalg.eigvalsh(even(x!)),
    matrixExp: ([x]) => linalg.matrixExp(x!),
    vectorNorm: ([x], { p, axes }) => linalg.vectorNorm(x!, { p: order(p), axes }),
    sqrtm: ([x], options) => linalg.sqrtm(positive(x!), options),
  },
  {},
);
