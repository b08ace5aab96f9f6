// Durations by number of documents: p50, p95 and p99 as figures and on one logarithmic scale.
import { el } from "./dom.js";
import { ms, whole } from "./format.js";

const STEPS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 1e6, 1e7];

/** Return the ends of a scale that holds all of them, at steps of about a half decade. Pure. */
export function ends(rows) {
  const [low, high] = [Math.min(...rows.map((row) => row.p50_ms)), Math.max(...rows.map((row) => row.p99_ms))];
  const first = STEPS.findLast((step) => step <= low) ?? STEPS[0];
  const last = STEPS.find((step) => step >= high && step >= first * 9) ?? high;
  return [first, last];
}

export function latencyTable(rows, windowS) {
  const minutes = Math.round(windowS / 60);
  if (!rows.length) return el("p", { class: "empty", text: `No request was answered in the last ${minutes} minutes.` });
  const [low, high] = ends(rows);
  const at = (value) => `${((Math.log(Math.min(Math.max(value, low), high) / low) / Math.log(high / low)) * 100).toFixed(2)}%`;
  const ticks = STEPS.filter((step) => step >= low && step <= high);
  const decades = ticks.filter((step) => Number.isInteger(exponent(step)));
  // So many as have room beside each other.
  const labelled = ticks.length <= 3 ? ticks : decades.length <= 4 ? decades : decades.filter((step) => exponent(step) % 2 === 0);
  const axis = el("span", { class: "plot axis" }, ticks.map((step) => placed(el("i", { text: axisLabel(step), class: labelled.includes(step) ? null : "minor" }), at(step))));
  return el("table", { class: "latency" },
    el("thead", {}, el("tr", {},
      ["documents", "requests", "p50", "p95", "p99"].map((name) => el("th", { scope: "col", text: name })),
      el("th", { class: "wide", "aria-hidden": "true" }, axis))),
    el("tbody", {}, rows.map((row) => el("tr", {},
      el("th", { scope: "row", text: row.k.replace("-", "–") }),
      el("td", { text: whole(row.count) }),
      [row.p50_ms, row.p95_ms, row.p99_ms].map((value) => el("td", { text: ms(value) })),
      el("td", { class: "wide", "aria-hidden": "true" }, plot(row, at, ticks))))));
}

function plot(row, at, ticks) {
  const range = el("b");
  range.style.left = at(row.p50_ms);
  range.style.right = `calc(100% - ${at(row.p99_ms)})`;
  return el("span", { class: "plot" },
    ticks.map((step) => placed(el("s"), at(step))),
    range,
    [["p50", row.p50_ms], ["p95", row.p95_ms], ["p99", row.p99_ms]].map(([name, value]) => placed(el("i", { class: name, title: `${name} ${ms(value)}` }), at(value))));
}

function placed(element, left) {
  element.style.left = left;
  return element;
}

const exponent = (step) => Math.round(Math.log10(step) * 1e6) / 1e6;

const axisLabel = (step) => (step >= 1000 ? `${step / 1000} s` : `${step} ms`);
