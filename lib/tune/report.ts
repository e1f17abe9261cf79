/** @file A study as a table and as a picture. */
import { escapeHtml, formatNumber, round } from "../viz/text.js";
import { shareOf } from "./space.js";
import type { Study } from "./study.js";

const showValue = (v: unknown): string =>
  typeof v === "number" ? formatNumber(v) : typeof v === "string" ? v : JSON.stringify(v);

export function table(study: Study): string {
  const names = Object.keys(study.space);
  const failed = study.trials.filter((t) => t.score === null);
  const rows = [...study.ranked, ...failed].map((t) => [
    `${t.number}`,
    ...names.map((name) => showValue(t.parameters[name])),
    t.score === null ? "-" : formatNumber(t.score),
    t.state,
    `${t.seconds.toFixed(1)} s`,
  ]);
  const all = [["trial", ...names, "score", "state", "time"], ...rows];
  const widths = all[0]!.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  return all.map((row) => row.map((cell, i) => cell.padStart(widths[i]!)).join("  ")).join("\n");
}

const CHART = { axis: 90, height: 320, left: 60, right: 60, top: 30, bottom: 40 }; // axis: from one to the next, at least

export function parallelCoordinates(study: Study): string {
  const { axis: between, height, left, right, top, bottom } = CHART;
  const names = Object.keys(study.space);
  const width = Math.max(640, left + right + between * names.length);
  const ranked = study.ranked;
  const scores = ranked.map((t) => t.score!);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const x = (i: number) => round(left + (i / names.length) * (width - left - right));
  const y = (share: number) => round(height - bottom - share * (height - top - bottom));
  const shareOfScore = (score: number) => (high > low ? (score - low) / (high - low) : 0.5);
  const place = (name: string, value: unknown): number => {
    const d = study.space[name]!;
    if (d.kind === "range") return shareOf(d, value as number);
    const at = d.values.findIndex((v) => JSON.stringify(v) === JSON.stringify(value));
    return d.values.length > 1 ? at / (d.values.length - 1) : 0.5;
  };
  const lines = [...ranked].reverse().map((t) => {
    const points = [
      ...names.map((name, i) => `${x(i)},${y(place(name, t.parameters[name]))}`),
      `${x(names.length)},${y(shareOfScore(t.score!))}`,
    ];
    const good = study.direction === "maximize" ? shareOfScore(t.score!) : 1 - shareOfScore(t.score!);
    const best = t === ranked[0];
    // From grey to blue; the best in orange.
    const colour = best ? "#e4572e" : `hsl(215 ${Math.round(80 * good)}% ${Math.round(72 - 27 * good)}%)`;
    return `<polyline fill="none" stroke="${colour}" stroke-width="${best ? 2.5 : 1}" points="${points.join(" ")}"><title>trial ${t.number}: ${escapeHtml(showValue(t.score))}</title></polyline>`;
  });
  const ends = (name: string): [string, string] => {
    const d = study.space[name]!;
    const [a, b] = d.kind === "range" ? [d.low, d.high] : [d.values[0], d.values.at(-1)];
    return [showValue(a), showValue(b)];
  };
  const axis = (i: number, name: string, [from, to]: [string, string]) =>
    `<line x1="${x(i)}" x2="${x(i)}" y1="${y(0)}" y2="${y(1)}" stroke="#888"/>` +
    `<text x="${x(i)}" y="${top - 14}" text-anchor="middle" font-weight="bold">${escapeHtml(name)}</text>` +
    `<text x="${x(i)}" y="${top - 3}" text-anchor="middle">${escapeHtml(to)}</text>` +
    `<text x="${x(i)}" y="${height - bottom + 14}" text-anchor="middle">${escapeHtml(from)}</text>`;
  const axes = [
    ...names.map((name, i) => axis(i, name, ends(name))),
    axis(names.length, "score", ranked.length > 0 ? [showValue(low), showValue(high)] : ["", ""]),
  ];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">` +
    `<title>${ranked.length} trials, a line each through its parameters to its score; the best in orange</title>` +
    `${lines.join("")}${axes.join("")}</svg>`
  );
}
