import { describe, expect, test } from "vitest";
import { plotPng, plotText } from "#lib/viz/plot.js";

const x = [0.001, 0.01, 0.1, 1, 10];

describe("plotText", () => {
  test("a curve, its labels and the mark", () => {
    const text = plotText({ x, y: [2, 2, 1, Number.NaN, 0], mark: 0.1, logX: true }, { width: 21, height: 5 });
    expect(text.split("\n")).toEqual([
      "  2 ┤•    •    ┊",
      "1.5 ┤          ┊",
      "  1 ┤          •",
      "0.5 ┤          ┊",
      "  0 ┤          ┊         •",
      "    └┬────┬────┬────┬────┬",
      "     0.001    0.1   1   10",
    ]);
  });

  test("a linear axis, one point, and what cannot be drawn", () => {
    expect(plotText({ x: [0, 1, 2], y: [1, 2, 3] }, { width: 9, height: 3 })).toContain("•");
    expect(plotText({ x: [1], y: [1], logX: true }, { width: 9, height: 3 })).toContain("•");
    expect(() => plotText({ x: [1, 2], y: [Number.NaN, Number.NaN] })).toThrow(
      "plot: expected as many x as y, and a finite y",
    );
    expect(() => plotText({ x: [1], y: [1, 2] })).toThrow("got 1 and 2");
  });
});

test("plotPng draws curve, pale curve and mark within its bounds", () => {
  const png = plotPng(
    { x, y: [2, 2, 1, Number.NaN, 0], behind: [9, 1, 1, 1, -9], mark: 0.1, logX: true },
    { width: 300, height: 200 },
  );
  expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([300, 200]);
});
