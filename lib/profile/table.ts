/**
 * Tables of numbers with their units, as a profile prints them.
 */

/** 1234567 ns as "1.235 ms". */
export function showTime(ns: number): string {
  if (ns < 1e3) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(3)} us`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(3)} ms`;
  return `${(ns / 1e9).toFixed(3)} s`;
}

export function showBytes(n: number): string {
  let at = 0;
  for (; Math.abs(n) >= 1024 && at < 4; at++) n /= 1024;
  return at === 0 ? `${n} B` : `${n.toFixed(2)} ${["", "KiB", "MiB", "GiB", "TiB"][at]}`;
}

export const showPercent = (share: number): string => `${(100 * share).toFixed(2)} %`;
export const showRate = (rate: number | null): string => (rate === null ? "-" : rate.toFixed(rate < 10 ? 2 : 1));

/** The first column to the left, numbers to the right, rules around the title and at the end. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd(),
  );
  const rule = widths.map((w) => "-".repeat(w)).join("  ");
  return [rule, lines[0]!, rule, ...lines.slice(1), rule];
}
