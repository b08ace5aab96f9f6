// Numbers as people read them. Pure.

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export const whole = (value) => WHOLE.format(value);

/** Three digits that matter, then k or M: 13.2k. */
export function short(value) {
  if (value < 1000) return value < 10 && value % 1 ? value.toFixed(1) : whole(value);
  const [scaled, unit] = value < 999_500 ? [value / 1e3, "k"] : [value / 1e6, "M"];
  return scaled.toFixed(scaled < 10 ? 2 : scaled < 100 ? 1 : 0) + unit;
}

/** Milliseconds, or seconds from one on. */
export function ms(value) {
  if (value >= 999.5) return `${(value / 1000).toFixed(value < 9_995 ? 2 : value < 99_950 ? 1 : 0)} s`;
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ms`;
}

/** A span of seconds in its largest fitting units: 0.4 s, 12 s, 3 min, 5 h 10 min. */
export function span(seconds) {
  if (seconds < 0.05) return "0 s";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${seconds.toFixed(0)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

export function score(value) {
  const size = Math.abs(value);
  if (size < 0.0001) return size === 0 ? "0" : "<0.0001";
  if (size >= 100) return value.toFixed(1);
  return size >= 10 ? value.toFixed(2) : size >= 1 ? value.toFixed(3) : value.toFixed(4);
}

/** Four digits that matter, and none that only fill up: 6.08. */
export const shortly = (value) => String(Number(value.toPrecision(4)));

export const percent = (share) => `${(share * 100).toFixed(share > 0.0995 && share < 0.9995 ? 0 : share === 1 || share === 0 ? 0 : 1)} %`;

export const count = (number, one, many = `${one}s`) => `${whole(number)} ${number === 1 ? one : many}`;
