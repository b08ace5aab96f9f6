// Both orders side by side: the first stage's, the model's, and a line from each place to the new one.
import { textOf } from "./candidates.js";
import { el, put } from "./dom.js";
import { score, whole } from "./format.js";
import { drawLines } from "./lines.js";

/** Rows that are drawn before somebody asks for more. */
const SHOWN = 50;
/** Characters of a text that two small lines hold at the most. */
const CLIPPED = 200;
/** A bar holds odds from 1 : 100,000 to 100,000 : 1. */
const DECADES = 10;

/** Show candidates alone: nothing was asked yet, or it is being asked (`busy`). */
export function showCandidates(place, documents, { busy = false, note = "", shown: most = SHOWN } = {}) {
  if (!documents.length && !busy) {
    put(place, el("p", { class: "empty", text: note || "Candidates appear here as you type them, one a line." }));
    return;
  }
  const shown = documents.slice(0, most);
  const ghosts = el("ol", { class: "after ghosts", "aria-hidden": "true" }, shown.map(() => el("li", {}, el("i"))));
  const board = el("div", { class: "board", "data-busy": busy ? "yes" : null },
    heading("before", "first stage", `${whole(documents.length)} as given`),
    heading("after", "reranked", busy ? "" : note),
    before(shown),
    el("div", { class: "lines" }),
    ghosts);
  const showAll = () => showCandidates(place, documents, { note, shown: Infinity });
  put(place, board, documents.length > most && more(documents.length - most, busy ? null : showAll));
}

/** Show an answer to these documents. */
export function showRanking(place, documents, answer, shown = SHOWN) {
  const results = answer.results.slice(0, shown);
  const scale = scaleOf(answer.results);
  const rows = results.map((result, at) => row(result, at + 1, documents[result.index], scale, answer.model.max_length));
  const firstUnscored = results.findIndex((result) => !result.scored);
  if (firstUnscored >= 0) rows.splice(firstUnscored, 0, el("li", { class: "rule", text: "not scored before the deadline, in first-stage order" }));
  const after = el("ol", { class: "after", tabindex: "-1" }, rows);
  const lines = el("div", { class: "lines" });
  const first = before(documents.slice(0, shown), new Set(answer.results.map((result) => result.index)));
  const scored = answer.results.filter((result) => result.scored).length;
  const board = el("div", { class: "board" },
    heading("before", "first stage", `${whole(documents.length)} as given`),
    heading("after", "reranked", scored === documents.length ? "by relevance" : `${whole(scored)} of ${whole(documents.length)}`),
    first, lines, after);
  const left = Math.max(documents.length, answer.results.length) - shown;
  const showAll = () => {
    showRanking(place, documents, answer, Infinity);
    const opened = places(place);
    (opened[shown] ?? opened.at(-1))?.focus();
  };
  put(place, board, left > 0 && more(left, showAll), scale.told && el("p", { class: "hint bars", text: scale.told }));
  rove(after);
  drawLines(lines, first, after);
  highlight(board);
}

function heading(name, title, note) {
  return el("p", { class: `heading ${name}` }, el("b", { text: title }), el("span", { class: "hint", text: note }));
}

function before(documents, kept = null) {
  const items = documents.map((document, index) =>
    el("li", { "data-index": index, class: kept && !kept.has(index) ? "gone" : null },
      el("span", { class: "rank", text: index + 1 }),
      el("span", { class: "text", dir: "auto", text: textOf(document).slice(0, CLIPPED) })));
  const list = el("ol", { class: "before", "aria-label": "Order before" }, items);
  list.addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (!item || String(getSelection())) return;
    const opened = item.classList.toggle("open");
    const text = textOf(documents[item.dataset.index]);
    item.querySelector(".text").textContent = opened ? text : text.slice(0, CLIPPED);
  });
  return list;
}

