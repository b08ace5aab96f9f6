// One row of an answer: its place, how far it moved, its text, and its scores.
import { textOf } from "./candidates.js";
import { el } from "./dom.js";
import { score, shortly, whole } from "./format.js";

/** A bar holds odds from 1 : 100,000 to 100,000 : 1. */
const DECADES = 10;

/** Make the row of a result, without its place: that is `placeRow`’s. */
export function makeRow(result, document, maxLength) {
  const text = document === undefined ? "" : textOf(document);
  const opener = el("button", { type: "button", class: "rank", tabindex: "-1", "aria-expanded": "false" });
  const item = el("li", { "data-index": result.index, class: result.scored ? null : "unscored" },
    opener,
    el("span", { class: "move" }),
    el("div", { class: "what" },
      el("p", { class: "text", dir: "auto", text }),
      marks(result, maxLength)),
    el("span", { class: "chevron", "aria-hidden": "true", title: "open: the whole text, its tokens and its logit" }),
    el("div", { class: "score" }));
  item.addEventListener("click", (event) => {
    // Elsewhere than on the button, a click may only have ended a selection.
    if (event.target !== opener && String(getSelection())) return;
    opener.setAttribute("aria-expanded", String(item.classList.toggle("open")));
  });
  return item;
}

/** Write a row’s place and scores, which may be others than before. What is open, or has the focus, stays so. */
export function placeRow(item, result, rank, scale) {
  const by = result.index + 1 - rank;
  const said = `${by > 0 ? `up ${by}` : by < 0 ? `down ${-by}` : "as before"}, was ${result.index + 1}`;
  const opener = item.querySelector(".rank");
  item.dataset.moved = by > 0 ? "up" : by < 0 ? "down" : "same";
  opener.textContent = rank;
  opener.setAttribute("aria-label", `${rank}, ${said}: ${item.querySelector(".text").textContent.slice(0, 80)}`);
  item.querySelector(".move").replaceWith(arrow(by, said));
  item.querySelector(".score").replaceWith(scores(result, scale));
}

function arrow(by, said) {
  return el("span", { class: "move", title: said },
    el("span", { "aria-hidden": "true", text: by ? `${by > 0 ? "▲" : "▼"} ${Math.abs(by)}` : "=" }),
    el("span", { class: "out", text: said }));
}

function marks(result, maxLength) {
  const found = [];
  if (result.id) found.push(el("span", { class: "id", text: result.id, translate: "no" }));
  if (result.truncated) found.push(el("span", { class: "cut", text: `✂ cut at ${whole(result.tokens ?? maxLength)} tokens`, title: "Text beyond this was not read by the model." }));
  else if (result.tokens !== null && result.tokens !== undefined) found.push(el("span", { class: "detail", text: `${whole(result.tokens)} tokens` }));
  if (result.logit !== null && result.logit !== undefined) found.push(el("span", { class: "detail", text: `logit ${result.logit.toFixed(3)}` }));
  return found.length ? el("p", { class: "marks" }, found) : null;
}

function scores(result, scale) {
  if (scale.fused) return fused(result, scale);
  if (!result.scored) return el("div", { class: "score none" }, el("span", { class: "track" }), el("span", { class: "value", text: "–", title: "not scored" }));
  return el("div", { class: "score" },
    track(scale(result.relevance_score)),
    el("span", { class: "value", text: score(result.relevance_score), title: String(result.relevance_score) }),
    result.cached && el("span", { class: "cached", text: "cached" }));
}

/** The names of the three scores of a fused result, as its columns are headed. */
export const COLUMNS = ["model", "first stage", "fused"];

function fused(result, scale) {
  const values = [
    figure(result.relevance_score, score, "not scored"),
    figure(result.first_stage_score, shortly, "no first-stage score: it counts as the worst"),
    figure(result.fused_score, (value) => value.toFixed(scale.digits), "not scored"),
  ];
  // By ranks alone there may be no scores; the place of the document is its rank then.
  if (scale.places) values[1] = el("dd", { class: "value", text: `#${result.index + 1}`, title: "its place in the request" });
  return el("div", { class: result.scored ? "score fused" : "score fused none" },
    el("dl", {}, values.map((value, at) => el("div", {}, el("dt", { text: COLUMNS[at] }), value))),
    el("div", { class: "bar" },
      track(result.scored ? scale(result.fused_score) : null),
      result.cached && el("span", { class: "cached", text: "cached" })));
}

function figure(value, spelled, missing) {
  if (value === null || value === undefined) return el("dd", { class: "value", text: "–", title: missing });
  return el("dd", { class: "value", text: spelled(value), title: String(value) });
}

function track(share) {
  if (share === null) return el("span", { class: "track", "aria-hidden": "true" });
  const filled = el("i");
  filled.style.width = `${(Math.max(0, Math.min(1, share)) * 100).toFixed(2)}%`;
  return el("span", { class: "track", "aria-hidden": "true" }, filled);
}

/**
 * Return what maps a result’s score to 0..1, with what to tell of it. Probabilities go by their odds, as their bars would
 * be alike near 0 and near 1; other scores, and fused ones, from the lowest to the highest. Pure.
 */
export function scaleOf(results, isFused = false) {
  const known = results.filter((result) => result.scored).map((result) => (isFused ? result.fused_score : result.relevance_score));
  const [low, high] = known.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  const probable = !isFused && low >= 0 && high <= 1;
  const span = (value) => (high > low ? (value - low) / (high - low) : 1);
  const told = !known.length ? null : probable ? ODDS : isFused ? FUSED : "Bars go from the lowest score to the highest.";
  const places = isFused && results.every((result) => (result.first_stage_score ?? null) === null);
  // Those of ranks are small, and differ in their third digit. Large ones need none behind the point.
  const size = Math.max(Math.abs(low), Math.abs(high));
  const digits = size < 0.1 ? 5 : size < 1000 ? 3 : 0;
  return Object.assign(probable ? byOdds : span, { told, fused: isFused, places, digits });
}

const ODDS = "Bars show odds: half full at a score of 0.5, a tenth more for ten times the odds.";
const FUSED = "Bars show fused scores, from the lowest to the highest.";

const byOdds = (value) => Math.min(1, Math.max(0, 0.5 + Math.log10(value / (1 - value)) / DECADES));
