/**
 * @file What a training run was and did, as one HTML file: no scripts, no other files, readable in ten years.
 *
 * The caller gives numbers and pictures (ReportData); sections without data are left out. Charts are SVG in the page,
 * pictures are PNG data URIs. Colours are CSS variables, so that light, dark and print are one document. All text is
 * escaped, and a content policy forbids whatever might slip through. A run that diverged gets a report too: values
 * that are not finite are left out of the lines and counted below the chart.
 */
import { type Curves, curvesOf, lineChart, type Points } from "./chart.js";
import { encodePng } from "./png.js";
import { escapeHtml, formatCount, formatDuration, formatNumber, formatPercent, round } from "./text.js";

export type { Curves, Points } from "./chart.js";

/** Precision, recall and F1; lib/metrics computes them. */
export interface Scores {
  precision: number;
  recall: number;
  f1: number;
}

/** A picture that the network got wrong. */
export interface Mistake {
  /** a data URI: `data:image/png;base64,...` */
  image: string;
  /** class index (shown by its name) or text */
  truth: number | string;
  predicted: number | string;
  /** the network's probability of `predicted`, 0 to 1 */
  probability?: number;
}

/** What the page shows; parts that are not given are left out. */
export interface ReportData {
  title: string;
  /** one line below the title: model, data set, when */
  subtitle?: string;
  /** the large numbers; only those given are shown */
  summary?: {
    /** 0 to 1 */
    testAccuracy?: number;
    testLoss?: number;
    seconds?: number;
    imagesPerSecond?: number;
    parameters?: number;
    seed?: number;
  };
  /** versions of what ran, by name: { napier: "0.1.0", node: "v20.20.2", cpu: "..." } */
  versions?: Readonly<Record<string, string>>;
  /** chart titles and their curves: loss, accuracy (0 to 1) and learning rate are drawn when given */
  history?: {
    loss?: Curves;
    accuracy?: Curves;
    learningRate?: Points;
  };
  /** what was found wrong with the run, a sentence each; an empty list says that nothing was */
  diagnosis?: readonly { message: string }[];
  /** by class index; default "0", "1", ... */
  classNames?: readonly string[];
  /** counts[true][predicted] */
  confusion?: readonly (readonly number[])[];
  /** per class, by class index, and averages; ClassificationScores of lib/metrics is one */
  scores?: { perClass: readonly (Scores & { support: number })[]; macro?: Scores; weighted?: Scores };
  /** weights of the first convolution, [k, c, r, s], flat and row-major: k filters of c channels */
  filters?: { weights: ArrayLike<number>; shape: readonly number[] };
  mistakes?: readonly Mistake[];
  /** how many there were in all, when only some are shown */
  mistakesTotal?: number;
  /** the text of model.summary() */
  modelSummary?: string;
  /** options of the run, nested as they are */
  config?: Readonly<Record<string, unknown>>;
}

const TABLE_CLASSES = 25; // a larger confusion matrix is a picture
const MAX_FILTERS = 256;

/**
 * The report as one HTML document.
 *
 * @throws RangeError when a picture is no data URI of an image, or the confusion matrix or filters are malformed
 */
