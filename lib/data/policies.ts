/**
 * Learned and random policies of augmentation: AutoAugment's for CIFAR-10, RandAugment, TrivialAugment. Each picture
 * draws its own operations; a stage is one call of the warp kernel and one of the recolour kernel over the whole batch.
 */
import type { Tensor } from "../tensor.js";
import { type Draws, drawsOf, type SampleKey } from "./draws.js";
import { expectPixels, IDENTITY, inverseAffine, type Matrix, type WarpOptions, warp } from "./geometry.js";
import { recolour, type Step } from "./recolour.js";
import type { Transform } from "./transforms.js";

type Name =
  | "Identity"
  | "ShearX"
  | "ShearY"
  | "TranslateX"
  | "TranslateY"
  | "Rotate"
  | "Brightness"
  | "Color"
  | "Contrast"
  | "Sharpness"
  | "Posterize"
  | "Solarize"
  | "AutoContrast"
  | "Equalize"
  | "Invert";

interface Operation {
  /** Strength at a level of 0 (none) to 1 (most), for a picture of that many pixels across or down. */
  strength(level: number, side: number): number;
  /** Whether the strength gets a random sign. */
  signed: boolean;
}

/** An operation on one picture: either a map or a step of colour. */
interface Chosen {
  matrix: Matrix;
  steps: readonly Step[];
}

const signed = (most: number): Operation => ({ strength: (level) => most * level, signed: true });
const translate: Operation = { strength: (level, side) => (150 / 331) * side * level, signed: true };
const plain: Operation = { strength: () => 0, signed: false };
const posterize = (bits: number): Operation => ({ strength: (level) => 8 - Math.round(bits * level), signed: false });
const solarize: Operation = { strength: (level) => 255 - 255 * level, signed: false };

/** The strengths of AutoAugment and RandAugment (torchvision's _augmentation_space). */
const STANDARD: Record<Name, Operation> = {
  Identity: plain,
  ShearX: signed(0.3),
  ShearY: signed(0.3),
  TranslateX: translate,
  TranslateY: translate,
  Rotate: signed(30),
  Brightness: signed(0.9),
  Color: signed(0.9),
  Contrast: signed(0.9),
  Sharpness: signed(0.9),
  Posterize: posterize(4),
  Solarize: solarize,
  AutoContrast: plain,
  Equalize: plain,
  Invert: plain,
};

/** TrivialAugment's wide ones. */
const WIDE: Record<Name, Operation> = {
  ...STANDARD,
  ShearX: signed(0.99),
  ShearY: signed(0.99),
  TranslateX: signed(32),
  TranslateY: signed(32),
  Rotate: signed(135),
  Brightness: signed(0.99),
  Color: signed(0.99),
  Contrast: signed(0.99),
  Sharpness: signed(0.99),
  Posterize: posterize(6),
};

/** All but Invert, which only AutoAugment uses. */
const RANDOM: readonly Name[] = (Object.keys(STANDARD) as Name[]).filter((name) => name !== "Invert");

const NOTHING: Chosen = { matrix: IDENTITY, steps: [] };

function choose(name: Name, space: Record<Name, Operation>, level: number, draw: Draws, h: number, w: number): Chosen {
  const { strength, signed } = space[name];
  const size = strength(level, name === "TranslateX" ? w : h);
  const v = signed && draw.chance(0.5) ? -size : size;
  const moved = (matrix: Matrix): Chosen => ({ matrix, steps: [] });
  const coloured = (...step: Step): Chosen => ({ matrix: IDENTITY, steps: [step] });
  switch (name) {
    case "Identity":
      return NOTHING;
    case "ShearX": // about the top left corner
      return moved([1, v, 0, 0, 1, 0, 0, 0, 1]);
    case "ShearY":
      return moved([1, 0, 0, v, 1, 0, 0, 0, 1]);
    case "TranslateX":
      return moved([1, 0, -Math.trunc(v), 0, 1, 0, 0, 0, 1]);
    case "TranslateY":
      return moved([1, 0, 0, 0, 1, -Math.trunc(v), 0, 0, 1]);
    case "Rotate":
      return moved(inverseAffine([h, w], { angle: -v }));
    case "Brightness":
      return coloured("brightness", 1 + v);
    case "Color":
      return coloured("saturation", 1 + v);
    case "Contrast":
      return coloured("contrast", 1 + v);
    case "Sharpness":
      return coloured("sharpness", 1 + v);
    case "Posterize":
      return coloured("posterize", v);
    case "Solarize":
      return coloured("solarize", v);
    case "AutoContrast":
      return coloured("autocontrast", 0);
    case "Equalize":
      return coloured("equalize", 0);
    case "Invert":
      return coloured("invert", 0);
  }
}

