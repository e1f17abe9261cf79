/** @file The HTML report: what it shows, that it is one safe file, and that odd data does not break it. */

import { describe, expect, test } from "vitest";
import { encodePng } from "#lib/viz/png.js";
import { type Points, type ReportData, renderReport } from "#lib/viz/report.js";

const image = `data:image/png;base64,${encodePng(Uint8Array.of(0, 255), { width: 2, height: 1, channels: 1 }).toString("base64")}`;
const full: ReportData = {
  title: "convnet on glyphs",
  subtitle: "finished today",
  summary: {
    testAccuracy: 0.98734,
    testLoss: 0.04123,
    seconds: 83.4,
    imagesPerSecond: 5213.4,
    parameters: 421642,
    seed: 0,
  },
  versions: { napier: "0.1.0", node: "v20" },
  history: {
    loss: { train: { x: [0, 0.5, 1], y: [2.3, 0.9, 0.4] }, validation: { x: [1], y: [0.5] } },
    accuracy: { validation: { x: [1, 2], y: [0.9, 0.98] } },
    learningRate: { x: [0, 1, 2], y: Float32Array.of(1e-3, 5e-4, 0) },
  },
  classNames: ["cat", "dog"],
  confusion: [
    [90, 10],
    [0, 1100],
  ],
  scores: {
    perClass: [
      { precision: 1, recall: 0.9, f1: 0.947, support: 100 },
      { precision: 0.991, recall: 1, f1: 0.995, support: 1100 },
    ],
    macro: { precision: 0.9955, recall: 0.95, f1: 0.971 },
  },
  filters: { weights: Float32Array.from({ length: 2 * 9 }, (_, i) => i - 9), shape: [2, 1, 3, 3] },
  mistakes: [{ image, truth: 0, predicted: 1, probability: 0.873 }],
  mistakesTotal: 10,
  modelSummary: "conv (Conv2d)  320",
  config: { epochs: 5, optimizer: { name: "AdamW", betas: [0.9, 0.999] }, out: undefined, steps: 3n },
};

/** Every tag is closed in order: a small check that needs no parser, as this file's HTML is written without shortcuts. */
function checkNesting(html: string): void {
  const empty = new Set(["meta", "img", "!doctype"]);
  const open: string[] = [];
  for (const [, close, name, self] of html.matchAll(/<(\/?)([a-zA-Z!][a-zA-Z0-9]*)[^>]*?(\/?)>/g)) {
    if (self || empty.has(name.toLowerCase())) continue;
    if (close) expect(open.pop()).toBe(name);
    else open.push(name);
  }
  expect(open).toEqual([]);
}

/** No coordinate is NaN or Infinity. */
function checkNumbers(html: string): void {
  expect(html).not.toMatch(/ (?:d|x|y|x1|x2|y1|y2|cx|cy|style)="[^"]*(?:NaN|Infinity|undefined)/);
}

test("a full report shows everything, in one file without scripts", () => {
  const html = renderReport(full);
  checkNesting(html);
  checkNumbers(html);
  for (const text of [
    "<title>convnet on glyphs</title>",
    "<dd>98.73%</dd>",
    "<dd>0.04123</dd>",
    "<dd>1 min 23 s</dd>",
    "<dd>5\u202f213</dd>",
    "<dd>421\u202f642</dd>",
    "<dd>0</dd>", // the seed
    "Loss<span",
    ">Accuracy</",
    ">Learning rate</",
    "<b>cat</b> taken for <b>dog</b> <span>10 of 100</span>",
    'title="cat → dog: 10 (10%)"',
    "99.1%",
    "macro average",
    'alt="filter 1"',
    "cat → <b>dog</b> <span>(87.3%)</span>",
    "1 of 10 shown",
    "conv (Conv2d)  320",
    '<th scope="row">optimizer.betas</th><td>[0.9,0.999]</td>',
    '<th scope="row">out</th><td>undefined</td>',
    '<th scope="row">steps</th><td>3</td>',
    '<th scope="row">node</th><td>v20</td>',
    "prefers-color-scheme: dark",
    "@media print",
  ]) {
    expect(html).toContain(text);
  }
  expect(html).not.toMatch(/<script|<link|https?:|\son\w+=/i);
  expect(html).toBe(renderReport(full)); // the same data, the same bytes
});

test("only a title: no empty section", () => {
  const html = renderReport({ title: "x", history: {}, summary: {} });
  checkNesting(html);
  expect(html).not.toContain("<section");
  expect(html).not.toContain("<dl");
});

