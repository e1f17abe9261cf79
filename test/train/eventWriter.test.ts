import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { tensor, train, zeros } from "napier";
import { afterAll, describe, expect, test } from "vitest";
import * as messages from "#lib/train/eventMessages.js";
import { crc32c, frame, maskedCrc32c } from "#lib/train/records.js";
import { readEvents, recordsOf } from "./eventFile.js";

const out = mkdtempSync(join(tmpdir(), "napier-events-"));
afterAll(() => rmSync(out, { recursive: true }));
const fixture = JSON.parse(readFileSync(new URL("../fixtures/tensorboard.json", import.meta.url), "utf8")) as {
  wallTime: number;
  records: Record<string, string>;
  maskedCrcs: Record<string, number>;
};

describe("bytes", () => {
  test("CRC-32C is that of RFC 3720, masked as TensorFlow does", () => {
    const crc = (bytes: number[] | string) => crc32c(Buffer.from(bytes as string));
    expect(crc("123456789")).toBe(0xe3069283);
    expect(crc(new Array(32).fill(0))).toBe(0x8a9136aa);
    expect(crc(new Array(32).fill(255))).toBe(0x62a8ab43);
    expect(crc(Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    for (const [text, masked] of Object.entries(fixture.maskedCrcs))
      expect(maskedCrc32c(Buffer.from(text))).toBe(masked);
  });

  const histogram = { min: -1.5, max: 2, count: 4, sum: 1, sumOfSquares: 6.5, limits: [-0.5, 1, 2], counts: [1, 0, 3] };
  const [experiment] = messages.hparams({ lr: 0.1, model: "net", augment: true }, ["loss/validation"], 0);
  const [, session] = messages.hparams({ lr: 0.1 }, [], fixture.wallTime);
  const ours: Record<string, [step: number, content: Buffer]> = {
    version: [0, messages.fileVersion()],
    start: [7, messages.sessionStart()],
    scalar: [300, messages.scalar("loss/train", 0.1)],
    zero: [0, messages.scalar("loss", 0)],
    huge: [2 ** 40 + 5, messages.scalar("x", Number.NaN)],
    histogram: [2, messages.histogram("w", histogram)],
    image: [
      3,
      messages.image(
        "picture",
        { height: 2, width: 300, channels: 3 },
        Uint8Array.from({ length: 200 }, (_, i) => i),
      ),
    ],
    text: [4, messages.markdown("note", "naïve *text*")],
    experiment: [0, experiment!],
    session: [0, session!],
  };
  test.each(Object.keys(fixture.records))("a %s event is TensorBoard's, byte for byte", (name) => {
    const record = frame(messages.event(fixture.wallTime, ...ours[name]!));
    expect(record.toString("base64")).toBe(fixture.records[name]);
  });

  test("a flipped bit or a torn record is noticed by the reader", () => {
    const record = frame(Buffer.from("some data"));
    expect(recordsOf(record)).toHaveLength(1);
    expect(() => recordsOf(record.subarray(0, -1))).toThrow("torn");
    record[14]! ^= 1;
    expect(() => recordsOf(record)).toThrow("wrong CRC of the data");
  });
});

describe("EventWriter", () => {
  test("writes what it is given, and more files come after one another", async () => {
    const folder = join(out, "all");
    const writer = new train.EventWriter(folder);
    writer.addScalar("loss", 0.5, 1);
    writer.addScalars("accuracy", { train: 0.25, test: 0.75 }, 2);
    const weights = tensor([-1, 0, 1, 3, Number.NaN, Number.POSITIVE_INFINITY]);
    await writer.addHistogram("weights", weights, 3);
    await writer.addHistogram("one", [2, 2], 3);
    await writer.addHistogram("none", [Number.NaN], 3);
    await writer.addImage(
      "grey",
      tensor([
        [0, 0.5, 2],
        [-1, 1, Number.NaN],
      ]),
      4,
    );
    await writer.addImage("red", tensor(new Uint8Array([9, 8, 7, 6, 5, 4])).reshape([3, 1, 2]), 4);
    await writer.addImage("given", { pixels: new Uint8Array([1, 2]), width: 2, height: 1, channels: 1 }, 5);
    writer.addText("note", "*well*", 6);
    writer.addHparams({ lr: 0.1 }, ["loss"]);
    await writer.close();
    expect(readFileSync(writer.path)).toHaveLength(writer.bytes);
    const events = readEvents(writer.path);
    const of = (tag: string) => events.find((e) => e.tag === tag)!;
    expect(events[0]).toEqual({ step: 0, version: "brain.Event:2" });
    expect(of("loss")).toEqual({ step: 1, tag: "loss", scalar: 0.5 });
    expect([of("accuracy/train").scalar, of("accuracy/test").scalar]).toEqual([0.25, 0.75]);
    const { histogram } = of("weights");
    expect(histogram).toMatchObject({ min: -1, max: 3, count: 4, sum: 3, squares: 11 });
    expect(histogram!.limits).toHaveLength(64);
    expect(histogram!.limits.at(-1)).toBe(3);
    const at = (x: number) => histogram!.counts[histogram!.limits.findIndex((limit) => x < limit)];
    expect([at(-1), at(0), at(1), histogram!.counts.at(-1)]).toEqual([1, 1, 1, 1]);
    expect(of("one").histogram).toMatchObject({ min: 2, max: 2, count: 2, limits: [2], counts: [2] });
    expect(of("none").histogram).toMatchObject({ count: 0 });
    expect(of("grey").image).toMatchObject({ height: 2, width: 3, channels: 1 });
    const rows = (tag: string) => {
      const { png } = of(tag).image!;
      const data = png.indexOf("IDAT");
      return [...inflateSync(png.subarray(data + 4, data + 4 + png.readUInt32BE(data - 4)))];
    };
    expect(rows("grey")).toEqual([0, 0, 128, 255, 0, 0, 255, 0]);
    expect(rows("red")).toEqual([0, 9, 7, 5, 8, 6, 4]);
    expect(rows("given")).toEqual([0, 1, 2]);
    expect(of("note/text_summary")).toMatchObject({ step: 6, text: "*well*", plugin: "text" });
    expect(of("_hparams_/session_start_info").plugin).toBe("hparams");
    const second = new train.EventWriter(folder, { purgeStep: 5 });
    await second.close();
    expect(readEvents(second.path)[1]).toEqual({ step: 5, start: true });
    expect([second.path, writer.path].sort()).toEqual([writer.path, second.path]);
  });

  test("flushes by itself, and what waits on flush()", async () => {
    const writer = new train.EventWriter(join(out, "flush"), { flushSeconds: 0.02 });
    writer.addScalar("a", 1, 0);
    const reading = writer.addHistogram("h", zeros([4]), 0);
    await writer.flush();
    expect(readEvents(writer.path).map((e) => e.tag)).toEqual([undefined, "a", "h"]);
    await reading;
    writer.addScalar("b", 1, 1);
    for (let i = 0; i < 100 && readEvents(writer.path).length < 4; i++) await new Promise((r) => setTimeout(r, 10));
    expect(readEvents(writer.path).at(-1)!.tag).toBe("b");
    await writer.close();
    await writer.close();
  });

  test("wrong arguments, a closed writer and a broken disk say so", async () => {
    expect(() => new train.EventWriter(out, { flushSeconds: 0 })).toThrow("expected flushSeconds above 0, got 0");
    const folder = join(out, "gone");
    const writer = new train.EventWriter(folder);
    expect(() => writer.addScalar("a", 1, -1)).toThrow(
      "addScalar: expected step to be a whole number from 0 up, got -1",
    );
    expect(() => writer.addScalar("a", zeros([]) as never, 1)).toThrow("await tensor.item()");
    await expect(writer.addImage("a", zeros([2, 4, 4]), 0)).rejects.toThrow(
      "addImage: expected an image [h,w] or [c,h,w]",
    );
    rmSync(folder, { recursive: true });
    await expect(writer.flush()).rejects.toThrow("ENOENT");
    await expect(writer.close()).rejects.toThrow("ENOENT");
    expect(() => writer.addScalar("a", 1, 1)).toThrow("is closed; make a new writer");
  });
});
