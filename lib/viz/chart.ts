/**
 * @file Line charts as SVG. The colours are the page's CSS variables; values that are not finite are left out of the lines
 * and counted below.
 */
import { formatCount, formatNumber, round } from "./text.js";

/** Points of a line, in the order of x. */
export interface Points {
  /** epochs, fractions allowed (step / steps of an epoch) */
  x: ArrayLike<number>;
  y: ArrayLike<number>;
}

/** A chart's curves of training and validation. */
export interface Curves {
  train?: Points;
  validation?: Points;
}

/** One line of a chart. */
export interface Line extends Points {
  name: string;
  color: "train" | "validation";
}

// The SVG's own units; it scales with the page.
const CHART = { width: 440, height: 300, left: 52, right: 12, top: 14, bottom: 42 };

/** The lines of a chart, with their names and colours. */
export function curvesOf({ train, validation }: Curves): Line[] {
  const lines: Line[] = [];
  if (train) lines.push({ name: "train", color: "train", ...train });
  if (validation) lines.push({ name: "validation", color: "validation", ...validation });
  return lines;
}

export function lineChart(title: string, lines: Line[], format: (value: number) => string, highest?: number): string {
  const clean = lines.map((line) => ({ ...line, points: finitePoints(line) }));
  const all = clean.flatMap(({ points }) => points);
  if (all.length === 0) {
    return `<figure class="chart"><figcaption>${title}</figcaption><p class="note">No finite value was recorded.</p></figure>`;
  }
  const { width, height, left, right, top, bottom } = CHART;
  const xs = axis(all.map((point) => point.x));
  const ys = axis(
    all.map((point) => point.y),
    highest,
  );
  const px = (x: number) => round(left + ((x - xs.min) / (xs.max - xs.min)) * (width - left - right));
  const py = (y: number) => round(height - bottom - ((y - ys.min) / (ys.max - ys.min)) * (height - top - bottom));

  const grid = [
    ...ys.ticks.map(
      (y) =>
        `<line class="grid" x1="${left}" x2="${width - right}" y1="${py(y)}" y2="${py(y)}"/>` +
        `<text class="tick" x="${left - 8}" y="${py(y) + 4}" text-anchor="end">${format(y)}</text>`,
    ),
    `<line class="axis" x1="${left}" x2="${width - right}" y1="${height - bottom}" y2="${height - bottom}"/>`,
    ...xs.ticks.map(
      (x) =>
        `<line class="axis" x1="${px(x)}" x2="${px(x)}" y1="${height - bottom}" y2="${height - bottom + 4}"/>` +
        `<text class="tick" x="${px(x)}" y="${height - bottom + 18}" text-anchor="middle">${formatNumber(x)}</text>`,
    ),
    `<text class="tick" x="${(left + width - right) / 2}" y="${height - 6}" text-anchor="middle">epoch</text>`,
  ];
  const drawn = clean.map(({ color, name, points }) => {
    const noisy = points.length > 60 && name === "train";
    const path = (points: Point[], extra: string) => {
      const steps = points.map(({ x, y, gap }, i) => `${i === 0 || gap ? "M" : "L"}${px(x)} ${py(y)}`);
      return `<path class="line ${color}${extra}" d="${steps.join("")}"/>`;
    };
    const marks =
      points.length > 40
        ? ""
        : points
            .map(
              ({ x, y }) =>
                `<circle class="${color}" cx="${px(x)}" cy="${py(y)}" r="3"><title>${name}, epoch ${formatNumber(x)}: ${format(y)}</title></circle>`,
            )
            .join("");
    // Batch losses jump: their extremes stay visible, pale, behind the mean.
    return (noisy ? path(thin(points), " pale") + path(thin(smooth(points)), "") : path(thin(points), "")) + marks;
  });
  const dropped = clean.reduce((sum, { x, y, points }) => sum + Math.min(x.length, y.length) - points.length, 0);
  const note =
    dropped > 0 ? `<p class="note">${formatCount(dropped)} values that are not finite are not drawn.</p>` : "";
  const legend =
    lines.length > 1
      ? `<span class="legend">${lines.map(({ name, color }) => `<span class="${color}">${name}</span>`).join("")}</span>`
      : "";
  return (
    `<figure class="chart"><figcaption>${title}${legend}</figcaption>` +
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title} by epoch">${grid.join("")}${drawn.join("")}</svg>${note}</figure>`
  );
}

interface Point {
  x: number;
  y: number;
  /** values before this one are missing: the line breaks */
  gap: boolean;
}

/** The finite points. A magnitude above 1e300 counts as infinite: differences of two such overflow. */
function finitePoints({ x, y }: Points): Point[] {
  const points: Point[] = [];
  let gap = false;
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const finite = Math.abs(x[i]) <= 1e300 && Math.abs(y[i]) <= 1e300;
    if (finite) points.push({ x: x[i], y: y[i], gap });
    gap = !finite;
  }
  return points;
}

/** At most two points (lowest and highest) for each of 300 columns: all that the chart can show. */
function thin(points: Point[]): Point[] {
  const columns = 300;
  if (points.length <= 2 * columns) return points;
  const result: Point[] = [];
  for (let column = 0; column < columns; column++) {
    const begin = Math.floor((column * points.length) / columns);
    const end = Math.floor(((column + 1) * points.length) / columns);
    let [low, high] = [begin, begin];
    for (let i = begin; i < end; i++) {
      if (points[i].y < points[low].y) low = i;
      if (points[i].y > points[high].y) high = i;
    }
    const gap = points.slice(begin, end).some((point) => point.gap);
    result.push({ ...points[Math.min(low, high)], gap });
    if (low !== high) result.push({ ...points[Math.max(low, high)], gap: false });
  }
  return result;
}

/** The mean over the points around each, a fortieth of all: centred, so that it does not lag behind a falling loss. */
function smooth(points: Point[]): Point[] {
  const reach = Math.max(1, Math.round(points.length / 80));
  const sums = [0]; // relative to the first value, so that large values keep their digits
  for (const { y } of points) sums.push(sums.at(-1)! + (y - points[0].y));
  return points.map((point, i) => {
    const half = Math.min(reach, i, points.length - 1 - i);
    const mean = points[0].y + (sums[i + half + 1] - sums[i - half]) / (2 * half + 1);
    return { ...point, y: Number.isFinite(mean) ? mean : point.y };
  });
}

/** An axis over the values with 4 to 8 ticks at 1, 2 or 5 times a power of ten; from 0 where that costs little room. */
function axis(values: number[], highest = Number.POSITIVE_INFINITY): { min: number; max: number; ticks: number[] } {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) [min, max] = [Math.min(min, value), Math.max(max, value)];
  if (min >= 0 && min < 0.3 * max) min = 0;
  if (min === max) [min, max] = min === 0 ? [0, 1] : [min - Math.abs(min) / 2, max + Math.abs(max) / 2];
  const rough = (max - min) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999) ?? rough;
  const [first, last] = [Math.floor(min / step + 1e-9), Math.ceil(max / step - 1e-9)];
  const count = Math.min(12, last - first); // a span below the resolution of the numbers has no honest ticks
  const ticks = Array.from({ length: count + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  const inside = ticks.filter((tick) => tick <= highest);
  return { min: Math.min(min, inside[0] ?? min), max: Math.max(max, inside.at(-1) ?? max), ticks: inside };
}
