// The pools of the fleet: the workers of one model in one precision, and the backlog that is theirs.
import { el } from "./dom.js";
import { span, whole } from "./format.js";

const HEADS = [["model and pool"], ["precision", "roomy"], ["processes"], ["queued"], ["held", "roomy"], ["work ahead"]];

export function poolTable(pools) {
  return el("table", { class: "pools" },
    el("thead", {}, el("tr", {}, HEADS.map(([name, kind]) => el("th", { scope: "col", class: kind, text: name })))),
    el("tbody", {}, pools.map((pool) => el("tr", { class: pool.processes ? null : "over" },
      el("th", { scope: "row", translate: "no" }, el("span", { text: pool.model ?? "–" }), " ", el("span", { class: "id", text: pool.pool })),
      el("td", { class: "roomy", translate: "no", text: pool.precision ?? "–" }),
      el("td", { class: "processes", text: whole(pool.processes) }),
      el("td", { text: whole(sum(pool, "queued_jobs")) }),
      el("td", { class: "roomy", text: whole(sum(pool, "held_jobs")) }),
      el("td", { text: pool.drain_s === null ? "–" : span(pool.drain_s) })))));
}

const sum = (pool, name) => Object.values(pool.queues).reduce((total, queue) => total + queue[name], 0);
