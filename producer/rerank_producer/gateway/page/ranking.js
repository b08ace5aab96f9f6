// Both orders side by side: the first stage's, the model's, and a line from each place to the new one.
import { textOf } from "./candidates.js";
import { el, put } from "./dom.js";
import { whole } from "./format.js";
import { glide } from "./glide.js";
import { drawLines } from "./lines.js";
import { COLUMNS, makeRow, placeRow, scaleOf } from "./rows.js";

/** Rows that are drawn before somebody asks for more. */
const SHOWN = 50;
/** Characters of a text that two small lines hold at the most. */
const CLIPPED = 200;

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

/**
 * Show an answer to these documents, below a mixer where it has one. Return `{reorder}`, which shows its results in
 * another order.
 */
export function showRanking(place, documents, answer, mixer = null) {
  let { results } = answer;
  let shown = SHOWN;
  let board;
  const draw = () => {
    const all = shown < Infinity ? showAll : null;
    board = drawBoard(place, documents, { answer: { ...answer, results }, shown, showAll: all, mixer });
  };
  const showAll = () => {
    const opened = shown;
    shown = Infinity;
    draw();
    const found = places(place);
    (found[opened] ?? found.at(-1))?.focus();
  };
  draw();
  return { reorder: (next) => { results = next; board.arrange(next); } };
}

function drawBoard(place, documents, { answer, shown, showAll, mixer }) {
  const { results, fusion } = answer;
  const first = before(documents.slice(0, shown));
  const after = el("ol", { class: fusion ? "after fused" : "after", tabindex: "-1" });
  const lines = el("div", { class: "lines" });
  const board = el("div", { class: "board" },
    heading("before", "first stage", `${whole(documents.length)} as given`),
    heading("after", "reranked", orderedBy(results, documents.length, fusion), fusion && columns()),
    first, lines, after);
  const fill = filler(documents, { answer, shown, first, after });
  const { told } = fill(results);
  const left = Math.max(documents.length, results.length) - shown;
  put(place, mixer, board, left > 0 && more(left, showAll), told && el("p", { class: "hint bars", text: told }));
  rove(after);
  const redraw = drawLines(lines, first, after);
  highlight(board);
  const arrange = (ordered) => glide(after, () => {
    after.classList.add("settled");
    fill(ordered);
    oneStop(after);
    redraw();
  });
  return { arrange };
}

function orderedBy(results, asked, fusion) {
  const scored = results.filter((result) => result.scored).length;
  if (scored < asked) return `${whole(scored)} of ${whole(asked)}`;
  return fusion ? "by fused score" : "by relevance";
}

/** Return what shows results in an order. Rows are made once, so that what is open stays open. */
function filler(documents, { answer, shown, first, after }) {
  const rows = new Map();
  const rowOf = (result) => {
    if (!rows.has(result.index)) rows.set(result.index, makeRow(result, documents[result.index], answer.model.max_length));
    return rows.get(result.index);
  };
  return (ordered) => {
    const scale = scaleOf(ordered, Boolean(answer.fusion));
    const drawn = ordered.slice(0, shown);
    const items = drawn.map(rowOf);
    drawn.forEach((result, at) => placeRow(items[at], result, at + 1, scale));
    const unscored = drawn.findIndex((result) => !result.scored);
    if (unscored >= 0) items.splice(unscored, 0, el("li", { class: "rule", text: "not scored before the deadline, in first-stage order" }));
    put(after, items);
    const kept = new Set(ordered.map((result) => String(result.index)));
    for (const item of first.children) item.classList.toggle("gone", !kept.has(item.dataset.index));
    return scale;
  };
}

function heading(name, title, note, more = null) {
  return el("p", { class: `heading ${name}` }, el("b", { text: title }), el("span", { class: "hint", text: note }), more);
}

/** Each row names its own scores for who can't see the columns. */
const columns = () => el("span", { class: "columns", "aria-hidden": "true" }, COLUMNS.map((name) => el("span", { text: name })));

function before(documents) {
  const items = documents.map((document, index) =>
    el("li", { "data-index": index },
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

function more(left, show) {
  const label = `${whole(left)} more`;
  return show ? el("button", { type: "button", class: "quiet more", text: `Show ${label}`, click: show }) : el("p", { class: "hint more", text: `and ${label}` });
}

const places = (place) => [...place.querySelectorAll("button.rank")];

/** One stop for Tab; arrows, Home and End go from row to row. */
function rove(list) {
  oneStop(list);
  list.addEventListener("focusin", (event) => {
    // An opened text can be focused too, to be scrolled.
    if (event.target.matches("button.rank")) oneStop(list, event.target);
  });
  list.addEventListener("keydown", (event) => {
    const items = places(list);
    const at = items.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (at < 0 || next === undefined || !items[next]) return;
    event.preventDefault();
    items[next].focus();
  });
}

/** Let Tab stop at one row: at this one, else at the first. */
function oneStop(list, stop = places(list)[0]) {
  for (const item of places(list)) item.tabIndex = item === stop ? 0 : -1;
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