export function renderReport(data: ReportData): string {
  const { title, subtitle, history = {}, config, modelSummary } = data;
  const name = (index: number | string) =>
    typeof index === "number" ? (data.classNames?.[index] ?? `${index}`) : index;
  const { loss, accuracy, learningRate } = history;
  const charts = [
    loss && lineChart("Loss", curvesOf(loss), formatNumber),
    accuracy && lineChart("Accuracy", curvesOf(accuracy), formatPercent, 1),
    learningRate &&
      lineChart("Learning rate", [{ name: "learning rate", color: "train", ...learningRate }], formatNumber),
  ];
  const body = [
    `<header><h1>${escapeHtml(title)}</h1>${subtitle ? `<p>${escapeHtml(subtitle)}</p>` : ""}</header>`,
    summaryTiles(data.summary ?? {}),
    section(
      "Training",
      charts.filter(Boolean).length > 0 && `<div class="charts">${charts.filter(Boolean).join("")}</div>`,
    ),
    section("Diagnosis", data.diagnosis && findings(data.diagnosis)),
    section("Confusion matrix", data.confusion && confusionMap(data.confusion, name)),
    section("Per class", data.scores && scoreTable(data.scores, name)),
    section("First-layer filters", data.filters && filterGrid(data.filters)),
    section("Mistakes", data.mistakes && mistakeGrid(data.mistakes, name, data.mistakesTotal)),
    section("Model", modelSummary && `<pre>${escapeHtml(modelSummary)}</pre>`),
    section("Configuration", config && keyValues(flatten(config))),
    section("Versions", data.versions && keyValues(Object.entries(data.versions))),
  ];
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body.filter((part) => part !== "").join("\n")}
</main>
</body>
</html>
`;
}

function section(heading: string, content: string | false | undefined): string {
  return content ? `<section><h2>${heading}</h2>\n${content}</section>` : "";
}

function summaryTiles(summary: NonNullable<ReportData["summary"]>): string {
  const { testAccuracy, testLoss, seconds, imagesPerSecond, parameters, seed } = summary;
  const tiles: [string, string | undefined][] = [
    ["test accuracy", testAccuracy === undefined ? undefined : formatPercent(testAccuracy, 2)],
    ["test loss", testLoss === undefined ? undefined : formatNumber(testLoss)],
    ["training time", seconds === undefined ? undefined : formatDuration(seconds)],
    ["images a second", imagesPerSecond === undefined ? undefined : formatCount(Math.round(imagesPerSecond))],
    ["parameters", parameters === undefined ? undefined : formatCount(parameters)],
    ["seed", seed === undefined ? undefined : String(seed)],
  ];
  const shown = tiles.filter(([, value]) => value !== undefined);
  if (shown.length === 0) return "";
  return `<dl class="tiles">${shown.map(([label, value]) => `<div><dt>${label}</dt><dd>${escapeHtml(value!)}</dd></div>`).join("")}</dl>`;
}

function findings(list: NonNullable<ReportData["diagnosis"]>): string {
  if (list.length === 0) return `<p class="note">Nothing was found wrong with this run.</p>`;
  return `<ul class="findings">${list.map(({ message }) => `<li>${escapeHtml(message)}</li>`).join("")}</ul>`;
}

// ------------------------------------------------------------------------------------------------------- confusion

function confusionMap(counts: readonly (readonly number[])[], name: (index: number) => string): string {
  const n = counts.length;
  if (n === 0 || counts.some((row) => row.length !== n)) {
    throw new RangeError(
      `renderReport: expected confusion to be a square matrix counts[true][predicted], got rows of ` +
        `[${counts
          .slice(0, 8)
          .map((row) => row.length)
          .join(", ")}] for ${n} classes`,
    );
  }
  const totals = counts.map((row) => row.reduce((sum, count) => sum + count, 0));
  const share = (i: number, j: number) => (totals[i] > 0 ? counts[i][j] / totals[i] : 0);
  const picture = n > TABLE_CLASSES ? confusionPicture(n, share) : confusionTable(counts, share, name);

  const pairs = counts
    .flatMap((row, i) => row.map((count, j) => ({ i, j, count })))
    .filter(({ i, j, count }) => i !== j && count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, 8);
  const worst = pairs.map(
    ({ i, j, count }) =>
      `<li><b>${escapeHtml(name(i))}</b> taken for <b>${escapeHtml(name(j))}</b> ` +
      `<span>${formatCount(count)} of ${formatCount(totals[i])}</span></li>`,
  );
  const list =
    worst.length > 0 ? `<div class="worst"><h3>Most frequent mistakes</h3><ol>${worst.join("")}</ol></div>` : "";
  return `<div class="confusion">${picture}${list}</div>`;
}

function confusionTable(
  counts: readonly (readonly number[])[],
  share: (i: number, j: number) => number,
  name: (index: number) => string,
): string {
  const short = counts.every((_, j) => name(j).length <= 3);
  const head = counts.map((_, j) => `<th scope="col"><span>${escapeHtml(name(j))}</span></th>`).join("");
  const rows = counts.map((row, i) => {
    const cells = row.map((count, j) => {
      if (count === 0) return `<td class="zero">0</td>`;
      // Mistakes are few: the square root lets 1 % be seen.
      const alpha = i === j ? 0.15 + 0.8 * share(i, j) : 0.08 + 0.85 * Math.sqrt(share(i, j));
      const strong = alpha > 0.6 ? " strong" : "";
      const hint = `${name(i)} → ${name(j)}: ${count} (${formatPercent(share(i, j))})`;
      return `<td class="${i === j ? "right" : "wrong"}${strong}" style="--a:${round(alpha)}" title="${escapeHtml(hint)}">${formatCount(count)}</td>`;
    });
    return `<tr><th scope="row">${escapeHtml(name(i))}</th>${cells.join("")}</tr>`;
  });
  return (
    `<div class="scroll"><table class="map${short ? " short" : ""}"><caption>rows: true class, columns: predicted</caption>` +
    `<thead><tr><td></td>${head}</tr></thead><tbody>${rows.join("")}</tbody></table></div>`
  );
}

function confusionPicture(n: number, share: (i: number, j: number) => number): string {
  const pixels = new Uint8Array(n * n * 3);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const ink = i === j ? [37, 99, 235] : [220, 80, 20];
      const strength = i === j ? share(i, j) : Math.sqrt(share(i, j));
      ink.forEach((value, channel) => {
        pixels[(i * n + j) * 3 + channel] = Math.round(255 + (value - 255) * strength);
      });
    }
  }
  const src = dataUri(encodePng(pixels, { width: n, height: n, channels: 3 }));
  return (
    `<figure class="mapPicture"><img class="pixels" src="${src}" alt="confusion matrix of ${n} classes">` +
    `<figcaption>${n} classes; rows: true class, columns: predicted; blue: right, orange: wrong</figcaption></figure>`
  );
}

function scoreTable(
  { perClass, macro, weighted }: NonNullable<ReportData["scores"]>,
  name: (index: number) => string,
): string {
  const percent = (value: number) => (Number.isFinite(value) ? `${(value * 100).toFixed(1)}%` : String(value));
  const cell = (value: number) =>
    `<td class="meter" style="--w:${round(Math.min(1, Math.max(0, value || 0)) * 100)}%">${percent(value)}</td>`;
  const row = (label: string, { precision, recall, f1 }: Scores, support: string) =>
    `<tr><th scope="row">${escapeHtml(label)}</th>${cell(precision)}${cell(recall)}${cell(f1)}<td>${support}</td></tr>`;
  const total = formatCount(perClass.reduce((sum, { support }) => sum + support, 0));
  const averages = [macro && row("macro average", macro, total), weighted && row("weighted average", weighted, total)];
  return (
    `<div class="scroll"><table class="scores"><thead><tr><th></th><th scope="col">precision</th><th scope="col">recall</th>` +
    `<th scope="col">F1</th><th scope="col">support</th></tr></thead><tbody>` +
    perClass.map((scores, i) => row(name(i), scores, formatCount(scores.support))).join("") +
    `</tbody><tfoot>${averages.filter(Boolean).join("")}</tfoot></table></div>`
  );
}

// -------------------------------------------------------------------------------------------------------- pictures

/**
 * Three channels are shown as RGB around grey. Otherwise the mean over channels: blue below zero, red above. Each
 * filter is scaled by its own largest magnitude.
 */
function filterGrid({ weights, shape }: NonNullable<ReportData["filters"]>): string {
  const [k, c, r, s] = shape;
  if (shape.length !== 4 || k * c * r * s !== weights.length || !(weights.length > 0)) {
    throw new RangeError(
      `renderReport: expected filters of 4 dimensions [k,c,r,s] with as many weights, ` +
        `got [${shape.join(",")}] and ${weights.length} weights`,
    );
  }
  const shown = Math.min(k, MAX_FILTERS);
  const images = Array.from({ length: shown }, (_, i) => {
    const at = (channel: number, pixel: number) => weights[(i * c + channel) * r * s + pixel];
    const planes = c === 3 ? 3 : 1;
    const values = Array.from({ length: planes }, (_, plane) =>
      Array.from({ length: r * s }, (_, pixel) => {
        if (planes === 3) return at(plane, pixel);
        let mean = 0;
        for (let channel = 0; channel < c; channel++) mean += at(channel, pixel) / c;
        return mean;
      }),
    );
    const largest = Math.max(...values.flat().map((value) => (Number.isFinite(value) ? Math.abs(value) : 0))) || 1;
    const pixels = new Uint8Array(r * s * 3);
    for (let pixel = 0; pixel < r * s; pixel++) {
      const color =
        planes === 3
          ? values.map((plane) => 127.5 + 127.5 * (plane[pixel] / largest))
          : diverging(values[0][pixel] / largest);
      pixels.set(
        color.map((value) => Math.round(Math.min(255, Math.max(0, value || 0)))),
        pixel * 3,
      );
    }
    const src = dataUri(encodePng(pixels, { width: s, height: r, channels: 3 }));
    return `<img class="pixels" src="${src}" alt="filter ${i}" title="filter ${i}, largest magnitude ${formatNumber(largest)}">`;
  });
  const legend = c === 3 ? "RGB; grey is zero" : "blue: negative, white: zero, red: positive";
  const some = shown < k ? `, the first ${shown}` : "";
  return `<div class="filters">${images.join("")}</div><p class="note">${k} filters of ${r}×${s}${some}; ${legend}; each by its own scale.</p>`;
}

/** From blue (-1) over white (0) to red (1). */
function diverging(value: number): number[] {
  const ink = value < 0 ? [33, 102, 172] : [178, 24, 43];
  const strength = Math.min(1, Math.abs(value));
  return ink.map((channel) => 255 + (channel - 255) * strength);
}

function mistakeGrid(mistakes: readonly Mistake[], name: (index: number | string) => string, total?: number): string {
  if (mistakes.length === 0) return `<p class="note">None.</p>`;
  const figures = mistakes.map(({ image, truth, predicted, probability }, i) => {
    if (!/^data:image\/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+$/.test(image)) {
      throw new RangeError(
        `renderReport: expected mistakes[${i}].image to be a data URI ("data:image/png;base64,..."), ` +
          `got ${JSON.stringify(String(image).slice(0, 40))}. Encode the pixels with encodePng`,
      );
    }
    const sure = probability === undefined ? "" : ` <span>(${formatPercent(probability)})</span>`;
    const [is, was] = [escapeHtml(name(truth)), escapeHtml(name(predicted))];
    return (
      `<figure><img class="pixels" src="${image}" alt="${is}, taken for ${was}">` +
      `<figcaption>${is} → <b>${was}</b>${sure}</figcaption></figure>`
    );
  });
  const all =
    total !== undefined && total > mistakes.length ? `${mistakes.length} of ${formatCount(total)} shown. ` : "";
  return `<div class="mistakes">${figures.join("")}</div><p class="note">${all}True class → predicted class (its probability).</p>`;
}

function dataUri(png: Uint8Array): string {
  return `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
}