/** Draws what happens to each picture, stage by stage, and does it. */
abstract class Policy implements Transform {
  constructor(protected readonly options: WarpOptions) {}

  /** The operations of one picture, in their order. */
  protected abstract operations(draw: Draws, h: number, w: number): Chosen[];

  /** Bytes [n, c, h, w] to the same shape. */
  apply(x: Tensor, key: SampleKey): Tensor {
    const where = this.constructor.name;
    const [n, , h, w] = expectPixels(where, x);
    if (x.dtype !== "uint8")
      throw new TypeError(`${where}: expected pictures of uint8, got ${x.dtype}; put it before Normalize or ToFloat`);
    const chosen = drawsOf(where, key, n).map((draw) => this.operations(draw, h, w));
    const stages = Math.max(0, ...chosen.map((list) => list.length));
    let y = x;
    const replace = (next: Tensor) => {
      if (next !== y && y !== x) y.free();
      y = next;
    };
    for (let s = 0; s < stages; s++) {
      const stage = chosen.map((list) => list[s] ?? NOTHING);
      if (stage.some(({ matrix }) => matrix !== IDENTITY)) {
        const matrices = stage.map(({ matrix }) => matrix);
        replace(warp(where, y, matrices, this.options));
      }
      const programs = stage.map(({ steps }) => steps);
      replace(recolour(where, y, programs));
    }
    return y;
  }
}

type Choice = readonly [name: Name, p: number, level: number | null];

// The 25 sub-policies of the paper's table 7 (levels 0-9; null: the operation has none).
const CIFAR10: readonly (readonly [Choice, Choice])[] = [
  [
    ["Invert", 0.1, null],
    ["Contrast", 0.2, 6],
  ],
  [
    ["Rotate", 0.7, 2],
    ["TranslateX", 0.3, 9],
  ],
  [
    ["Sharpness", 0.8, 1],
    ["Sharpness", 0.9, 3],
  ],
  [
    ["ShearY", 0.5, 8],
    ["TranslateY", 0.7, 9],
  ],
  [
    ["AutoContrast", 0.5, null],
    ["Equalize", 0.9, null],
  ],
  [
    ["ShearY", 0.2, 7],
    ["Posterize", 0.3, 7],
  ],
  [
    ["Color", 0.4, 3],
    ["Brightness", 0.6, 7],
  ],
  [
    ["Sharpness", 0.3, 9],
    ["Brightness", 0.7, 9],
  ],
  [
    ["Equalize", 0.6, null],
    ["Equalize", 0.5, null],
  ],
  [
    ["Contrast", 0.6, 7],
    ["Sharpness", 0.6, 5],
  ],
  [
    ["Color", 0.7, 7],
    ["TranslateX", 0.5, 8],
  ],
  [
    ["Equalize", 0.3, null],
    ["AutoContrast", 0.4, null],
  ],
  [
    ["TranslateY", 0.4, 3],
    ["Sharpness", 0.2, 6],
  ],
  [
    ["Brightness", 0.9, 6],
    ["Color", 0.2, 8],
  ],
  [
    ["Solarize", 0.5, 2],
    ["Invert", 0, null],
  ],
  [
    ["Equalize", 0.2, null],
    ["AutoContrast", 0.6, null],
  ],
  [
    ["Equalize", 0.2, null],
    ["Equalize", 0.6, null],
  ],
  [
    ["Color", 0.9, 9],
    ["Equalize", 0.6, null],
  ],
  [
    ["AutoContrast", 0.8, null],
    ["Solarize", 0.2, 8],
  ],
  [
    ["Brightness", 0.1, 3],
    ["Color", 0.7, 0],
  ],
  [
    ["Solarize", 0.4, 5],
    ["AutoContrast", 0.9, null],
  ],
  [
    ["TranslateY", 0.9, 9],
    ["TranslateY", 0.7, 9],
  ],
  [
    ["AutoContrast", 0.9, null],
    ["Solarize", 0.8, 3],
  ],
  [
    ["Equalize", 0.8, null],
    ["Invert", 0.1, null],
  ],
  [
    ["TranslateY", 0.7, 9],
    ["AutoContrast", 0.9, null],
  ],
];

