/**
 * The bytes of TensorBoard's event files: protocol buffers, written by hand (the messages are few), in TFRecord framing.
 *
 * A record is its length (uint64), the masked CRC of the length, the bytes, and the masked CRC of the bytes; all numbers
 * little-endian. Sources: protobuf.dev/programming-guides/encoding; tensorflow/core/lib/io/record_writer.h; the CRC is
 * CRC-32C (Castagnoli, RFC 3720, appendix B.4).
 */

// Of each byte, its remainder by the reversed polynomial 0x1edc6f41.
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc;
});

/** CRC-32C of bytes, from 0 to 2^32 - 1; that of "123456789" is 0xe3069283. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** TFRecord's mask: a file that holds records may be stored in a record without its CRCs becoming trivial. */
export const maskedCrc32c = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

/** One TFRecord: 12 bytes, the data, 4 bytes. */
export function frame(data: Uint8Array): Buffer {
  const record = Buffer.alloc(data.length + 16);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc32c(data), data.length + 12);
  return record;
}

// ---- Fields of messages. As in proto3, numbers that are 0 and texts that are empty are left out, unless `always`.

const NOTHING = Buffer.alloc(0);
const [VARINT, FIXED64, LENGTH, FIXED32] = [0, 1, 2, 5];

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}
const tag = (field: number, wire: number): Buffer => varint(field * 8 + wire);

/** A whole number from 0 to 2^53 - 1. */
export const int = (field: number, value: number): Buffer =>
  value === 0 ? NOTHING : Buffer.concat([tag(field, VARINT), varint(value)]);

export function double(field: number, value: number, always = false): Buffer {
  if (Object.is(value, 0) && !always) return NOTHING;
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([tag(field, FIXED64), bytes]);
}

/** A float of a oneof: written even where it is 0. */
export function float(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([tag(field, FIXED32), bytes]);
}

/** Bytes, or a message inside. */
export const bytes = (field: number, ...parts: readonly Uint8Array[]): Buffer => {
  const length = parts.reduce((n, part) => n + part.length, 0);
  return Buffer.concat([tag(field, LENGTH), varint(length), ...parts]);
};

export const text = (field: number, value: string, always = false): Buffer =>
  value === "" && !always ? NOTHING : bytes(field, Buffer.from(value));

export const doubles = (field: number, values: readonly number[]): Buffer => {
  if (values.length === 0) return NOTHING;
  const packed = Buffer.alloc(8 * values.length);
  values.forEach((value, i) => void packed.writeDoubleLE(value, 8 * i));
  return bytes(field, packed);
};
