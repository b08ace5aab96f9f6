// First-stage scores beside the model's: the formulas of rerank_producer/fusion/methods.py, in which each step has its
// reason. What the server fused with one weight is ordered here with any other. Pure.

/** Requests that must teach the ratio of “weighted” before it is used; till then z-scores stand in for it. */
export const TRUSTED_REQUESTS = 30;
const K = 60;
const LARGE = 1e100;
const MOST = 1e150;

/**
 * Return `{scores, order}`: fused scores by index, null where there is no logit, and the indexes, best first.
 *
 * `logits` has one item a document, null for one that was not scored in time. `scores` has its first-stage score, null
 * for none; where it is empty, documents stand in first-stage order. `applied` and `ratio` are those of an answer.
 */
export function fusedOrder(logits, { applied, ratio, weight, scores, ascending = false }) {
  const good = goodness(scores, logits.length, ascending);
  const indexes = [...logits.keys()];
  const scored = indexes.filter((index) => logits[index] !== null);
  const known = scored.map((index) => logits[index]);
  const first = firstStage(scored.map((index) => good[index]));
  const fused = applied === "rrf" ? reciprocal(known, first.scores, weight) : weighed(known, first, weight, ratio);
  const found = new Array(logits.length).fill(null);
  scored.forEach((index, place) => { found[index] = fused[place]; });
  const unscored = indexes.filter((index) => logits[index] === null).sort((a, b) => down(good[a], good[b]));
  return { scores: found, order: [...sorted(fused, known, first.scores, weight).map((place) => scored[place]), ...unscored] };
}

/** First-stage scores as numbers of which larger is better; a missing one counts as the worst. */
function goodness(scores, count, ascending) {
  if (!scores.length) return Array.from({ length: count }, (_, place) => -place);
  const signed = scores.map((score) => (score === null ? null : ascending ? -score : score));
  const worst = smallest(signed.filter((score) => score !== null));
  return signed.map((score) => score ?? worst);
}

/** Of the documents with a logit: first-stage scores in a unit in which they can be squared, and their mean. */
function firstStage(good) {
  const length = Math.hypot(...good);
  const peak = good.reduce((most, score) => Math.max(most, Math.abs(score)), 0);
  const unit = !peak || (1 / LARGE < length && length < LARGE) ? 1 : peak;
  const scores = unit === 1 ? good : good.map((score) => score / unit);
  return { scores, unit, mean: mean(scores) };
}

function weighed(logits, first, weight, ratio) {
  const scaled = ratio * first.unit;
  const gain = weight && scaled ? weight * scaled : 0;
  if (gain <= MOST) return logits.map((logit, place) => logit + gain * (first.scores[place] - first.mean));
  const factor = scaled > 0 && scaled < MOST ? scaled : 1;
  return first.scores.map((score) => factor * (score - first.mean));
}

function reciprocal(logits, scores, weight) {
  const [byLogit, byFirst] = [ranks(logits), ranks(scores)];
  const [ofModel, ofFirst] = weight === Infinity ? [0, 1] : [1, weight];
  return byLogit.map((rank, place) => ofModel / (K + rank) + ofFirst / (K + byFirst[place]));
}

/** Ranks from 1, the largest first; equal values share the better one. */
function ranks(values) {
  const best = new Map();
  [...values].sort(down).forEach((value, place) => { if (!best.has(value)) best.set(value, place + 1); });
  return values.map((value) => best.get(value));
}

/** Places, best first. Sorting is stable: what is equal in all keeps the order of the request. */
function sorted(fused, logits, first, weight) {
  const [by, then] = weight === 0 ? [logits, logits] : weight === Infinity ? [first, logits] : [fused, first];
  return [...fused.keys()].sort(
    (a, b) => down(by[a], by[b]) || down(then[a], then[b]) || down(logits[a], logits[b]),
  );
}

/** Neumaier’s sum: as exact as Python’s, but for the last bit of odd cases. */
function mean(values) {
  let [sum, lost] = [0, 0];
  for (const value of values) {
    const next = sum + value;
    lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  return values.length ? (sum + lost) / values.length : 0;
}

const smallest = (values) => values.reduce((least, value) => Math.min(least, value), Infinity);

const down = (a, b) => (a < b ? 1 : a > b ? -1 : 0);
