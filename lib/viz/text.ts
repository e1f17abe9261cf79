/**
 * @file Numbers and text as they stand in reports: escaped, short, and read the same in every locale.
 */
const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char]).replace(/(?![\n\t])\p{Cc}/gu, "\ufffd");
}

export function formatPercent(value: number, digits = 1): string {
  return Number.isFinite(value) ? `${Number((value * 100).toFixed(digits))}%` : String(value);
}

/** 4 significant digits: 0.0841, 2.303, 1e-5. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value) || value === 0) return String(value);
  const size = Math.abs(value);
  const text = Number(value.toPrecision(4));
  return size < 1e-3 || size >= 1e6 ? text.toExponential().replace("e+", "e") : String(text);
}

/** 1 234 567 with thin spaces, which no locale misreads. */
export function formatCount(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return String(seconds);
  if (seconds < 60) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h} h ${m} min` : `${m} min ${s} s`;
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
