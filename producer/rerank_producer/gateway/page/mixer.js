// The slider of a fused answer: how much the first stage counts. It orders what was answered anew, and asks for nothing.
import { el } from "./dom.js";
import { count, shortly, whole } from "./format.js";
import { fusedOrder, TRUSTED_REQUESTS } from "./fusion.js";

const STEPS_A_UNIT = 20;
const LARGEST = 4;
/** The place beyond the largest weight: the first stage alone. */
const END = LARGEST * STEPS_A_UNIT + 1;
/** What moved is said when the slider rests: each step of it would be too much to listen to. */
const REST_MS = 500;

/**
 * Return `{element, weigh}` of a fused answer, which has all results. `reorder(results, weight)` is called with the best
 * of each new order, as many as were asked for; `say(text)` with what moved. `weigh(weight)` moves the slider.
 */
export function makeMixer(asked, answer, { reorder, say }) {
  const order = resultsAt(asked, answer);
  const input = el("input", { id: "weight", type: "range", min: 0, max: END, step: 1, "aria-describedby": "method" });
  const told = el("b", { "aria-hidden": "true" });
  const note = el("span", { class: "hint", "aria-hidden": "true" });
  const element = el("section", { class: "mixer", "aria-label": "Fusion" },
    el("p", { class: "dial" }, el("label", { for: "weight", text: "Weight of the first stage" }), told, note),
    el("div", { class: "slide" }, el("span", { text: "model only", "aria-hidden": "true" }), input, el("span", { text: "first stage only", "aria-hidden": "true" })),
    el("p", { class: "hint", id: "method", text: methodText(answer.fusion) }));
  let current = answer.fusion.weight;
  const tell = () => {
    told.textContent = weightText(current);
    note.textContent = noteText(current, answer.fusion.weight);
    input.setAttribute("aria-valuetext", weightText(current));
  };
  const speak = teller(element, say, order(current).slice(0, asked.top_n));
  const weigh = (weight) => {
    if (weight === current) return;
    current = weight;
    tell();
    const results = order(weight).slice(0, asked.top_n);
    reorder(results, weight);
    speak(results, weight);
  };
  input.addEventListener("input", () => weigh(weightAt(Number(input.value))));
  input.value = placeOf(current);
  tell();
  return { element, weigh: (weight) => { input.value = placeOf(weight); weigh(weight); } };
}

/** Return what says how results moved since it spoke last, once they rest. */
function teller(element, say, results) {
  let heard = results;
  let resting = 0;
  return (next, weight) => {
    clearTimeout(resting);
    resting = setTimeout(() => {
      if (!element.isConnected) return;
      say(moved(heard, next, weight));
      heard = next;
    }, REST_MS);
  };
}

/** Return what gives the results of an answer in the order of any weight, with their fused scores. Pure. */
export function resultsAt(asked, answer) {
  const results = [...answer.results].sort((a, b) => a.index - b.index);
  const logits = results.map((result) => result.logit ?? null);
  const given = results.map((result) => result.first_stage_score ?? null);
  const scores = given.some((score) => score !== null) ? given : [];
  const { applied, ratio } = answer.fusion;
  const ascending = asked.first_stage_order === "ascending";
  return (weight) => {
    const found = fusedOrder(logits, { applied, ratio, weight, scores, ascending });
    return found.order.map((place) => ({ ...results[place], fused_score: found.scores[place] }));
  };
}

/** Which method gave the order, and with which ratio. Pure. */
export function methodText({ method, applied, ratio, learned_requests: learned, first_stage: name }) {
  if (applied === "rrf") return "Method: rrf. Places count, not scores, so there is no ratio.";
  const stage = name ? ` of “${name}”` : "";
  if (ratio === 0) return `Method: ${method}. All logits or all first-stage scores are alike here, so the ratio is 0: logits give the order, and first-stage scores decide ties.`;
  const worth = `one point of first-stage score is worth ${shortly(ratio)} of logit, times the weight.`;
  if (method === "zscore") return `Method: zscore. Ratio ${shortly(ratio)}, of this request alone: ${worth}`;
  if (applied === "zscore") return `Method: weighted, but z-scores stand in until ${TRUSTED_REQUESTS} requests${stage} have taught the ratio; ${whole(learned ?? 0)} have so far. Ratio ${shortly(ratio)}, of this request alone: ${worth}`;
  if (learned === null || learned === undefined) return `Method: weighted. Ratio ${shortly(ratio)}, as asked: ${worth}`;
  return `Method: weighted. Ratio ${shortly(ratio)}, learned from ${count(learned, "request")}${stage}: ${worth}`;
}

function noteText(weight, answered) {
  if (weight === answered) return "as answered";
  return weight === Infinity ? "ordered here; no request can ask for it" : `ordered here; answered with ${weightText(answered)}`;
}

/** What to say of a new order to who can't see it. Pure. */
export function moved(before, results, weight) {
  const left = results.filter((result, place) => before[place]?.index !== result.index).length;
  const best = results[0];
  const first = best ? ` First is candidate ${best.index + 1}.` : "";
  return `${capital(weightText(weight))}: ${left ? `${count(left, "candidate")} moved` : "nothing moved"}.${first}`;
}

export const weightAt = (place) => (place >= END ? Infinity : place / STEPS_A_UNIT);

const placeOf = (weight) => (weight === Infinity ? END : Math.min(END - 1, Math.round(weight * STEPS_A_UNIT)));

const weightText = (weight) => (weight === 0 ? "model only" : weight === Infinity ? "first stage only" : `weight ${shortly(weight)}`);

const capital = (text) => text[0].toUpperCase() + text.slice(1);
