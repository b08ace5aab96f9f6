// Where the time went: one bar, a piece a stage, and what each took.
import { el } from "./dom.js";
import { ms } from "./format.js";

const STAGES = [
  ["cache", "cache look-up"],
  ["enqueue", "enqueue"],
  ["queue", "queue"],
  ["tokenize", "tokenize"],
  ["batch", "wait for batch"],
  ["run", "model"],
  ["fuse", "fusion"],
];

/**
 * Return the pieces of the time that a request took; what no stage accounts for is `other`, what lies between this page
 * and the gateway is `way`. Stages of shards may overlap. Pure.
 */
export function pieces(timings, tookMs = timings.total_ms) {
  const known = STAGES.map(([name, label]) => ({ name, label, ms: timings[`${name}_ms`] ?? 0 }));
  const sum = known.reduce((total, piece) => total + piece.ms, 0);
  const other = Math.max(0, timings.total_ms - sum);
  const way = Math.max(0, tookMs - timings.total_ms);
  return [...known, { name: "other", label: "replies and the rest", ms: other }, { name: "way", label: "network and browser", ms: way }]
    .filter((piece) => piece.ms >= 0.005);
}

export function stageBar(timings, tookMs) {
  const parts = pieces(timings, tookMs);
  const whole = parts.reduce((total, part) => total + part.ms, 0) || 1;
  const bar = el("div", { class: "stages", "aria-hidden": "true" });
  for (const part of parts) {
    const piece = el("i", { "data-stage": part.name, title: `${part.label}: ${ms(part.ms)}` });
    piece.style.flexGrow = part.ms / whole;
    bar.append(piece);
  }
  const legend = el(
    "dl",
    { class: "legend" },
    parts.map((part) => el("div", { "data-stage": part.name }, el("dt", { text: part.label }), el("dd", { text: ms(part.ms) }))),
  );
  return [bar, legend];
}
