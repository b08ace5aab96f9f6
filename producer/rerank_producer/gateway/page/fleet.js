// The fleet, live: a line in the header, figures, queues, durations, routes, pools and workers, drawn anew once a second.
import { $, el, put } from "./dom.js";
import { follow } from "./events.js";
import { count, percent, short, span, whole } from "./format.js";
import { key } from "./key.js";
import { latencyTable } from "./latency.js";
import { poolTable } from "./pools.js";
import { routeList } from "./routes.js";
import { Series } from "./spark.js";

const STALE_MS = 4000;
const series = { workers: new Series(), rate: new Series(), requests: new Series(), waiting: new Series(), hits: new Series(), drain: new Series() };
let heardAt = 0;
let view = null;

// Made once, so that it stays where it was scrolled to, and keeps the focus, while its rows change.
const news = el("div");
const rows = el("tbody");
const scroll = el("div", { class: "scroll", role: "group", "aria-label": "Workers" },
  el("table", { class: "workers" },
    el("thead", {}, el("tr", {},
      [["worker"], ["host", "roomy"], ["core"], ["pairs a batch"], ["tokens/\u2060s"], ["", "wide"], ["held jobs"], ["held tokens", "roomy"], ["up", "roomy"]]
        .map(([name, kind]) => el("th", { scope: "col", class: kind, text: name })))),
    rows));
const workers = panel("Workers", scroll);

export function startFleet(onModel) {
  put($("fleet"), el("p", { class: "empty", text: "Waiting for the first news of the fleet." }));
  follow((state) => {
    if (state.status !== "ok") return lost(state);
    heardAt = performance.now();
    view = state;
    onModel(state.model);
    show(state);
  });
  setInterval(() => {
    const silentMs = performance.now() - heardAt;
    if (view && silentMs > STALE_MS && $("pulse").dataset.state !== "lost") pulse("wait", `no news for ${span(silentMs / 1000)}`);
  }, 1000);
}

function show(state) {
  const alive = state.workers.length;
  const waiting = state.queues.reduce((sum, queue) => sum + queue.tokens, 0);
  if (alive) pulse("ok", `${count(alive, "worker")} · ${short(state.tokens_per_s)} tokens/s`);
  else pulse("none", "no workers alive");
  $("model").textContent = state.model;
  $("fleet-note").textContent = `as of ${new Date(state.at * 1000).toLocaleTimeString()}`;
  $("fleet").classList.remove("stale");
  record(state, waiting);
  if (!news.isConnected) put($("fleet"), news, workers);
  put(news,
    alive ? null : nobody(state),
    figures(state, waiting),
    el("div", { class: "panels" },
      panel("Queue by class", queues(state.queues)),
      panel(`Durations, last ${Math.round(state.latency_window_s / 60)} minutes`, latencyTable(state.latency, state.latency_window_s))),
    state.routes.length ? panel("Routes", routeList(state.routes)) : null,
    state.pools.length ? panel("Pools", poolTable(state.pools)) : null);
  workers.hidden = !alive;
  showWorkers(state.workers);
}

function lost(problem) {
  const told = problem.error ?? problem;
  const texts = {
    unreachable: "gateway unreachable",
    queue_unavailable: "Redis unreachable",
    unauthorized: key() ? "API key refused" : "API key needed",
    forbidden: "not answered here",
  };
  const code = problem.status === 401 ? "unauthorized" : told.code;
  const text = texts[code] ?? (problem.status === 503 ? "live view refused" : "fleet unknown");
  pulse("lost", text);
  const why = { unreachable: "The gateway does not answer; this page tries again by itself.", unauthorized: key() ? "The gateway does not know the API key that was entered." : "The live view needs an API key: enter one above." }[code] ?? told.message;
  $("fleet-note").textContent = view ? `${text}; last news at ${new Date(view.at * 1000).toLocaleTimeString()}` : "";
  $("fleet").classList.toggle("stale", view !== null);
  if (view === null) put($("fleet"), el("p", { class: "empty", text: why }));
}

function pulse(state, text) {
  $("pulse").dataset.state = state;
  if ($("pulse-text").textContent !== text) $("pulse-text").textContent = text;
}

