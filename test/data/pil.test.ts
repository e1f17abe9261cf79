/** @file Recolouring and resizing of bytes against PIL's, bit for bit: test/fixtures/data/make_pictures.py wrote them. */
import { readFileSync } from "node:fs";
import { data, tensor } from "napier";
import { expect, test } from "vitest";
import { recolour, type Step } from "#lib/data/recolour.js";

interface Picture {
  size: [h: number, w: number];
  planes: number[][];
}
const { pictures, results } = JSON.parse(
  readFileSync(new URL("../fixtures/data/pictures.json", import.meta.url), "utf8"),
) as {
  pictures: Picture[];
  results: (Picture & { picture: number; name: string; argument: number | [number, number] })[];
};
const toTensor = ({ size, planes }: Picture) => tensor(Uint8Array.from(planes.flat()), [1, planes.length, ...size]);

for (const name of new Set(results.map((r) => r.name))) {
  test(name, () => {
    for (const result of results.filter((r) => r.name === name)) {
      const x = toTensor(pictures[result.picture]!);
      const interpolation = name.split(" ")[1] as data.Filter | undefined;
      const y = interpolation
        ? new data.Resize(result.argument as [number, number], { interpolation }).apply(x)
        : recolour("test", x, [[[name as Step[0], result.argument as number]]]);
      expect([...y.dataSync("uint8")], `${name} ${result.argument} of picture ${result.picture}`).toEqual(
        result.planes.flat(),
      );
    }
  });
}
