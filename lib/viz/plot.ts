/**
 * @file Line plots without a browser: as text for a terminal, and as pixels for a PNG file. The x axis may be logarithmic.
 */
import { axis } from "./chart.js";
import { encodePng } from "./png.js";
import { formatNumber } from "./text.js";

/** What to draw. */
export interface Plot {
  x: readonly number[];
  /** The curve; values that are not finite are gaps. */
  y: readonly number[];
  /** A second curve behind it, pale, cut at the range of the first. */
  behind?: readonly number[];
  /** A vertical line at this x. */
  mark?: number | null;
  /** Whether x is drawn by its logarithm; it must be positive then. Default false. */
  logX?: boolean;
}

interface Scale {
  /** Share of the width or height, 0 to 1, left to right and bottom to top. */
  px: (x: number) => number;
  py: (y: number) => number;
  xTicks: number[];
  yTicks: number[];
}

function scaleOf({ x, y, logX = false }: Plot): Scale {
  const values = y.filter(Number.isFinite);
  if (x.length !== y.length || values.length === 0)
    throw new RangeError(`plot: expected as many x as y, and a finite y, got ${x.length} and ${y.length}`);
  const by = (v: number) => (logX ? Math.log10(v) : v);
  const [left, right] = [by(Math.min(...x)), by(Math.max(...x))];
  const ys = axis(values);
  const decades = Array.from({ length: Math.floor(right + 1e-9) - Math.ceil(left - 1e-9) + 1 }, (_, i) =>
    Number(`1e${Math.ceil(left - 1e-9) + i}`),
  );
  return {
    px: (v) => (right > left ? (by(v) - left) / (right - left) : 0.5),
    py: (v) => (v - ys.min) / (ys.max - ys.min),
    xTicks: logX ? decades : axis([...x]).ticks.filter((t) => t >= left && t <= right),
    yTicks: ys.ticks,
  };
}

/** The plot as lines of text; `width` and `height` are those of the area without labels. */
export function plotText(plot: Plot, { width = 60, height = 15 }: { width?: number; height?: number } = {}): string {
  const { px, py, xTicks, yTicks } = scaleOf(plot);
  const rows = Array.from({ length: height }, () => new Array<string>(width).fill(" "));
  const column = (x: number) => Math.min(width - 1, Math.max(0, Math.round(px(x) * (width - 1))));
  const row = (y: number) => Math.min(height - 1, Math.max(0, Math.round((1 - py(y)) * (height - 1))));
  if (plot.mark != null) for (const cells of rows) cells[column(plot.mark)] = "┊";
  plot.y.forEach((y, i) => {
    if (Number.isFinite(y)) rows[row(y)]![column(plot.x[i]!)] = "•";
  });
  const labels = new Map(yTicks.map((y) => [row(y), formatNumber(y)]));
  const margin = Math.max(...[...labels.values()].map((label) => label.length));
  const lines = rows.map((cells, i) => {
    const label = labels.get(i);
    return `${(label ?? "").padStart(margin)} ${label === undefined ? "│" : "┤"}${cells.join("")}`.trimEnd();
  });
  const base = new Array<string>(width).fill("─");
  const names = new Array<string>(width + 6).fill(" ");
  let free = 0;
  for (const x of xTicks) {
    const at = column(x);
    base[at] = "┬";
    const name = formatNumber(x);
    const from = Math.min(Math.max(0, at - (name.length >> 1)), names.length - name.length);
    if (from < free) continue;
    names.splice(from, name.length, ...name);
    free = from + name.length + 1;
  }
  const pad = " ".repeat(margin + 1);
  return [...lines, `${pad}└${base.join("")}`, `${pad} ${names.join("").trimEnd()}`].join("\n");
}