function nobody(state) {
  const scored = state.predicted_drain_s ? ` One worker would need ${span(state.predicted_drain_s)} for what waits.` : "";
  return el("p", { class: "notice" },
    el("b", { text: "No workers alive. " }),
    `Scores in the cache are still answered; all else waits until its deadline.${scored} Start some: `,
    el("code", { text: "rerank-fleet worker" }));
}

function record(state, waiting) {
  series.workers.add(state.workers.length);
  series.rate.add(state.tokens_per_s);
  series.requests.add(state.requests_per_s);
  series.waiting.add(waiting);
  series.hits.add(state.cache.hit_rate);
  series.drain.add(state.predicted_drain_s);
}

function figures(state, waiting) {
  const jobs = state.queues.reduce((sum, queue) => sum + queue.queued_jobs + queue.held_jobs, 0);
  const hosts = new Set(state.workers.map((worker) => worker.host)).size;
  const { hit_rate: hitRate, lookups } = state.cache;
  return el("div", { class: "figures" },
    figure("Workers", whole(state.workers.length), hosts ? `on ${count(hosts, "host")}` : "none alive", series.workers.draw()),
    figure("Speed", state.tokens_per_s ? short(state.tokens_per_s) : "–", "tokens a second when busy", series.rate.draw()),
    figure("Requests", rate(state.requests_per_s), "a second, last minute", series.requests.draw()),
    figure("Waiting", short(waiting), `tokens in ${count(jobs, "job")}`, series.waiting.draw()),
    figure("Cache hits", hitRate === null ? "–" : percent(hitRate), lookups ? `of ${short(lookups)} pairs, last minute` : "no look-ups in the last minute", series.hits.draw(1)),
    figure("Work ahead", state.predicted_drain_s === null ? "–" : span(state.predicted_drain_s), "until all that waits is done", series.drain.draw()));
}

const rate = (value) => (value === 0 ? "0" : value < 0.1 ? value.toFixed(2) : value.toFixed(value < 10 ? 1 : 0));

function figure(name, value, note, spark) {
  return el("div", { class: "figure" }, el("p", { class: "name", text: name }), el("p", { class: "value", text: value }), el("p", { class: "hint", text: note }), spark);
}

function panel(title, ...content) {
  return el("section", { class: "panel" }, el("h3", { text: title }), content);
}

function queues(rows) {
  return el("table", { class: "queues" },
    head("class", "queued", "held", "tokens", "oldest"),
    el("tbody", {}, rows.map((queue) => el("tr", {},
      el("th", { scope: "row", text: queue.class }),
      el("td", { text: whole(queue.queued_jobs) }),
      el("td", { text: whole(queue.held_jobs) }),
      el("td", { text: whole(queue.tokens) }),
      el("td", { text: queue.oldest_age_s === null ? "–" : span(queue.oldest_age_s) })))));
}

function showWorkers(all) {
  const most = Math.max(...all.map((worker) => worker.tokens_per_s), 1);
  const manyHosts = new Set(all.map((worker) => worker.host)).size > 1;
  if (all.length > 12) scroll.tabIndex = 0;
  put(rows, all.map((worker) => el("tr", {},
    el("th", { scope: "row", translate: "no", text: worker.id, title: `${worker.model} on ${worker.host}` }),
    el("td", { class: "roomy", translate: "no", text: worker.host, title: manyHosts ? null : "all on this host" }),
    el("td", { text: worker.core === null ? "–" : worker.core }),
    el("td", { text: worker.pairs_per_batch === null ? "–" : worker.pairs_per_batch.toFixed(1) }),
    el("td", { text: worker.tokens_per_s ? whole(worker.tokens_per_s) : "–" }),
    el("td", { class: "wide", "aria-hidden": "true" }, meter(worker.tokens_per_s / most)),
    el("td", { text: whole(worker.held_jobs) }),
    el("td", { class: "roomy", text: whole(worker.held_tokens) }),
    el("td", { class: "roomy", text: span(worker.uptime_s) }))));
}

function meter(share) {
  const filled = el("i");
  filled.style.width = `${(share * 100).toFixed(1)}%`;
  return el("span", { class: "meter" }, filled);
}

const head = (...names) => el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col", text: name }))));
