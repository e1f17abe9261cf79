// A map of JSON lines for test/data/jsonLines.test.ts.
export default ({ x, y }, index) => [x.map((v) => v / 2), y === "yes" ? 1 : 0, index];