function row(result, rank, document, scale, maxLength) {
  const text = document === undefined ? "" : textOf(document);
  const moved = result.index + 1 - rank;
  const said = `${moved > 0 ? `up ${moved}` : moved < 0 ? `down ${-moved}` : "as before"}, was ${result.index + 1}`;
  const opener = el("button", { type: "button", class: "rank", text: rank, tabindex: "-1", "aria-expanded": "false", "aria-label": `${rank}, ${said}: ${text.slice(0, 80)}` });
  const item = el("li", { "data-index": result.index, "data-moved": direction(moved), class: result.scored ? null : "unscored" },
    opener,
    arrow(moved, said),
    el("div", { class: "what" },
      el("p", { class: "text", dir: "auto", text }),
      marks(result, maxLength)),
    el("span", { class: "chevron", "aria-hidden": "true", title: "open: the whole text, its tokens and its logit" }),
    result.scored ? bar(result, scale) : el("div", { class: "score none" }, el("span", { class: "track" }), el("span", { class: "value", text: "–", title: "not scored" })));
  item.addEventListener("click", (event) => {
    // Elsewhere than on the button, a click may only have ended a selection.
    if (event.target !== opener && String(getSelection())) return;
    opener.setAttribute("aria-expanded", String(item.classList.toggle("open")));
  });
  return item;
}

function arrow(moved, said) {
  return el("span", { class: "move", title: said },
    el("span", { "aria-hidden": "true", text: moved ? `${moved > 0 ? "▲" : "▼"} ${Math.abs(moved)}` : "=" }),
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

/**
 * Return what maps a score to 0..1, with what to tell of it. Probabilities go by their odds, as their bars would be alike
 * near 0 and near 1; other scores from the lowest to the highest. Pure.
 */
export function scaleOf(results) {
  const scores = results.filter((result) => result.scored).map((result) => result.relevance_score);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const probable = low >= 0 && high <= 1;
  const span = (value) => (high > low ? (value - low) / (high - low) : 1);
  return Object.assign(probable ? byOdds : span, { told: !scores.length ? null : probable ? ODDS : "Bars go from the lowest score to the highest." });
}

const ODDS = "Bars show odds: half full at a score of 0.5, a tenth more for ten times the odds.";

const byOdds = (value) => Math.min(1, Math.max(0, 0.5 + Math.log10(value / (1 - value)) / DECADES));

function bar(result, scale) {
  const filled = el("i");
  filled.style.width = `${(Math.max(0, Math.min(1, scale(result.relevance_score))) * 100).toFixed(2)}%`;
  return el("div", { class: "score" },
    el("span", { class: "track", "aria-hidden": "true" }, filled),
    el("span", { class: "value", text: score(result.relevance_score), title: String(result.relevance_score) }),
    result.cached && el("span", { class: "cached", text: "cached" }));
}

const direction = (moved) => (moved > 0 ? "up" : moved < 0 ? "down" : "same");

function more(left, show) {
  const label = `${whole(left)} more`;
  return show ? el("button", { type: "button", class: "quiet more", text: `Show ${label}`, click: show }) : el("p", { class: "hint more", text: `and ${label}` });
}

const places = (place) => [...place.querySelectorAll("button.rank")];

/** One stop for Tab; arrows, Home and End go from row to row. */
function rove(list) {
  const items = places(list);
  if (items.length) items[0].tabIndex = 0;
  list.addEventListener("focusin", (event) => {
    // An opened text can be focused too, to be scrolled.
    if (!items.includes(event.target)) return;
    for (const item of items) item.tabIndex = item === event.target ? 0 : -1;
  });
  list.addEventListener("keydown", (event) => {
    const at = items.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (at < 0 || next === undefined || !items[next]) return;
    event.preventDefault();
    items[next].focus();
  });
}

/** Point at a row, or focus it, and its twin and their line stand out. */
function highlight(board) {
  const mark = (event) => {
    const index = event.type === "mouseleave" || event.type === "focusout" ? undefined : event.target.closest?.("[data-index]")?.dataset.index;
    board.toggleAttribute("data-marked", index !== undefined);
    for (const each of board.querySelectorAll("[data-index]")) each.classList.toggle("marked", each.dataset.index === index);
  };
  for (const type of ["mouseover", "mouseleave", "focusin", "focusout"]) board.addEventListener(type, mark);
}
