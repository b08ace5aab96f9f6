// One request in one line: how long its reader waited, what it cost, what was left out; and where the time went.
import { el, put } from "./dom.js";
import { count, ms, short, whole } from "./format.js";
import { stageBar } from "./stages.js";

/** Show what an answer to `asked` documents says of itself. */
export function showSummary(place, { answer, headers, tookMs }, asked) {
  const cut = answer.results.filter((result) => result.truncated).length;
  const upstream = headers.get("x-rerank-overflow");
  const { usage, workers, batch_pairs: batches } = answer;
  const facts = [
    count(asked, "candidate"),
    !answer.complete && el("strong", { class: "partial", text: `partial: ${whole(unscored(answer, asked))} not scored in time` }),
    usage.pairs_cached ? `${whole(usage.pairs_cached)} from the cache` : null,
    usage.pairs_run ? `${short(usage.tokens)} tokens run` : upstream ? null : "nothing had to be run",
    cut ? el("span", { class: "cut", text: `${whole(cut)} cut` }) : null,
    workers.length ? `${count(workers.length, "worker")}, ${batches.length === 1 ? `a batch of ${batches[0]}` : `batches of ${batches.slice(0, 6).join(", ")}${batches.length > 6 ? "…" : ""}`}` : null,
    upstream && el("strong", { text: `answered by ${upstream}` }),
  ].filter(Boolean);
  put(place,
    el("div", { class: "summary", "data-complete": answer.complete ? "yes" : "no" },
      el("p", { class: "took" }, el("b", { text: ms(tookMs) }), el("span", { class: "hint", text: "from your click to the answer here" })),
      el("ul", { class: "facts" }, facts.map((fact) => el("li", {}, fact)))),
    stageBar(answer.timings, tookMs));
}

/** Return one sentence for who can't see it. Pure. */
export function said({ answer, tookMs }, asked, textAt) {
  const best = answer.results[0];
  const partial = answer.complete ? "" : ` Partial: ${unscored(answer, asked)} not scored in time.`;
  const first = best ? ` Best, from place ${best.index + 1}: ${textAt(best.index).slice(0, 120)}` : "";
  return `${count(asked, "candidate")} reranked in ${ms(tookMs)}.${partial}${first}`;
}

function unscored(answer, asked) {
  const told = answer.results.filter((result) => !result.scored).length;
  return told || asked - answer.usage.pairs_run - answer.usage.pairs_cached;
}