test("text from outside is escaped everywhere", () => {
  const evil = `<script>alert("1")</script>&'\u0007`;
  const html = renderReport({
    ...full,
    title: evil,
    subtitle: evil,
    versions: { [evil]: evil },
    classNames: [evil, evil],
    mistakes: [{ image, truth: evil, predicted: evil }],
    modelSummary: evil,
    config: { [evil]: evil, nested: { [evil]: [evil] } },
  });
  checkNesting(html);
  expect(html).not.toContain("<script");
  expect(html).not.toContain("\u0007");
  expect(html).toContain("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;\ufffd");
});

describe("curves", () => {
  const draw = (train: Points) => {
    const html = renderReport({ title: "x", history: { loss: { train } } });
    checkNesting(html);
    checkNumbers(html);
    return html;
  };
  test("a diverged run: the finite part is drawn, with a gap, and the rest is counted", () => {
    const html = draw({ x: [0, 1, 2, 3, 4], y: [1, 2, Number.NaN, 4, Number.POSITIVE_INFINITY] });
    expect(html).toContain("2 values that are not finite are not drawn");
    expect(/class="line train" d="([^"]+)"/.exec(html)![1]).toMatch(/^M[\d. ]+L[\d. ]+M[\d. ]+$/);
  });
  test("nothing finite, nothing at all, one point, a constant, huge and tiny values", () => {
    expect(draw({ x: [0], y: [Number.NaN] })).toContain("No finite value was recorded");
    expect(draw({ x: [], y: [] })).toContain("No finite value was recorded");
    for (const y of [[0], [3], [-3, -3], [1e299, -1e299], [1e308, 1], [5e-324, 1e-323], [1, 1 + 2 ** -52], [-5, 5]]) {
      draw({ x: y.map((_, i) => i), y });
      draw({ x: y, y });
    }
  });
  test("100,000 steps stay a small file, and keep their extremes", () => {
    const y = Array.from({ length: 100_000 }, (_, i) => 1 + Math.sin(i) / 10);
    y[54_321] = 7;
    const html = draw({ x: y.map((_, i) => i / 1000), y });
    expect(html.length).toBeLessThan(60_000);
    const pale = /class="line train pale" d="([^"]+)"/.exec(html)![1];
    const heights = [...pale.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map((match) => Number(match[1]));
    expect(Math.min(...heights)).toBeLessThan(100); // the spike at 7, far above the rest
  });
});

test("100 classes become a picture", () => {
  const n = 100;
  const confusion = Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (_, j) => (i === j ? 9 : i === 3 && j === 4 ? 2 : 0)),
  );
  const html = renderReport({ title: "x", confusion });
  checkNesting(html);
  expect(html).toContain('alt="confusion matrix of 100 classes"');
  expect(html).toContain("<b>3</b> taken for <b>4</b> <span>2 of 11</span>");
  expect(html).not.toContain('class="map"');
});

test("filters: RGB, many channels, zeros and NaN", () => {
  for (const [shape, value] of [
    [[4, 3, 5, 5], 0.1],
    [[300, 8, 1, 1], -1],
    [[1, 1, 3, 3], 0],
    [[1, 3, 3, 3], Number.NaN],
  ] as [number[], number][]) {
    const weights = new Float32Array(shape.reduce((a, b) => a * b)).fill(value);
    checkNesting(renderReport({ title: "x", filters: { weights, shape } }));
  }
});

test("a circular configuration", () => {
  const config: Record<string, unknown> = { a: 1, list: [] };
  config.self = config;
  config.deep = { config };
  (config.list as unknown[]).push(config);
  const html = renderReport({ title: "x", config });
  checkNesting(html);
  expect(html).toContain("(circular)");
});

test.each<[string, Partial<ReportData>, RegExp]>([
  [
    "a picture that is a path",
    { mistakes: [{ image: "a.png", truth: 0, predicted: 1 }] },
    /mistakes\[0\].image to be a data URI .*got "a.png"\. Encode/,
  ],
  ["a picture that breaks out", { mistakes: [{ image: `${image}" onload="x`, truth: 0, predicted: 1 }] }, /data URI/],
  [
    "a matrix that is not square",
    { confusion: [[1, 2], [3]] },
    /square matrix counts\[true\]\[predicted\], got rows of \[2, 1\]/,
  ],
  [
    "filters of another size",
    { filters: { weights: [1, 2], shape: [1, 1, 3, 3] } },
    /4 dimensions \[k,c,r,s\] .* got \[1,1,3,3\] and 2 weights/,
  ],
])("%s gets a sentence", (_, data, message) => {
  expect(() => renderReport({ title: "x", ...data })).toThrow(message);
});
