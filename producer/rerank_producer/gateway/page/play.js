// The playground: from what is typed to a request, its answer, and the same as code.
import { Problem, rerank } from "./api.js";
import { hasScore, readCandidates, textOf } from "./candidates.js";
import { showCode } from "./code.js";
import { $, bring, el, put } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { count, ms, whole } from "./format.js";
import { key, keyChanged, keyRefused } from "./key.js";
import { makeMixer } from "./mixer.js";
import { mayFuse, methodWithoutScores, readOptions, writeFusion, writeWeight } from "./options.js";
import { clearProblem, showProblem } from "./problem.js";
import { showCandidates, showRanking } from "./ranking.js";
import { snippets } from "./snippets.js";
import { said, showSummary } from "./summary.js";

const KINDS = { lines: "one a line", json: "JSON list", jsonl: "JSON lines", body: "JSON body" };
const NOTES = { query: "query-note", candidates: "kind" };
const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

let read = readCandidates("");
/** What the answer that is shown was asked for, the answer, and its mixer, if any; null while none is shown. */
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
  writeFusion(example.fusion);
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
  if (event.target.id === "fusion-weight") followWeight();
  if (event.target.id === "query") note("query", "");
  if (["candidates", "fusion"].includes(event.target.id)) understand();
  else showSnippets();
  // What is being asked stays to be seen; its answer is compared with what is typed when it comes.
  if (running) return;
  if (last) markStale();
  else typing = setTimeout(() => showCandidates($("ranking"), read.documents, { note: hint() }), 120);
}

function markStale() {
  $("ranking").classList.toggle("stale", !answers(request()));
}

/** Whether what is shown answers a request. A fused answer is ordered here for any weight. */
function answers(asked) {
  const weightless = last.answer.fusion ? { fusion_weight: undefined } : {};
  return JSON.stringify({ ...asked, ...weightless }) === JSON.stringify({ ...last.asked, ...weightless });
}

/** Read the candidates; a whole request body fills in the other fields too, unless something is wrong with it. */
function understand() {
  read = readCandidates($("candidates").value);
  let taken = "";
  if (read.query !== undefined && !read.note) {
    $("query").value = read.query;
    if (read.topN) $("top-n").value = read.topN;
    const fuses = Object.keys(read.fusion).length > 0;
    if (fuses) writeFusion(read.fusion);
    const more = [read.topN && "top n", fuses && "fusion"].filter(Boolean);
    taken = more.length ? `; query${more.length > 1 ? "," : " and"} ${more.join(" and ")} are taken from it` : "; the query is taken from it";
    $("candidates").value = JSON.stringify(read.documents, null, 1);
  }
  const told = read.documents.length ? `${count(read.documents.length, "candidate")}${scoresTold()}, ${KINDS[read.kind]}${taken}` : "one a line, or pasted JSON";
  note("candidates", read.note, told);
  showSnippets();
}

function scoresTold() {
  const scores = read.documents.filter(hasScore).length;
  return scores ? `, ${scores < read.documents.length ? `${whole(scores)} ` : ""}with scores` : "";
}

/** The slider of a fused answer follows the weight in the form, which may have changed while it was being asked. */
function followWeight() {
  const { value, validity } = $("fusion-weight");
  if (last?.mixer && value !== "" && validity.valid) last.mixer.weigh(Number(value));
}

function sameWeight(asked) {
  return [last.asked.fusion_weight, last.answer.fusion?.weight].includes(asked.fusion_weight);
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
  return { query: $("query").value.trim(), documents: read.documents, ...readOptions(read.documents) };
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
    // Another weight may bring others to the top, so that all are asked for where there may be a slider.
    const sent = mayFuse(asked) ? { ...asked, top_n: undefined } : asked;
    const found = await rerank(sent, { partial: partial(), signal: running.signal });
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
  const method = methodWithoutScores(documents);
  const wrong = !query ? ["query", "the query is empty"]
    : !documents.length ? ["candidates", read.note || "there are no candidates: write some, one a line"]
      : method ? ["candidates", `${method} needs first-stage scores: a number behind a tab at the end of each line`] : null;
  if (!wrong) return false;
  note(...wrong);
  $(wrong[0]).focus();
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
  const answer = { ...found.answer, results: found.answer.results.slice(0, asked.top_n) };
  const say = (text) => { $("said").textContent = text; };
  const mixer = answer.fusion ? makeMixer(asked, found.answer, {
    reorder: (results, weight) => {
      ranking.reorder(results);
      writeWeight(weight === Infinity ? answer.fusion.weight : weight);
      showSnippets();
    },
    say,
  }) : null;
  last = { asked, answer, mixer };
  showSummary($("summary"), found, asked.documents.length);
  const ranking = showRanking($("ranking"), asked.documents, answer, mixer?.element);
  markStale();
  followWeight();
  bring($("summary"));
  say(said(found, asked.documents.length, (index) => textOf(asked.documents[index])));
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
  if (last && answers(asked) && sameWeight(asked)) tabs.push({ name: "Answer", get code() { return JSON.stringify(last.answer, null, 1); } });
  showCode($("code"), tabs);
}
