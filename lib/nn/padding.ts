/**
 * Layers that put a border around rows, pictures and clips.
 */
import { expect } from "../errors.js";
import { type PadOptions, pad } from "../ops/pad.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** A border: one extent for all sides, or [before, after] from the last dimension backwards. */
abstract class Padding extends Module {
  /** [before, after] of the last dimension, then of the one before it. */
  readonly padding: readonly number[];

  constructor(
    axes: number,
    padding: number | readonly number[],
    /** What pad() is called with: mode and value. */
    readonly options: PadOptions,
  ) {
    super();
    const sides = typeof padding === "number" ? new Array<number>(2 * axes).fill(padding) : [...padding];
    expect(
      sides.length === 2 * axes && sides.every(Number.isSafeInteger),
      this.constructor.name,
      `one integer or ${2 * axes}, [before, after] from the last dimension backwards`,
      JSON.stringify(padding),
    );
    this.padding = sides;
  }
  forward(x: Tensor): Tensor {
    return pad(x, this.padding, this.options);
  }
  protected override describe(): string {
    return `[${this.padding}]${this.options.value ? `, ${this.options.value}` : ""}`;
  }
}

/** Zeros around [..., l]. padding: one extent, or [left, right]; negative crops. */
export class ZeroPad1d extends Padding {
  /**
   * Holds the border of every call; nothing is learned.
   *
   * @param padding of both ends, or [left, right]
   */
  constructor(padding: number | readonly [number, number]) {
    super(1, padding, {});
  }
}
/** Zeros around [..., h, w]. padding: one extent, or [left, right, top, bottom]; negative crops. */
export class ZeroPad2d extends Padding {
  /**
   * Holds the border of every call; nothing is learned.
   *
   * @param padding of all sides, or [left, right, top, bottom]
   */
  constructor(padding: number | readonly [number, number, number, number]) {
    super(2, padding, {});
  }
}
/** `value` around [..., l]. padding: one extent, or [left, right]; negative crops. */
export class ConstantPad1d extends Padding {
  /**
   * Holds the border of every call; nothing is learned.
   *
   * @param padding of both ends, or [left, right]
   * @param value what the border holds
   */
  constructor(padding: number | readonly [number, number], value: number) {
    super(1, padding, { value });
  }
}
/** `value` around [..., h, w]. padding: one extent, or [left, right, top, bottom]; negative crops. */
export class ConstantPad2d extends Padding {
  /**
   * Holds the border of every call; nothing is learned.
   *
   * @param padding of all sides, or [left, right, top, bottom]
   * @param value what the border holds
   */
  constructor(padding: number | readonly [number, number, number, number], value: number) {
    super(2, padding, { value });
  }
}
/** [..., l] mirrored at its ends, which are not repeated. padding: one extent, or [left, right], below l. */
export class ReflectionPad1d extends Padding {
  /**
   * Holds the border of every call; nothing is learned.
   *
   * @param padding of both ends, or [left, right], below l
   */
  constructor(padding: number | readonly [number, number]) {
    super(1, padding, { mode: "reflect" });
  }
}
/** [..., h, w] mirrored at its edges, which are not repeated. padding: one extent, or [left, right, top, bottom]. */
export class ReflectionPad2d extends Padding {
  /**
   * Holds the border of every call; nothing is learned.
   *
   * @param padding of all sides, or [left, right, top, bottom], below w and h
   */
  constructor(padding: number | readonly [number, number, number, number]) {
    super(2, padding, { mode: "reflect" });
  }
}
/** The ends of [..., l] repeated. padding: one extent, or [left, right]. */
export class ReplicationPad1d extends Padding {
  /**
   * Holds the border of every call; nothing is learned.
   *
   * @param padding of both ends, or [left, right]
   */
  constructor(padding: number | readonly [number, number]) {
    super(1, padding, { mode: "replicate" });
  }
}
/** The edges of [..., h, w] repeated. padding: one extent, or [left, right, top, bottom]. */
export class ReplicationPad2d extends Padding {
  /**
   * Holds the border of every call; nothing is learned.
   *
   * @param padding of all sides, or [left, right, top, bottom]
   */
  constructor(padding: number | readonly [number, number, number, number]) {
    super(2, padding, { mode: "replicate" });
  }
}
/** [..., l] continued from its other end. padding: one extent, or [left, right], at most l. */
export class CircularPad1d extends Padding {
  /**
   * Holds the border of every call; nothing is learned.
   *
   * @param padding of both ends, or [left, right], at most l
   */
  constructor(padding: number | readonly [number, number]) {
    super(1, padding, { mode: "circular" });
  }
}
/** [..., h, w] continued from its other side. padding: one extent, or [left, right, top, bottom]. */
export class CircularPad2d extends Padding {
  /**
   * Holds the border of every call; nothing is learned.
   *
   * @param padding of all sides, or [left, right, top, bottom], at most w and h
   */
  constructor(padding: number | readonly [number, number, number, number]) {
    super(2, padding, { mode: "circular" });
  }
}