/**
 * The policy that was learned on CIFAR-10 (Cubuk et al., "AutoAugment: learning augmentation strategies from data", 2019),
 * with PyTorch's strengths. Bytes only: it stands before Normalize.
 *
 * @example
 * const augment = new data.Compose([new data.RandomHorizontalFlip(), new data.AutoAugment(), new data.ToFloat()]);
 */
export class AutoAugment extends Policy {
  /**
   * Another policy than CIFAR-10's is an error.
   *
   * @param options how pixels are taken: interpolation, default nearest, and fill, default 0
   */
  constructor({ policy = "cifar10", ...options }: { policy?: "cifar10" } & WarpOptions = {}) {
    super(options);
    if (policy !== "cifar10") throw new TypeError(`AutoAugment: expected policy "cifar10", got ${policy}`);
  }

  protected operations(draw: Draws, h: number, w: number): Chosen[] {
    const policy = CIFAR10[draw.below(CIFAR10.length)]!;
    return policy.map(([name, p, level]) =>
      draw.chance(p) ? choose(name, STANDARD, (level ?? 0) / 9, draw, h, w) : NOTHING,
    );
  }
}

/** Options of RandAugment. */
export interface RandAugmentOptions extends WarpOptions {
  /** Operations a picture. Default 2. */
  ops?: number;
  /** Strength of each, from 0 to bins - 1. Default 9. */
  magnitude?: number;
  /** How fine the strengths are. Default 31. */
  bins?: number;
}

/** Operations at random, all of one strength (Cubuk et al., "RandAugment", 2020), as PyTorch has them. Bytes only. */
export class RandAugment extends Policy {
  /** Operations a picture. */
  readonly ops: number;
  /** Strength of each, from 0 to bins - 1. */
  readonly magnitude: number;
  /** How fine the strengths are. */
  readonly bins: number;

  /** A magnitude that is not below bins is an error. */
  constructor({ ops = 2, magnitude = 9, bins = 31, ...options }: RandAugmentOptions = {}) {
    super(options);
    const whole = [ops, magnitude, bins].every((v) => Number.isSafeInteger(v) && v >= 0);
    if (!whole || bins < 2 || magnitude >= bins)
      throw new RangeError(
        `RandAugment: expected ops from 0 up and a magnitude below bins (2 or more), got ops ${ops}, magnitude ${magnitude}, bins ${bins}`,
      );
    this.ops = ops;
    this.magnitude = magnitude;
    this.bins = bins;
  }

  protected operations(draw: Draws, h: number, w: number): Chosen[] {
    const level = this.magnitude / (this.bins - 1);
    return Array.from({ length: this.ops }, () =>
      choose(RANDOM[draw.below(RANDOM.length)]!, STANDARD, level, draw, h, w),
    );
  }
}

/**
 * One operation of a random strength a picture, from wide ranges (Müller & Hutter, "TrivialAugment: tuning-free yet
 * state-of-the-art data augmentation", 2021). Bytes only.
 */
export class TrivialAugmentWide extends Policy {
  /**
   * There is nothing to tune.
   *
   * @param options how pixels are taken: interpolation, default nearest, and fill, default 0
   */
  constructor(options: WarpOptions = {}) {
    super(options);
  }

  protected operations(draw: Draws, h: number, w: number): Chosen[] {
    return [choose(RANDOM[draw.below(RANDOM.length)]!, WIDE, draw.below(31) / 30, draw, h, w)];
  }
}