// ------------------------------------------------------------------------------------------------------------ text

function keyValues(entries: readonly (readonly [string, string])[]): string {
  const rows = entries.map(
    ([key, value]) => `<tr><th scope="row">${escapeHtml(key)}</th><td>${escapeHtml(value)}</td></tr>`,
  );
  return `<div class="scroll"><table class="pairs"><tbody>${rows.join("")}</tbody></table></div>`;
}

/** { optimizer: { lr: 1 } } as [["optimizer.lr", "1"]]; arrays, and what is no plain object, in one line. */
function flatten(value: Readonly<Record<string, unknown>>, prefix = "", open: unknown[] = []): [string, string][] {
  return Object.entries(value).flatMap(([key, inner]): [string, string][] => {
    const path = prefix + key;
    if (open.includes(inner)) return [[path, "(circular)"]];
    const nested = typeof inner === "object" && inner !== null && Object.getPrototypeOf(inner) === Object.prototype;
    if (nested && Object.keys(inner).length > 0) {
      return flatten(inner as Record<string, unknown>, `${path}.`, [...open, value]);
    }
    return [[path, textOf(inner)]];
  });
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner)) ?? String(value);
  } catch {
    return String(value);
  }
}

const STYLE = `
:root { --bg: #f6f7f9; --card: #fff; --text: #1c2330; --muted: #667085; --rule: #e3e7ee; --train: #2563eb;
  --validation: #d9650b; --right: 37 99 235; --wrong: 217 101 11; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #12151b; --card: #1a1f28; --text: #e6e9ef; --muted: #98a2b3; --rule: #2c3441; --train: #6ea1ff;
    --validation: #f59a4a; --right: 59 118 246; --wrong: 224 112 28; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
header { margin-bottom: 24px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0; letter-spacing: -0.01em; overflow-wrap: anywhere; }
header p { margin: 6px 0 0; color: var(--muted); overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 16px; }
h3 { font-size: 14px; margin: 0 0 8px; color: var(--muted); font-weight: 600; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 20px 24px;
  margin-top: 20px; }
.note { color: var(--muted); font-size: 13px; margin: 12px 0 0; }
.scroll { overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 0; }
.tiles div { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 14px 18px; }
.tiles dt { color: var(--muted); font-size: 13px; }
.tiles dd { margin: 2px 0 0; font-size: 24px; font-weight: 600; letter-spacing: -0.01em; white-space: nowrap; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 24px; }
figure { margin: 0; }
.chart figcaption { display: flex; justify-content: space-between; font-weight: 600; font-size: 14px; }
.chart svg { display: block; width: 100%; height: auto; margin-top: 6px; }
.legend { font-weight: 400; color: var(--muted); }
.legend span { margin-left: 16px; }
.legend span::before { content: ""; display: inline-block; width: 14px; height: 3px; border-radius: 2px;
  margin-right: 6px; vertical-align: middle; background: var(--train); print-color-adjust: exact; }
.legend .validation::before { background: var(--validation); }
.tick { font-size: 13px; fill: var(--muted); }
.grid { stroke: var(--rule); }
.axis { stroke: var(--muted); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.train { stroke: var(--train); }
.line.validation { stroke: var(--validation); }
.line.pale { stroke-width: 1; opacity: 0.3; }
circle.train { fill: var(--train); }
circle.validation { fill: var(--validation); }
table { border-collapse: collapse; }
.findings { margin: 0; padding-left: 20px; }
.confusion { display: flex; flex-wrap: wrap; gap: 24px 40px; align-items: flex-start; }
.confusion .scroll { max-width: 100%; }
.map { font-size: 13px; }
.map caption { caption-side: bottom; color: var(--muted); padding-top: 10px; text-align: left; }
.map th { font-weight: 500; padding: 2px 8px; text-align: right; white-space: nowrap; }
.map thead th { vertical-align: bottom; text-align: center; padding: 4px 0; }
.map thead span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 120px; overflow: hidden;
  display: inline-block; }
.map.short thead th { text-align: center; }
.map.short thead span { writing-mode: initial; transform: none; }
.map tbody td { min-width: 44px; height: 36px; text-align: center; border: 2px solid var(--card); border-radius: 5px;
  background-clip: padding-box; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.map .zero { color: var(--muted); opacity: 0.45; }
.map .right { background-color: rgb(var(--right) / var(--a)); }
.map .wrong { background-color: rgb(var(--wrong) / var(--a)); }
.map .strong { color: #fff; }
.worst ol { margin: 0; padding: 0; list-style: none; font-size: 14px; }
.worst li { padding: 3px 0; }
.worst span, .mistakes span { color: var(--muted); }
.mapPicture img { width: min(100%, 560px); border: 1px solid var(--rule); }
.mapPicture figcaption { color: var(--muted); font-size: 13px; }
.scores { width: 100%; min-width: 480px; max-width: 860px; table-layout: fixed; font-size: 14px; }
.scores th:first-child { width: 34%; }
.scores th, .scores td { padding: 6px 12px; border-bottom: 1px solid var(--rule); text-align: right; }
.scores th[scope="row"] { text-align: left; font-weight: 500; overflow-wrap: anywhere; }
.scores thead th { color: var(--muted); font-weight: 500; }
.scores .meter { background: linear-gradient(rgb(var(--right) / 0.16) 0 0) 0 50% / calc(var(--w) - 4px) 70% no-repeat;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.scores tfoot th, .scores tfoot td { font-weight: 600; border-bottom: 0; }
.pixels { image-rendering: pixelated; }
.filters { display: grid; grid-template-columns: repeat(auto-fill, minmax(52px, 1fr)); gap: 8px; max-width: 960px; }
.filters img { width: 100%; border-radius: 4px; border: 1px solid var(--rule); display: block; }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 16px; }
.mistakes img { width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 6px; border: 1px solid var(--rule);
  background: #000; display: block; }
.mistakes figcaption { font-size: 13px; line-height: 1.35; margin-top: 6px; overflow-wrap: anywhere; }
pre { margin: 0; overflow-x: auto; font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono",
  monospace; }
.pairs { font-size: 14px; }
.pairs th { text-align: left; font-weight: 500; color: var(--muted); padding: 3px 24px 3px 0; vertical-align: top; }
.pairs td { padding: 3px 0; overflow-wrap: anywhere; white-space: pre-wrap; }
@media print {
  :root { --bg: #fff; --card: #fff; --text: #000; --muted: #555; --rule: #ccc; --train: #2563eb; --validation: #d9650b; }
  main { max-width: none; padding: 0; }
  section { border: 0; padding: 0; margin-top: 28px; }
  figure, tr, .tiles div, .filters { break-inside: avoid; }
  h2 { break-after: avoid; }
  pre { white-space: pre-wrap; }
}
`;
