// The playground: from what is typed to a request, its answer, and the same as code.
import { Problem, rerank } from "./api.js";
import { readCandidates, textOf } from "./candidates.js";
import { showCode } from "./code.js";
import { $, bring, el, put } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { count, ms } from "./format.js";
import { key, keyChanged, keyRefused } from "./key.js";
import { clearProblem, showProblem } from "./problem.js";
import { showCandidates, showRanking } from "./ranking.js";
import { snippets } from "./snippets.js";
import { said, showSummary } from "./summary.js";

const KINDS = { lines: "one a line", json: "JSON list", jsonl: "JSON lines", body: "JSON body" };
const NOTES = { query: "query-note", candidates: "kind" };
const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

let read = readCandidates("");
/** What the answer that is shown was asked for, as JSON, and the answer; null while none is shown. */
let last = null;
let running = null;
let servedModel = null;
let typing = 0;

/** The model that the fleet says it serves; snippets name it. */
export function setModel(name) {
  if (name === servedModel) return;
  servedModel = name;
  showSnippets();
}

export function startPlay() {
  $("run-keys").textContent = MAC ? "⌘ ↵" : "Ctrl ↵";
  put($("example"), el("option", { value: "", text: "Examples" }), EXAMPLES.map((each, at) => el("option", { value: at, text: each.name })));
  $("example").addEventListener("change", (event) => {
    if (event.target.value !== "") load(EXAMPLES[event.target.value]);
    event.target.value = "";
  });
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  $("form").addEventListener("input", changed);
  $("query").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    run();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("key-dialog").open) {
      event.preventDefault();
      run();
    }
    if (event.key === "Escape") running?.abort();
  });
  $("cancel").addEventListener("click", () => running?.abort());
  load(EXAMPLES[0]);
}

function load(example) {
  $("query").value = example.query;
  note("query", "");
  $("candidates").value = example.candidates;
  $("top-n").value = "";
  running?.abort();
  clearTimeout(typing);
  last = null;
  clearProblem($("problem"));
  put($("summary"));
  understand();
  showCandidates($("ranking"), read.documents, { note: hint() });
}

function changed(event) {
  clearTimeout(typing);
  if (event.target.id === "query") note("query", "");
  if (event.target.id === "candidates") understand();
  else showSnippets();
  // What is being asked stays to be seen; its answer is compared with what is typed when it comes.
  if (running) return;
  if (last) markStale();
  else typing = setTimeout(() => showCandidates($("ranking"), read.documents, { note: hint() }), 120);
}

function markStale() {
  $("ranking").classList.toggle("stale", JSON.stringify(request()) !== last.request);
}

/** Read the candidates; a whole request body fills in the other fields too, unless something is wrong with it. */
function understand() {
  read = readCandidates($("candidates").value);
  let taken = "";
  if (read.query !== undefined && !read.note) {
    $("query").value = read.query;
    if (read.topN) $("top-n").value = read.topN;
    taken = read.topN ? "; query and top n are taken from it" : "; the query is taken from it";
    $("candidates").value = JSON.stringify(read.documents, null, 1);
  }
  const told = read.documents.length ? `${count(read.documents.length, "candidate")}, ${KINDS[read.kind]}${taken}` : "one a line, or pasted JSON";
  note("candidates", read.note, told);
  showSnippets();
}

/** Say beside a field what is wrong with it, else `told`. */
function note(field, wrong, told = "") {
  const place = $(NOTES[field]);
  place.textContent = wrong || told;
  place.classList.toggle("wrong", Boolean(wrong));
  $(field).setAttribute("aria-invalid", String(Boolean(wrong)));
}

const hint = () => `press Rerank, or ${MAC ? "⌘ ↵" : "Ctrl ↵"}`;

function request() {
  const found = { query: $("query").value.trim(), documents: read.documents };
  for (const [id, name] of [["top-n", "top_n"], ["deadline", "deadline_ms"], ["max-length", "max_length"]]) {
    const value = Number($(id).value);
    if ($(id).value !== "" && Number.isFinite(value)) found[name] = value;
  }
  if ($("class").value) found.class = $("class").value;
  return found;
}

const partial = () => $("partial").checked;

async function run() {
  if (running) return;
  const asked = request();
  if (lacks(asked)) return;
  // An answer may come before what was typed is drawn, and must not be drawn over.
  clearTimeout(typing);
  running = new AbortController();
  const stopClock = busy(asked.documents);
  try {
    const found = await rerank(asked, { partial: partial(), signal: running.signal });
    showAnswer(asked, found);
  } catch (problem) {
    failed(problem);
  } finally {
    running = null;
    stopClock();
  }
}

/** Whether a request can't be sent; what it lacks is told where it belongs, and nothing else changes. */
function lacks({ query, documents }) {
  const field = !query ? "query" : !documents.length ? "candidates" : null;
  if (!field) return false;
  note(field, field === "query" ? "the query is empty" : read.note || "there are no candidates: write some, one a line");
  $(field).focus();
  return true;
}

/** As `run`, of the button that goes away with the problem it stands in. */
function again() {
  toRun();
  run();
}

/** Keep the focus where what is focused goes away. */
const toRun = () => $("run").focus({ preventScroll: true });

function busy(documents) {
  clearProblem($("problem"));
  const answer = document.querySelector(".answer");
  answer.setAttribute("aria-busy", "true");
  $("run").setAttribute("aria-disabled", "true");
  $("cancel").hidden = false;
  // What is answered at once should not flash an empty board.
  const empty = setTimeout(() => {
    put($("summary"));
    $("ranking").classList.remove("stale");
    showCandidates($("ranking"), documents, { busy: true });
  }, last ? 250 : 60);
  const started = performance.now();
  const clock = setInterval(() => { $("run-text").textContent = `Reranking, ${ms(performance.now() - started)}`; }, 100);
  return () => {
    clearTimeout(empty);
    clearInterval(clock);
    $("run-text").textContent = "Rerank";
    $("run").removeAttribute("aria-disabled");
    if (document.activeElement === $("cancel")) toRun();
    $("cancel").hidden = true;
    answer.removeAttribute("aria-busy");
  };
}

function showAnswer(asked, found) {
  last = { request: JSON.stringify(asked), answer: found.answer };
  showSummary($("summary"), found, asked.documents.length);
  showRanking($("ranking"), asked.documents, found.answer);
  markStale();
  bring($("summary"));
  $("said").textContent = said(found, asked.documents.length, (index) => textOf(asked.documents[index]));
  showSnippets();
}

function failed(problem) {
  last = null;
  $("ranking").classList.remove("stale");
  put($("summary"));
  // Not what was asked: an example may have been chosen meanwhile.
  showCandidates($("ranking"), read.documents, { note: hint() });
  showSnippets();
  if (problem.name === "AbortError") {
    $("said").textContent = "Cancelled.";
    return;
  }
  if (problem.status === 401) {
    keyRefused({ asked: true });
    // For this problem only: another run, or another problem, is answered by itself.
    const shown = problem;
    keyChanged().then(() => { if (key() && current === shown) run(); });
  }
  current = problem;
  showProblem($("problem"), problem instanceof Problem ? problem : new Problem(0, "unreadable", problem.message), again);
  bring($("problem"));
}
let current = null;

function showSnippets() {
  const asked = request();
  const tabs = snippets(asked, {
    origin: new URL(".", location.href).href,
    keyed: Boolean(key()),
    partial: partial(),
    model: servedModel,
  });
  if (last?.request === JSON.stringify(asked)) tabs.push({ name: "Answer", get code() { return JSON.stringify(last.answer, null, 1); } });
  showCode($("code"), tabs);
}