// Digits of 3 x 5 pixels, a row each.
const GLYPHS: Record<string, string> = {
  "0": "###|#.#|#.#|#.#|###",
  "1": ".#.|##.|.#.|.#.|###",
  "2": "###|..#|###|#..|###",
  "3": "###|..#|.##|..#|###",
  "4": "#.#|#.#|###|..#|..#",
  "5": "###|#..|###|..#|###",
  "6": "###|#..|###|#.#|###",
  "7": "###|..#|..#|.#.|.#.",
  "8": "###|#.#|###|#.#|###",
  "9": "###|#.#|###|..#|###",
  ".": "...|...|...|...|.#.",
  "-": "...|...|###|...|...",
  e: "...|###|###|#..|###",
};
const INK = {
  text: [90, 100, 115],
  grid: [227, 231, 238],
  line: [37, 99, 235],
  behind: [190, 208, 248],
  mark: [217, 101, 11],
};

/** The plot as a PNG file. */
export function plotPng(plot: Plot, { width = 720, height = 420 }: { width?: number; height?: number } = {}): Buffer {
  const { px, py, xTicks, yTicks } = scaleOf(plot);
  const [left, right, top, bottom] = [70, 20, 16, 34];
  const pixels = new Uint8Array(width * height * 3).fill(255);
  const dot = (x: number, y: number, ink: readonly number[]) => {
    if (x >= 0 && x < width && y >= 0 && y < height) pixels.set(ink, (y * width + x) * 3);
  };
  const at = (x: number, y: number) =>
    [
      Math.round(left + px(x) * (width - left - right)),
      Math.round(height - bottom - py(y) * (height - top - bottom)),
    ] as const;
  const segment = (
    [x0, y0]: readonly [number, number],
    [x1, y1]: readonly [number, number],
    ink: readonly number[],
    thick = 1,
  ) => {
    const steps = Math.max(1, Math.abs(x1 - x0), Math.abs(y1 - y0));
    for (let i = 0; i <= steps; i++) {
      const [x, y] = [Math.round(x0 + ((x1 - x0) * i) / steps), Math.round(y0 + ((y1 - y0) * i) / steps)];
      for (let a = 0; a < thick; a++) for (let b = 0; b < thick; b++) dot(x + a, y + b, ink);
    }
  };
  const write = (text: string, x: number, y: number) => {
    [...text].forEach((char, c) => {
      (GLYPHS[char] ?? "").split("|").forEach((bits, r) => {
        for (let i = 0; i < bits.length; i++)
          if (bits[i] === "#")
            for (const [a, b] of [
              [0, 0],
              [0, 1],
              [1, 0],
              [1, 1],
            ] as const)
              dot(x + 2 * (4 * c + i) + a, y + 2 * r + b, INK.text);
      });
    });
  };
  const [x0, x1, y0, y1] = [left, width - right, height - bottom, top];
  for (const y of yTicks) {
    const [, py] = at(plot.x[0]!, y);
    segment([x0, py], [x1, py], INK.grid);
    const label = formatNumber(y);
    write(label, left - 8 - 8 * label.length, py - 5);
  }
  for (const x of xTicks) {
    const [px] = at(x, yTicks[0]!);
    segment([px, y0], [px, y0 + 5], INK.text);
    const label = formatNumber(x);
    write(label, px - 4 * label.length, y0 + 12);
  }
  segment([x0, y0], [x1, y0], INK.text);
  const curve = (values: readonly number[], ink: readonly number[], thick: number) => {
    let last: readonly [number, number] | null = null;
    values.forEach((y, i) => {
      const [cx, cy] = at(plot.x[i]!, y);
      const here = Number.isFinite(y) ? ([cx, Math.min(y0, Math.max(y1, cy))] as const) : null;
      if (here) segment(last ?? here, here, ink, thick);
      last = here;
    });
  };
  if (plot.behind) curve(plot.behind, INK.behind, 1);
  if (plot.mark != null) {
    const [px] = at(plot.mark, yTicks[0]!);
    segment([px, y0], [px, y1], INK.mark);
  }
  curve(plot.y, INK.line, 2);
  return encodePng(pixels, { width, height, channels: 3 });
}
