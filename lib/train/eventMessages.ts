/**
 * The messages of TensorBoard's event files: Event and Summary of tensorflow/core/util/event.proto and
 * tensorflow/core/framework/summary.proto, and what the text and hyper-parameter plugins put into them
 * (tensorboard/plugins/text and hparams, plugin_data.proto). The field numbers below are theirs.
 */
import { bytes, double, doubles, float, int, text } from "./records.js";

/** When, at which step, and what: fields of an Event. */
export const event = (wallTime: number, step: number, content: Buffer): Buffer =>
  Buffer.concat([double(1, wallTime), int(2, step), content]);

/** The first event of each file. */
export const fileVersion = (): Buffer => text(3, "brain.Event:2");

/** The run (re)starts at this event's step: readers forget what earlier files hold from there on. */
export const sessionStart = (): Buffer => bytes(7, int(1, 1));

const summary = (...values: readonly Buffer[]): Buffer => bytes(5, ...values);
const value = (name: string, ...fields: readonly Buffer[]): Buffer => bytes(1, text(1, name), ...fields);
const metadata = (plugin: string, content: Buffer): Buffer =>
  bytes(9, bytes(1, text(1, plugin), content.length === 0 ? content : bytes(2, content)));

export const scalar = (name: string, x: number): Buffer => summary(value(name, float(2, x)));

export const scalars = (all: readonly (readonly [name: string, x: number])[]): Buffer =>
  summary(...all.map(([name, x]) => value(name, float(2, x))));

/** What a histogram holds. */
export interface Histogram {
  min: number;
  max: number;
  /** How many values, their sum and the sum of their squares. */
  count: number;
  sum: number;
  sumOfSquares: number;
  /** The right end of each bucket, and how many values it has. */
  limits: readonly number[];
  counts: readonly number[];
}

export const histogram = (name: string, h: Histogram): Buffer =>
  summary(
    value(
      name,
      bytes(
        5,
        double(1, h.min),
        double(2, h.max),
        double(3, h.count),
        double(4, h.sum),
        double(5, h.sumOfSquares),
        doubles(6, h.limits),
        doubles(7, h.counts),
      ),
    ),
  );

/** A picture, encoded as PNG. */
export const image = (
  name: string,
  { width, height, channels }: { width: number; height: number; channels: number },
  png: Uint8Array,
): Buffer => summary(value(name, bytes(4, int(1, height), int(2, width), int(3, channels), bytes(4, png))));

const DT_STRING = 7;

/** Text, shown as Markdown: a tensor of one string for the text plugin. */
export const markdown = (name: string, content: string): Buffer =>
  summary(
    value(
      `${name}/text_summary`,
      bytes(8, int(1, DT_STRING), bytes(2, bytes(2, int(1, 1))), text(8, content, true)),
      metadata("text", Buffer.alloc(0)),
    ),
  );

/** A hyper-parameter's value. */
export type HparamValue = number | string | boolean;

// google.protobuf.Value: the kind decides the field.
const protobufValue = (x: HparamValue): Buffer => {
  if (typeof x === "number") return double(2, x, true);
  if (typeof x === "string") return text(3, x, true);
  return Buffer.from([4 * 8, x ? 1 : 0]);
};
const DATA_TYPE = { string: 1, boolean: 2, number: 3 };

/** The events that tell the hyper-parameter plugin of this run: what there is, and which values it has. */
export function hparams(
  values: Readonly<Record<string, HparamValue>>,
  metrics: readonly string[],
  now: number,
): Buffer[] {
  const infos = Object.entries(values).map(([name, x]) =>
    bytes(4, text(1, name), int(4, DATA_TYPE[typeof x as keyof typeof DATA_TYPE])),
  );
  const experiment = bytes(2, ...infos, ...metrics.map((name) => bytes(5, bytes(1, text(2, name)))));
  const entries = Object.entries(values).map(([name, x]) => bytes(1, text(1, name), bytes(2, protobufValue(x))));
  const start = bytes(3, ...entries, double(5, now));
  return [
    summary(value("_hparams_/experiment", metadata("hparams", experiment))),
    summary(value("_hparams_/session_start_info", metadata("hparams", start))),
  ];
}
