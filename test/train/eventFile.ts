/**
 * Reads TensorBoard's event files: an implementation of its own, from the specifications, for the tests of the writer.
 */
import { readFileSync } from "node:fs";

/** CRC-32C bit by bit. */
function crc(bytes: Uint8Array): number {
  let state = 0xffffffffn;
  for (const byte of bytes) {
    state ^= BigInt(byte);
    for (let i = 0; i < 8; i++) state = state & 1n ? (state >> 1n) ^ 0x82f63b78n : state >> 1n;
  }
  const plain = state ^ 0xffffffffn;
  const rotated = ((plain >> 15n) | (plain << 17n)) & 0xffffffffn;
  return Number((rotated + 0xa282ead8n) & 0xffffffffn);
}

/** The data of each record; throws for a wrong CRC or a torn one. */
export function recordsOf(file: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    if (file.length < at + length + 16) throw new Error(`torn record at byte ${at}`);
    const data = file.subarray(at + 12, at + 12 + length);
    if (file.readUInt32LE(at + 8) !== crc(file.subarray(at, at + 8)))
      throw new Error(`wrong CRC of the length at ${at}`);
    if (file.readUInt32LE(at + 12 + length) !== crc(data)) throw new Error(`wrong CRC of the data at byte ${at}`);
    records.push(data);
    at += length + 16;
  }
  return records;
}

/** Fields of a message by number: each a list of varints, 8 or 4 bytes, or bytes. */
export type Fields = Record<number, (bigint | Buffer)[]>;

export function fieldsOf(message: Buffer): Fields {
  const fields: Fields = {};
  let at = 0;
  const varint = (): bigint => {
    let [value, shift] = [0n, 0n];
    for (;;) {
      const byte = message[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
      shift += 7n;
    }
  };
  while (at < message.length) {
    const key = Number(varint());
    const wire = key & 7;
    let value: bigint | Buffer;
    if (wire === 0) value = varint();
    else {
      const length = wire === 1 ? 8 : wire === 5 ? 4 : Number(varint());
      value = message.subarray(at, at + length);
      if (value.length !== length) throw new Error("torn field");
      at += length;
    }
    (fields[key >> 3] ??= []).push(value);
  }
  return fields;
}

const inside = (fields: Fields, number: number): Fields => fieldsOf(fields[number]![0] as Buffer);
export const numbersOf = (packed: Buffer): number[] =>
  Array.from({ length: packed.length / 8 }, (_, i) => packed.readDoubleLE(8 * i));

export interface ReadEvent {
  step: number;
  tag?: string;
  scalar?: number;
  histogram?: {
    min: number;
    max: number;
    count: number;
    sum: number;
    squares: number;
    limits: number[];
    counts: number[];
  };
  image?: { height: number; width: number; channels: number; png: Buffer };
  text?: string;
  plugin?: string;
  version?: string;
  start?: boolean;
}

/** The events of a file, a value each. */
export function readEvents(path: string): ReadEvent[] {
  return recordsOf(readFileSync(path)).flatMap((record) => {
    const event = fieldsOf(record);
    const step = Number(event[2]?.[0] ?? 0);
    if (event[3]) return [{ step, version: String(event[3][0]) }];
    if (event[7]) return [{ step, start: inside(event, 7)[1]?.[0] === 1n }];
    return inside(event, 5)[1]!.flatMap((bytes) => {
      const value = fieldsOf(bytes as Buffer);
      const read: ReadEvent = { step, tag: String(value[1]![0]) };
      if (value[2]) read.scalar = (value[2][0] as Buffer).readFloatLE();
      if (value[4]) {
        const { 1: h, 2: w, 3: c, 4: png } = inside(value, 4);
        read.image = { height: Number(h![0]), width: Number(w![0]), channels: Number(c![0]), png: png![0] as Buffer };
      }
      if (value[5]) {
        const h = inside(value, 5);
        const double = (n: number) => (h[n] ? (h[n]![0] as Buffer).readDoubleLE() : 0);
        const [limits, counts] = [numbersOf(h[6]![0] as Buffer), numbersOf(h[7]![0] as Buffer)];
        read.histogram = {
          min: double(1),
          max: double(2),
          count: double(3),
          sum: double(4),
          squares: double(5),
          limits,
          counts,
        };
      }
      if (value[8]) read.text = String(inside(value, 8)[8]![0]);
      if (value[9]) read.plugin = String(inside(inside(value, 9), 1)[1]![0]);
      return [read];
    });
  });
}
