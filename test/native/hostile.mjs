// Hostile calls of the addon, in a process of its own: test/native/fuzz.test.ts starts it and reads what it says.
//
//   node test/native/hostile.mjs SEED ROUNDS CALLS [FIRST] [PROGRESS_FILE]
//
// Each round has its own seed and its own tensors, so that `node test/native/hostile.mjs SEED 1 CALLS ROUND` repeats one;
// with NAPIER_SYNC=1 the call that is running is the one that PROGRESS_FILE names, with VERBOSE=1 each is printed.
// A call either works or throws an Error. Most calls start from one that fits (a recipe an op, below) and have something
// in them spoilt; the rest are noise. Elementwise calls that run together must have the bytes of single ones. Prints one
// JSON object: calls, worked, refused, chains of elementwise calls, and the ops that never worked.
import { openSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import v8 from "node:v8";
import vm from "node:vm";

process.env.NAPIER_CHAIN_ELEMENTS ??= "1"; // calls of captured steps run together, small as they are
const require = createRequire(import.meta.url);
const addon = require(process.env.NAPIER_BINARY ?? "../../build/Release/napier.node");
const [seed, rounds, calls, first] = [2, 3, 4, 5].map((i) => Number(process.argv[i] ?? 0));
const verbose = process.env.VERBOSE === "1";
const progress = process.argv[6] ? openSync(process.argv[6], "w") : null;

// ---- Chance

let state = 0;
const random = () => {
  // mulberry32
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const chance = (p) => random() < p;
/** A small extent, now and then 0. */
const dim = (most = 5) => (chance(0.06) ? 0 : 1 + below(most));
const some = (most = 4) => 1 + below(most);

// ---- Tensors

const DTYPES = ["float32", "float64", "int32", "int64", "uint8", "int8", "bool", "bfloat16", "float16"];
const WIDTH = [4, 8, 4, 8, 1, 1, 1, 2, 2];
const MOST_BYTES = 1 << 16;
let live = []; // { object, handle, dtype, count }
let dead = [];

function contents(dtype, count) {
  const bytes = new Uint8Array(count * WIDTH[dtype]);
  const view = new DataView(bytes.buffer);
  const wild = chance(0.1);
  for (let i = 0; i < count; i++) {
    const v = wild ? pick([Number.NaN, Infinity, -Infinity, 1e38, -1e38, 1e-40, -0]) : (below(200) - 100) / 10;
    const n = wild ? pick([-1, 2 ** 31 - 1, -(2 ** 31), 255, 127]) : below(4);
    if (dtype === 0) view.setFloat32(i * 4, v, true);
    else if (dtype === 1) view.setFloat64(i * 8, v, true);
    else if (dtype === 2) view.setInt32(i * 4, n, true);
    else if (dtype === 3) view.setBigInt64(i * 8, wild ? pick([-1n, 2n ** 62n, -(2n ** 63n)]) : BigInt(n), true);
    else if (dtype >= 7) view.setUint16(i * 2, below(65536), true);
    else bytes[i] = dtype === 6 ? (wild ? below(256) : below(2)) : n;
  }
  return bytes;
}

function make(dtype, count, empty = chance(0.2)) {
  if (!(count * WIDTH[dtype] <= MOST_BYTES) || count < 0) count = below(8);
  const object = {};
  const handle = empty ? addon.alloc(object, dtype, count) : addon.fromHost(object, dtype, contents(dtype, count));
  const t = { object, handle, dtype, count };
  live.push(t);
  return t;
}

/** A live tensor of that dtype and count, often one that exists: outputs then share memory with inputs. */
function operand(dtype, count) {
  if (chance(0.3)) {
    const same = live.filter((t) => t.dtype === dtype && t.count === count);
    if (same.length > 0) return pick(same).handle;
  }
  return make(dtype, count).handle;
}

function freeSome() {
  while (live.length > 60 || (live.length > 0 && chance(0.2))) {
    const [t] = live.splice(below(live.length), 1);
    addon.free(t.handle);
    dead.push(t.handle);
  }
  if (dead.length > 100) dead = dead.slice(-50);
}

// ---- Calls that fit: elements of each operand in order (an array for a list), then the numbers

const product = (list) => list.reduce((a, b) => a * b, 1);
const number = () => (chance(0.1) ? pick([Number.NaN, Infinity, -Infinity, 1e300, -1, 0]) : random());
const reduction = (whole) => {
  const s = [dim(), chance(0.5) ? dim(40) : dim(), dim()];
  return [s, product(s), whole ? product(s) : s[0] * s[2]];
};
const strided = (operands) => {
  const extents = Array.from({ length: below(5) }, () => dim(4));
  const strides = operands.map(() => {
    let step = 1;
    const full = extents.map(() => 0);
    for (let d = extents.length - 1; d >= 0; d--) {
      full[d] = chance(0.25) ? 0 : step;
      if (full[d]) step *= extents[d];
    }
    return full;
  });
  const reach = strides.map((s) => (extents.some((e) => e === 0) ? some() : 1 + s.reduce((a, v, d) => a + v * (extents[d] - 1), 0)));
  return [extents, strides, reach];
};
const broadcast = (operands) => {
  const [extents, strides, reach] = strided(operands);
  return [[product(extents), ...reach], [extents.length, ...extents, ...strides.flat()]];
};
const conv = (order, ...numbers) => {
  if (chance(0.1)) return vastConv(order, ...numbers);
  const groups = some(2);
  const winograd = chance(0.2); // from 16 channels and 256 results on
  const [n, c, h, w, o] = winograd
    ? [dim(3), groups * (15 + some(3)), 12 + some(7), 12 + some(7), groups * (15 + some(3))]
    : [dim(3), groups * some(3), some(7), some(7), groups * some(3)];
  const [r, s, padH, padW, strideH, strideW, dilationH, dilationW] = winograd
    ? [3, 3, below(4), below(3), 1, 1, 1, 1]
    : [some(3), some(3), below(3), below(3), some(2), some(2), some(2), some(2)];
  const p = Math.floor((h + 2 * padH - dilationH * (r - 1) - 1) / strideH) + 1;
  const q = Math.floor((w + 2 * padW - dilationW * (s - 1) - 1) / strideW) + 1;
  const count = { x: n * c * h * w, y: n * o * p * q, w: (o * c * r * s) / groups, b: o };
  return [[...order].map((letter) => count[letter]), [n, c, h, w, o, r, s, strideH, strideW, padH, padW, dilationH, dilationW, groups, ...numbers]];
};
const huge = () => 2 ** 30 - (chance(0.5) ? below(3) : below(2 ** 29));
/** One axis whose stride, padding and dilation may be near the contract's 2^30, with up to 4 results. */
const vastAxis = (extent) => {
  let taps = some(4);
  const pad = pick([1, some(3), huge(), huge()]);
  const reach = extent + 2 * pad;
  if (reach < taps) taps = 1;
  const widest = Math.min(2 ** 30, taps === 1 ? 2 ** 30 : Math.floor((reach - 1) / (taps - 1)));
  const dilation = chance(0.5) ? widest : some(widest);
  const left = reach - dilation * (taps - 1); // positions of the window
  const stride = Math.max(Math.ceil(left / 4), chance(0.5) ? huge() : some(3));
  return { taps, pad, dilation, stride, results: Math.floor((left - 1) / stride) + 1 };
};
/** Convolutions that take no memory, by extents whose products leave 64 bits: a picture may be 2^30 x 0. */
const vastConv = (order, ...numbers) => {
  const groups = some(3);
  const [n, c, o] = [some(2), groups * (chance(0.6) ? 1 : some(3)), groups * some(2)];
  const [h, w] = pick([[huge(), 0], [0, huge()], [some(7), some(7)], [some(2), 1000 + below(500)]]);
  const [down, across] = [vastAxis(h), vastAxis(w)];
  const taps = down.taps * across.taps;
  const count = { x: n * c * h * w, y: n * o * down.results * across.results, w: (o * c * taps) / groups, b: o };
  const size = [n, c, h, w, o, ...["taps", "stride", "pad", "dilation"].flatMap((each) => [down[each], across[each]]), groups];
  return [[...order].map((letter) => count[letter]), [...size, ...numbers]];
};
const vastColumns = (order) => {
  const [n, c] = [some(2), some(3)];
  const [h, w] = pick([[huge(), 0], [0, huge()], [some(7), some(7)]]);
  const [down, across] = [vastAxis(h), vastAxis(w)];
  const count = { x: n * c * h * w, y: n * c * down.taps * across.taps * down.results * across.results };
  const size = [n, c, h, w, 1, ...["taps", "stride", "pad", "dilation"].flatMap((each) => [down[each], across[each]]), 1];
  return [[...order].map((l) => count[l]), size];
};
/** Windows far larger than their planes. */
const vastPool = (order, ...numbers) => {
  const [planes, h, w] = [some(3), some(6), some(6)];
  const axis = (extent) => {
    const [taps, dilation] = [pick([some(3), huge()]), pick([some(3), huge()])];
    const pad = Math.min(pick([0, some(3), huge()]), dilation * (taps - 1));
    const stride = Math.max(Math.ceil((extent + pad) / 4), pick([1, 2, huge()]));
    return { taps, dilation, pad, stride, results: Math.floor((extent - 1 + pad) / stride) + 1 };
  };
  const [down, across] = [axis(h), axis(w)];
  const count = { x: planes * h * w, y: planes * down.results * across.results };
  const both = (each) => [down[each], across[each]];
  const size = [planes, h, w, ...["results", "taps", "stride", "pad", "dilation"].flatMap(both)];
  return [[...order].map((l) => count[l]), [...numbers, ...size]];
};
const pool = (order, ...numbers) => {
  if (chance(0.1)) return vastPool(order, ...numbers);
  const [planes, h, w, r, s, strideH, strideW, dilationH, dilationW] = [dim(4), some(6), some(6), some(3), some(3), some(3), some(3), some(2), some(2)];
  const [padH, padW] = [below(r), below(s)];
  const p = Math.floor((h - 1 + padH) / strideH) + 1;
  const q = Math.floor((w - 1 + padW) / strideW) + 1;
  const count = { x: planes * h * w, y: planes * p * q };
  return [[...order].map((l) => count[l]), [...numbers, planes, h, w, p, q, r, s, strideH, strideW, padH, padW, dilationH, dilationW]];
};
const adaptive = (order) => {
  const s = [dim(4), some(6), some(6), some(6), some(6)];
  const count = { x: s[0] * s[1] * s[2], y: s[0] * s[3] * s[4] };
  return [[...order].map((l) => count[l]), s];
};
/** The windows of pictures as columns. */
const columns = (order) => {
  if (chance(0.1)) return vastColumns(order);
  const [n, c, h, w, r, s] = [dim(3), some(3), some(7), some(7), some(3), some(3)];
  const [padH, padW, strideH, strideW, dilationH, dilationW] = [below(3), below(3), some(2), some(2), some(2), some(2)];
  const p = Math.floor((h + 2 * padH - dilationH * (r - 1) - 1) / strideH) + 1;
  const q = Math.floor((w + 2 * padW - dilationW * (s - 1) - 1) / strideW) + 1;
  const count = { x: n * c * h * w, y: n * c * r * s * p * q };
  return [[...order].map((l) => count[l]), [n, c, h, w, 1, r, s, strideH, strideW, padH, padW, dilationH, dilationW, 1]];
};
/** Resizing by tables of taps; 0 taps keep an axis. */
const taps = (order) => {
  if (chance(0.05)) {
    // No planes, of extents whose products leave 64 bits; one axis is resized.
    const [extent, results, kept] = [pick([2 ** 31, 2 ** 32, 2 ** 40, 2 ** 52]), some(6), pick([2 ** 21, 2 ** 32, 2 ** 52])];
    return [[...[...order].map(() => 0), results, results, 0, 0], [0, extent, kept, results, kept, 1, 0]];
  }
  const [planes, h, w] = [dim(4), some(6), some(6)];
  const [tapsH, tapsW] = [below(h + 1), below(w + 1)];
  const [p, q] = [tapsH ? some(6) : h, tapsW ? some(6) : w];
  const count = { x: planes * h * w, y: planes * p * q };
  const tables = [tapsH ? p : 0, p * tapsH, tapsW ? q : 0, q * tapsW];
  return [[...[...order].map((l) => count[l]), ...tables], [planes, h, w, p, q, tapsH, tapsW]];
};
const grid = (order) => {
  const s = [dim(3), dim(3), some(5), some(5), dim(), dim()];
  const count = { x: s[0] * s[1] * s[2] * s[3], y: s[0] * s[1] * s[4] * s[5], g: s[0] * s[4] * s[5] * 2 };
  return [[...order].map((l) => count[l]), [...s, below(3), below(3), below(2)]];
};
const grouped = (order, ...numbers) => {
  const groups = some(3);
  const s = [dim(4), groups * some(3), dim(9)];
  const count = { x: product(s), c: s[1], g: s[0] * groups };
  return [[...order].map((l) => count[l]), [...numbers, groups, ...s]];
};
const channels = (order, ...numbers) => {
  const s = [dim(4), dim(4), dim(9)];
  const count = { x: product(s), c: s[1] };
  return [[...order].map((l) => count[l]), [...numbers, ...s]];
};
const rows = (order, before, after = []) => {
  const [r, c] = [dim(), dim(9)];
  const count = { x: r * c, r, c };
  return [[...order].map((l) => count[l]), [...before, r, c, ...after]];
};
const table = (order, after = []) => {
  const [r, c, n] = [some(5), dim(9), dim()];
  const count = { w: r * c, y: n * c, n };
  return [[...order].map((l) => count[l]), [r, c, n, ...after]];
};
const resampled = (each, numbers, fills) => {
  const [n, c, h, w, p, q] = [dim(3), dim(3), some(6), some(6), dim(6), dim(6)];
  return [[n * c * p * q, n * c * h * w, n * each, ...(fills ? [c] : [])], [...numbers, n, c, h, w, p, q]];
};
const attention = (order) => {
  const [n, heads, t, keys, d, dv] = [dim(2), some(3), dim(60), dim(150), some(9), some(9)];
  const group = chance(0.5) ? heads : 1;
  const batch = n * heads;
  const [byRow, byHead, byBatch] = [below(2), below(2), below(2)];
  const count = { q: batch * t * d, k: (batch / group) * keys * d, v: (batch / group) * keys * dv, y: batch * t * dv, l: batch * t, m: n * heads * t * keys };
  const mask = [byBatch * heads * t * keys, byHead * t * keys, byRow * keys, 1];
  return [[...order].map((l) => count[l]), [number(), number(), below(99), below(9), batch, group, t, keys, d, dv, below(2), heads, ...mask]];
};
const cell = (order, gates) => {
  const [n, size] = [dim(), dim(20)];
  return [[...order].map((l) => (l === "g" ? gates : 1) * n * size), [n, size]];
};
const segments = (order) => {
  const [n, bags, cols] = [dim(), dim(3), dim(9)];
  const count = { x: n * cols, y: bags * cols, o: bags };
  return [[...order].map((l) => count[l]), [n, bags, cols]];
};
const parameters = (lists, single, numbers) => {
  const counts = Array.from({ length: below(4) }, () => dim(70));
  return [[...Array.from({ length: lists }, () => counts), ...single], numbers];
};

const indexed = (order) => {
  const [outer, n, inner, m, each] = [dim(4), dim(5), dim(4), dim(5), below(2)];
  const count = { x: outer * n * inner, y: outer * m * inner, i: each ? outer * m * inner : m };
  return [[...order].map((l) => count[l]), [outer, n, inner, m, each]];
};
const scan = (operands, before) => {
  const extents = [dim(4), dim(9), dim(4)];
  return [Array.from({ length: operands }, () => product(extents)), [...before, ...extents]];
};
const ctc = (order) => {
  const [t, n, c, l] = [dim(6), dim(4), some(5), dim(4)];
  const count = { x: t * n * c, n, l: n * l };
  return [[...order].map((letter) => count[letter]), [below(c), below(2), t, n, c, l]];
};

/** square: x is [batch, n, n] */
const matrices = (order, { square = false, tall = false, numbers = [] } = {}) => {
  const [batch, a, b] = [dim(3), dim(5), dim(5)];
  const [m, n] = square ? [a, a] : tall ? [Math.max(a, b), Math.min(a, b)] : [a, b];
  const least = Math.min(m, n);
  const count = { x: batch * m * n, a: batch * m * m, k: batch * n * n, n: batch * n, m: batch * m, l: batch * least, q: batch * m * least, r: batch * least * n };
  return [[...order].map((l) => count[l]), [...numbers.map((f) => f(least)), batch, m, n]];
};

const RECIPES = {
  cholesky: () => matrices("xx", { square: true }),
  lu: () => matrices("xlmx"),
  solve: () => matrices("xax", { numbers: [() => below(2)] }),
  solveTriangular: () => matrices("xax", { numbers: [() => below(2), () => below(2), () => below(2)] }),
  qr: () => matrices("qrx", { numbers: [(least) => least] }),
  eigh: () => matrices("nxx", { square: true }),
  svd: () => matrices("xnkx", { tall: true }),
  matrixExp: () => matrices("xx", { square: true }),
  sqrtm: () => matrices("xx", { square: true }),
  cdist() {
    const [batch, m, n, k] = [dim(3), dim(5), dim(5), dim(5)];
    return [[batch * m * n, batch * m * k, batch * n * k], [pick([0, 1, 2, 3, Infinity]), batch, m, n, k]];
  },
  where: () => broadcast([0, 1, 2]),
  copyStrided() {
    const [extents, [strides], [reach]] = strided([0]);
    const offset = below(4);
    return [[product(extents), offset + reach], [offset, extents.length, ...extents, ...strides]];
  },
  writeStrided() {
    const extents = Array.from({ length: below(4) }, () => dim(4));
    let step = 1;
    const strides = extents.map(() => 0);
    for (let d = extents.length - 1; d >= 0; d--) {
      strides[d] = step * some(2);
      step = strides[d] * Math.max(1, extents[d]);
    }
    const offset = below(4);
    return [[offset + step * 4, product(extents)], [offset, extents.length, ...extents, ...strides]];
  },
  gather: () => indexed("yxi"),
  scatter: () => indexed("xyi"),
  scatterAdd: () => indexed("xyi"),
  nonzero() {
    const extents = Array.from({ length: below(4) }, () => dim(4));
    const found = below(9);
    return [[found * extents.length, product(extents)], [found, extents.length, ...extents]];
  },
  cumsum: () => scan(2, [below(2)]),
  cumprod: () => scan(2, [below(2)]),
  linearScan: () => scan(3, [below(2)]),
  cummax: () => scan(2, []),
  cummin: () => scan(2, []),
  topk() {
    const [outer, n, inner] = [dim(4), dim(chance(0.2) ? 300 : 9), dim(4)];
    const k = below(n + 1);
    return [[outer * k * inner, outer * n * inner], [k, below(2), outer, n, inner]];
  },
  searchsorted() {
    const [r, n, m, each] = [dim(4), dim(9), dim(9), below(2)];
    return [[r * m, each ? r * n : n, r * m], [below(2), each, r, n, m]];
  },
  gemm() {
    const [batch, m, n, k] = [dim(3), dim(20), dim(20), dim(20)];
    const [a, b, c] = [chance(0.3), chance(0.3), chance(0.3)];
    const row = chance(0.3) ? 0 : n;
    const rows = row === 0 ? n : m * n;
    const reach = (one, size) => (one || size === 0 ? size : batch * size);
    const counts = [batch * m * n, reach(a, m * k), reach(b, k * n), reach(c, rows)];
    const strides = [a ? 0 : m * k, b ? 0 : k * n, c ? 0 : rows, row];
    return [counts, [batch, m, n, k, below(2), below(2), ...strides, below(2), 0.5, -2]];
  },
  conv2d: () => conv("yxwb", below(2), below(2)),
  conv2dGradX: () => conv("xyw", below(2)),
  conv2dGradW: () => conv("wyx", below(2)),
  maxPool2d: () => pool("yyx"),
  avgPool2d: () => pool("yx", below(2)),
  avgPool2dGrad: () => pool("xy", below(2)),
  adaptiveMaxPool2d: () => adaptive("yyx"),
  maxPool2dGrad: () => adaptive("xyy"),
  adaptiveAvgPool2d: () => adaptive("yx"),
  adaptiveAvgPool2dGrad: () => adaptive("xy"),
  unfold: () => columns("yx"),
  fold: () => columns("xy"),
  maxUnpool2d: () => adaptive("xyy"),
  maxUnpool2dGrad: () => adaptive("yxy"),
  interpolate: () => taps("yx"),
  interpolateGrad: () => taps("xy"),
  gridSample: () => grid("yxg"),
  gridSampleGradX: () => grid("xyg"),
  gridSampleGradGrid: () => grid("gyxg"),
  groupNorm: () => grouped("xggxcc", number()),
  groupNormGrad: () => grouped("xccxxggc"),
  rmsNorm: () => rows("xrxc", [number()]),
  rmsNormGrad: () => rows("xcxxrc", []),
  batchNorm: () => channels("xccxxcc", number(), below(2)),
  batchNormInfer: () => channels("xxxcccc", number(), below(2)),
  batchNormGrad: () => channels("xxccxxxcccc", number(), below(2), below(2)),
  fuse() {
    const n = dim(60);
    return [[n, Array(below(3)).fill(n), 5 * below(5)], [n]];
  },
  normalise: () => channels("xxcc"),
  layerNorm: () => rows("xrrxcc", [number()]),
  layerNormGrad: () => rows("xccxxrrc", []),
  embedding: () => table("ywn"),
  oneHot() {
    const [cols, n] = [dim(9), dim()];
    return [[n * cols, n], [cols, n]];
  },
  multinomial() {
    const [r, cols] = [dim(), some(9)];
    const n = some(cols);
    return [[r * n, r * cols], [below(2), below(100), below(100), r, cols, n]];
  },
  attention: () => attention("ylqkvm"),
  attentionGrad: () => attention("qkvyylqkvm"),
  lstmCell: () => cell("hhggh", 4),
  lstmCellGrad: () => cell("ghhhghh", 4),
  gruCell: () => cell("hgggh", 3),
  gruCellGrad: () => cell("gghhggh", 3),
  sumSegments: () => segments("yxo"),
  spreadSegments: () => segments("xyo"),
  maxSegments: () => segments("yyxo"),
  embeddingGrad: () => table("wyn", [pick([-1, 0])]),
  crossEntropy: () => rows("rrxr", [-100]),
  crossEntropyGrad: () => rows("xxrrr", [-100]),
  hinge: () => rows("rxr", [1, -100]),
  nll: () => rows("rrxcr", [-100]),
  nllGrad: () => rows("xrcr", [-100]),
  multiLabelMargin: () => rows("rxxx", []),
  ctc: () => ctc("nxlnn"),
  ctcGrad: () => ctc("xnxlnn"),
  hingeGrad: () => rows("xxrr", [1, -100]),
  sgd() {
    const [[p, g, v, step], numbers] = parameters(3, [1], [number(), number(), 0, number(), below(2), below(2)]);
    return [[p, g, chance(0.5) ? v : [], step], numbers];
  },
  adam() {
    const [[p, g, m, v, top, step], numbers] = parameters(5, [1], [number(), 0.9, 0.999, 1e-8, number(), below(2), below(2)]);
    return [[p, g, m, v, chance(0.5) ? top : [], step], numbers];
  },
  adamax: () => parameters(4, [1], [number(), 0.9, 0.999, 1e-8, number(), below(2)]),
  nadam: () => parameters(4, [1, 1], [number(), 0.9, 0.999, 1e-8, number(), number()]),
  radam: () => parameters(4, [1], [number(), 0.9, 0.999, 1e-8, number()]),
  lamb: () => parameters(4, [1], [number(), 0.9, 0.999, 1e-8, number()]),
  rmsprop() {
    const [[p, g, square, average, v, step], numbers] = parameters(5, [1], [number(), 0.9, 1e-8, number(), number(), below(2)]);
    return [[p, g, square, chance(0.5) ? average : [], chance(0.5) ? v : [], step], numbers];
  },
  adagrad: () => parameters(3, [1], [number(), number(), number(), 1e-8, number(), below(2)]),
  adadelta: () => parameters(4, [1], [number(), 0.9, 1e-8, number(), below(2)]),
  asgd: () => parameters(3, [1, 1, 1], [number(), number(), 0.75, 1e6, number(), below(2)]),
  lion: () => parameters(3, [1], [number(), 0.9, 0.99, number()]),
  muon: () => parameters(4, [1], [number(), number()]),
  gradNorm() {
    const [[list], numbers] = parameters(1, [], []);
    return [[1, list], numbers];
  },
  clipNorm: () => parameters(1, [1], [number()]),
  clipValue: () => parameters(1, [], [number()]),
  ema: () => parameters(2, [], [number()]),
  randomCrop() {
    const [n, c, h, w, pad] = [dim(3), dim(3), some(6), some(6), below(3)];
    const [p, q] = [some(h), some(w)];
    return [[n * c * p * q, n * c * h * w, n], [below(99), below(9), n, c, h, w, p, q, pad]];
  },
  randomFlip() {
    const [n, r, w] = [dim(3), dim(6), dim(6)];
    return [[n * r * w * 2, n * r * w * 2, n], [number(), below(99), below(9), n, r, w, 2]];
  },
  warp: () => resampled(9, [below(2)], true),
  resample: () => resampled(4, [below(3)], false),
  recolour() {
    const [n, c, h, w, k] = [dim(3), pick([1, 3]), dim(6), dim(6), below(3)];
    return [[n * c * h * w, n * c * h * w, n * k * 2], [n, c, h, w, k]];
  },
  blur() {
    const [n, c, h, w, k] = [dim(3), dim(3), 2 + some(4), 2 + some(4), pick([1, 3, 5])];
    return [[n * c * h * w, n * c * h * w, n * k], [n, c, h, w, k]];
  },
  patch() {
    const [n, c, h, w] = [dim(3), dim(3), dim(6), dim(6)];
    return [[n * c * h * w, n * c * h * w, n, n * 4, c], [n, c, h, w, 4]];
  },
  eraseNoise() {
    const [n, c, h, w] = [dim(3), dim(3), dim(6), dim(6)];
    return [[n * c * h * w, n * c * h * w, n, n * 4], [below(99), below(9), n, c, h, w, 4]];
  },
  peakFma() {
    const [rounds, chunks] = [below(100), dim(60)];
    return [[chunks], [rounds, chunks]];
  },
};

/** Where the op has no recipe of its own, by its letters; null where none is known. */
function recipeOf({ name, operands, numbers }) {
  if (RECIPES[name]) return RECIPES[name]();
  if (numbers === "*") return broadcast(operands.slice(1));
  if (numbers === "sss") {
    const softmax = /softmax/i.test(name);
    const [s, x, y] = reduction(softmax);
    return [operands.map((_, i) => (i === 0 ? y : x)), s];
  }
  if (/^d*n+$/.test(numbers)) {
    // n elements each; numbers in between are free.
    const n = dim(chance(0.1) ? 3000 : 60);
    const free = [...numbers.slice(0, -1)].map((l) => (l === "d" ? number() : below(100)));
    return [operands.map(() => n), [...free, n]];
  }
  return null;
}

const OPS = addon.signatures().map((line) => {
  const [name, dtypes, letters] = line.split(":");
  const operands = letters.match(/[ouixXmMaAlL]\??/g) ?? [];
  const numbers = letters.replace(/[ouixXmMaAlL]\??/g, "");
  const kinds = /any|^$/.test(dtypes) ? DTYPES.map((_, i) => i) : dtypes.split(", ").map((d) => DTYPES.indexOf(d));
  return { name, operands, numbers, kinds };
});

function dtypeFor(letter, shared, op) {
  switch (letter[0]) {
    case "x":
      return pick([2, 3, 4]);
    case "X":
      return 2;
    case "m":
    case "M":
      return 6;
    case "a":
      return op.name === "normalise" ? 4 : op.name === "cast" ? below(9) : 1;
    case "A":
      return below(9);
    default:
      return shared;
  }
}

function fitting(op) {
  const recipe = recipeOf(op);
  if (!recipe) return noise(op);
  const [counts, numbers] = recipe;
  const shared = pick(op.kinds);
  const handles = counts.map((count, i) => {
    const letter = op.operands[i] ?? "i";
    if (letter[1] === "?" && chance(0.2)) return null;
    const dtype = dtypeFor(letter, shared, op);
    return Array.isArray(count) ? count.map((c) => operand(dtype, c)) : operand(dtype, count);
  });
  return [...handles, ...numbers];
}

// ---- Spoiling

const BIG = [2 ** 20, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 1e308];
const ODD = [Number.NaN, Infinity, -Infinity, -1, -2, -(2 ** 31), -(2 ** 53) + 1, -(2 ** 63), 0.5, -0, 0];
const anyHandle = () =>
  chance(0.5) && live.length > 0
    ? pick(live).handle
    : pick([
        ...(dead.length > 0 ? [pick(dead)] : []), // freed
        ...(live.length > 0 ? [pick(live).handle + 2 ** 22 * some(3), pick(live).handle + 2 ** 32, -pick(live).handle, pick(live).handle + 0.5] : []), // foreign, stale
        0,
        below(2 ** 32),
        below(2 ** 22) + 2 ** 51,
      ]);
const junk = () =>
  pick([undefined, null, "7", "", {}, [], [[]], true, 7n, Symbol("s"), () => 7, new Float32Array(3), new Proxy([], {}), /x/, new Date(0), anyHandle(), pick(BIG), pick(ODD)]);

/** An array that frees one of its tensors, and all cached memory, while it is read. */
function trap(list) {
  const copy = [...list];
  if (copy.length === 0) return copy;
  const value = copy[0];
  Object.defineProperty(copy, below(copy.length), {
    get() {
      addon.free(value);
      addon.emptyCache();
      return chance(0.5) ? value : anyHandle();
    },
  });
  return copy;
}

function spoil(args) {
  const i = below(args.length);
  const at = args[i];
  switch (below(9)) {
    case 0:
      args[i] = junk();
      break;
    case 1:
      args.splice(i, 1);
      break;
    case 2:
      args.splice(i, 0, pick([junk(), at]));
      break;
    case 3:
      args[i] = args[below(args.length)];
      break;
    case 4:
      args[i] = Array.isArray(at) ? pick([trap(at), [...at, anyHandle()], at.slice(1), at.concat(at), [at], Array(below(5)), { length: 2 ** 31 }]) : anyHandle();
      break;
    case 5:
      args[i] = pick(live)?.handle ?? null;
      break;
    default:
      // A size that is almost right.
      args[i] =
        typeof at === "number"
          ? pick([at - 1, at + 1, at * 2, -at, at + 0.5, 0, at * 2 ** 32, pick(BIG), pick(ODD), Math.floor(at / 2), args.filter((a) => typeof a === "number" && a < 1e6)[0]])
          : junk();
  }
  return args;
}

function noise(op) {
  const length = chance(0.8) ? op.operands.length + below(16) : below(80);
  return Array.from({ length }, (_, i) => (i < op.operands.length && chance(0.8) ? anyHandle() : chance(0.6) ? below(9) : junk()));
}

function around() {
  const arrays = [
    () => new Float32Array(below(9)),
    () => new Uint8Array(new ArrayBuffer(64), below(8), below(9)),
    () => new BigInt64Array(below(5)),
    () => new Uint8ClampedArray(below(5)),
    () => new Float64Array(new SharedArrayBuffer(8 * some())),
    () => new DataView(new ArrayBuffer(8)),
    () => {
      const a = new Float32Array(8);
      structuredClone(a.buffer, { transfer: [a.buffer] }); // detached
      return a;
    },
    junk,
  ];
  const object = () => (chance(0.7) ? {} : junk());
  const handle = () => (chance(0.8) ? anyHandle() : junk());
  const count = () => pick([0, 1, below(100), -1, 0.5, Number.NaN, 2 ** 45, 2 ** 53 - 1, 2 ** 53, 2 ** 62, -(2 ** 53), junk()]);
  const code = () => (chance(0.7) ? below(9) : pick([-1, 9, 255, 0.5, 2 ** 40, Number.NaN, junk()]));
  const own = (made) => {
    // Whatever was made must be freed: it is in nobody's list.
    if (typeof made === "number") addon.free(made);
  };
  const cases = {
    alloc: () => own(addon.alloc(object(), code(), count())),
    alias: () => own(addon.alias(object(), handle())),
    fromHost: () => own(addon.fromHost(object(), code(), pick(arrays)())),
    free: () => addon.free(chance(0.7) ? pick([0, -1, Number.NaN, ...dead.slice(-5)]) : junkHandle()),
    isLive: () => addon.isLive(handle()),
    sweep: () => addon.sweep(junk()),
    stats() {
      const { buffer } = addon.stats();
      if (chance(0.1)) structuredClone(buffer, { transfer: [buffer] });
    },
    read: () => addon.read(handle()).catch(() => {}),
    readSync: () => addon.readSync(handle()),
    settled: () => addon.settled(junk()),
    synchronize: () => addon.synchronize(junk()),
    memory: () => addon.memory(junk()),
    emptyCache: () => addon.emptyCache(junk()),
    threads: () => addon.threads(pick([undefined, 1, 2, 3, 0, -1, 257, 1e9, 0.5, Number.NaN, "2", {}])),
    isa: () => addon.isa(pick([...addon.isas(), "", "mmx", "x".repeat(1000), 7, null])),
    capture,
    watch: () => addon.watch(pick([0, 0, 1, 2, 3, 6, 7, 8, -1, 0.5, Number.NaN, junk()]), pick([0, 1, 50, 2000, -1, 1e9, 0.5, junk()])),
    scopeName: () => addon.scopeName(pick(["a.b", "", "x".repeat(1000), junk()]), pick(["b", "\u{1f600}".repeat(99), junk()])),
    enter: () => addon.enter(pick([0, 1, 2, 3, -1, 0.5, 2 ** 21, 2 ** 32, 2 ** 53, junk()])),
    shapes: () => addon.shapes(pick(["[2,3]|[4]", "||||", "x".repeat(1000), junk()])),
    records: () => addon.records(junk()),
    finding: () => addon.finding(junk()),
    guard() {
      const list = () => pick([[], [handle()], [handle(), handle(), handle()], trap([anyHandle()]), Array(3), { length: 2 ** 31 }, junk()]);
      addon.guard(list(), list(), pick(["not finite", junk()]));
    },
    missing: () => addon[pick(["alloc", "alias", "fromHost", "free", "isLive", "read", "readSync", "isa", "threads", "watch", "scopeName", "enter", "shapes", "guard"])](...(chance(0.5) ? [] : [junk()])),
    detached() {
      const answer = Reflect.apply(addon[pick(["alloc", "free", "read"])], junk(), [junk(), junk()]);
      if (answer instanceof Promise) answer.catch(() => {}); // a live tensor that failed: reading it rejects, as it should
    },
    constructed: () => new addon[pick(["memory", "settled", "alloc"])]({}, 0, 1),
  };
  const junkHandle = () => {
    const j = junk();
    return typeof j === "number" && addon.isLive(j) ? 0 : j; // a live one would be missed in `live`
  };
  cases[pick(Object.keys(cases))]();
}

// ---- Captured steps: begun, ended and replayed in any order, while all other calls go on

// Ops of FLOATS among unary.def and binary.def, which may run together (native/elementwise.cc).
const WALKED = new Set(["relu", "tanh", "sigmoid", "exp", "silu", "square", "neg", "abs", "add", "sub", "mul", "div", "maximum", "minimum"]);
let captured = [];
function capture() {
  const one = () => (captured.length > 0 && chance(0.8) ? pick(captured) : pick([0, 1e9, junk()]));
  const numbers = (id) => {
    const { numbers } = addon.captureInfo(id);
    return Float64Array.from({ length: numbers }, () => pick([0, 1, 2, random(), 1e9, Number.NaN]));
  };
  const cases = [
    () => addon.captureBegin(),
    () => addon.captureBegin(),
    () => captured.push(addon.captureEnd(one())),
    () => captured.push(addon.captureEnd(one())),
    () => addon.captureAbort(),
    () => addon.capturePause(chance(0.3)),
    () => {
      const id = one();
      addon.captureReplay(id, chance(0.8) ? numbers(id) : pick([new Float64Array(below(3)), new Float32Array(1), junk()]));
    },
    () => {
      const id = pick(captured);
      for (let n = some(3); n > 0; n--) addon.captureReplay(id, numbers(id));
      if (chance(0.3)) addon.captureFree(id);
    },
    () => addon.captureFree(one()),
    () => addon.captureNames(one()),
    // A call with a number that changes, or with what only looks like one.
    () => {
      const op = pick(OPS);
      const args = fitting(op);
      const at = below(args.length);
      const slot = addon.captureScalar(typeof args[at] === "number" ? args[at] : random());
      args[at] = pick([slot, slot, slot, slot + 1n, slot * 2n, slot - slot, 2n ** 63n]);
      addon.ops[op.name](...args);
    },
    chain,
    chain,
  ];
  pick(cases)();
}

/** 3 to 5 elementwise calls on one shape, of inputs, broadcast ones and results before them: captured, and one by one. */
function chain() {
  const names = (pattern) => OPS.filter((op) => pattern.test(op.numbers) && WALKED.has(op.name)).map((op) => op.name);
  const [unary, binary] = [names(/^n$/), names(/^\*$/)];
  const dtype = below(2);
  const extents = chance(0.3) ? [1 + below(5000)] : [some(9), some(9), some(40)];
  const n = product(extents);
  const strides = (kept) => {
    let step = 1;
    return extents.map((_, d) => {
      const inner = extents.map((e, i) => (i > d && kept[i] ? e : 1));
      step = product(inner);
      return kept[d] ? step : 0;
    });
  };
  const whole = extents.map(() => true);
  const input = (kept) => ({ handle: make(dtype, product(extents.map((e, d) => (kept[d] ? e : 1)))).handle, strides: strides(kept) });
  const made = (handle) => ({ handle, strides: strides(whole) });
  const inputs = [input(whole), input(whole), input(extents.map(() => chance(0.5)))];
  // What each call is given: numbers of operands, inputs first and then the results.
  const calls = Array.from({ length: 2 + some(3) }, (_, i) => {
    const two = chance(0.6);
    const operand = () => (chance(0.6) && i > 0 ? inputs.length + below(i) : two ? below(inputs.length) : below(2));
    const [a, b] = [operand(), operand()];
    return { name: pick(two ? binary : unary), two, of: chance(0.5) && i > 0 ? [inputs.length + i - 1, b] : [a, b] };
  });
  const kept = calls.map((_, i) => i === calls.length - 1 || chance(0.3));
  const run = () => {
    const operands = [...inputs];
    for (const { name, two, of } of calls) {
      const y = made(make(dtype, n, true).handle);
      const [a, b] = of.map((at) => operands[at]);
      if (two) addon.ops[name](y.handle, a.handle, b.handle, extents.length, ...extents, ...a.strides, ...b.strides);
      else addon.ops[name](y.handle, a.handle, n);
      operands.push(y);
    }
    return operands.slice(inputs.length).map((y) => y.handle);
  };
  const bytes = (results) => results.filter((_, i) => kept[i]).map((handle) => Buffer.from(addon.readSync(handle)));
  addon.captureAbort();
  const single = bytes(run());
  addon.captureBegin();
  const results = run();
  for (const handle of results.filter((_, i) => !kept[i])) {
    live = live.filter((t) => t.handle !== handle);
    addon.free(handle); // an intermediate, which the plan lays where it likes
  }
  const id = addon.captureEnd(captured.at(-1) ?? 0);
  captured.push(id);
  addon.captureReplay(id, new Float64Array(0));
  const together = bytes(results);
  if (single.some((each, i) => !each.equals(together[i]))) {
    console.error(`chain: ${JSON.stringify({ dtype, extents, calls, kept, inputs })} has other bytes as ${addon.captureNames(id)}`);
    process.exit(1);
  }
  if (addon.captureNames(id).some((name) => name.startsWith("fused("))) counts.chains++;
}

function endCaptures() {
  addon.captureAbort();
  for (const id of captured) addon.captureFree(id);
  captured = [];
}

// ---- Rounds

const worked = new Set();
const counts = { calls: 0, worked: 0, refused: 0, chains: 0 };
for (let round = first; round < first + rounds; round++) {
  state = (seed * 1_000_003 + round) | 0;
  for (let i = 0; i < calls; i++) {
    if (progress !== null) writeSync(progress, `${round} ${i}\n`, 0);
    counts.calls++;
    const op = OPS[(round * calls + i) % OPS.length];
    try {
      if (chance(0.1)) around();
      else if (chance(0.05)) capture();
      else {
        const fits = chance(0.3);
        let args = chance(0.1) ? noise(op) : fitting(op);
        if (!fits) for (let n = some(2); n > 0; n--) args = spoil(args);
        if (verbose) console.error(round, i, op.name, args);
        addon.ops[op.name](...args);
        worked.add(op.name);
      }
      counts.worked++;
    } catch (error) {
      if (!(error instanceof Error)) throw new Error(`round ${round}, call ${i} (${op.name}): threw ${String(error)}, not an Error`);
      counts.refused++;
    }
    freeSome();
    if (chance(0.01)) await new Promise((resolve) => setImmediate(resolve));
  }
  endCaptures();
  addon.synchronize();
  for (const t of live) addon.free(t.handle);
  live = [];
  dead = [];
}
await addon.settled();
// Handles whose number was lost (`new addon.alloc(...)`) go with their objects.
v8.setFlagsFromString("--expose-gc");
vm.runInNewContext("gc")();
addon.sweep(true);
const { liveBuffers } = addon.memory();
console.log(JSON.stringify({ ...counts, liveBuffers, never: OPS.map((op) => op.name).filter((name) => !worked.has(name)) }));
