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
];

/** Return the pieces of a request's time; what no stage accounts for is `other`. Stages of shards may overlap. Pure. */
export function pieces(timings) {
  const known = STAGES.map(([name, label]) => ({ name, label, ms: timings[`${name}_ms`] ?? 0 }));
  const sum = known.reduce((total, piece) => total + piece.ms, 0);
  const other = Math.max(0, timings.total_ms - sum);
  return [...known, { name: "other", label: "replies and the rest", ms: other }].filter((piece) => piece.ms >= 0.005);
}

export function stageBar(timings) {
  const parts = pieces(timings);
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
