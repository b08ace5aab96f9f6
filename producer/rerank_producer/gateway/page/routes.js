// The routes of the fleet: to which models each leads, and the rollout that moves its shares.
import { el } from "./dom.js";
import { count, percent, span } from "./format.js";

const STATES = {
  waiting: "waits for workers of the new model",
  moving: "moves on",
  holding: "holds",
  returning: "goes back",
  aborting: "is turned back",
  done: "is done",
  returned: "went back",
  aborted: "was turned back",
  stopped: "has stopped",
};
const ENDED = ["done", "returned", "aborted", "stopped"];

export function routeList(routes) {
  return el("div", { class: "routes" }, routes.map((route) => el("article", { class: "route", "aria-label": `Route ${route.name}` },
    el("h4", {}, el("span", { translate: "no", text: route.name }), " ",
      el("span", { class: "hint", text: [`version ${route.version}`, route.about].filter(Boolean).join(" · ") })),
    route.staged ? stages(route.targets) : shares(route),
    route.rollout ? rolloutOf(route.rollout) : null)));
}

function shares({ targets, rollout }) {
  const canary = rollout && !ENDED.includes(rollout.state) ? rollout.new : null;
  const kind = (target) => (target.model === canary ? "canary" : null);
  return [
    el("div", { class: "shares", "aria-hidden": "true" }, targets.map((target) => wide(el("i", { class: kind(target) }), target.percent))),
    el("ul", { class: "targets" }, targets.map((target) => el("li", { class: kind(target) },
      el("i", { "aria-hidden": "true" }), el("span", { translate: "no", text: target.model }), " ", el("b", { text: percent(target.percent / 100) })))),
  ];
}

function stages(targets) {
  const kept = ({ keep }) => (keep === null ? "all documents" : keep === "auto" ? "as many of the best as it can" : `the best ${keep}`);
  return el("ol", { class: "steps" }, targets.map((target) => el("li", {}, el("span", { translate: "no", text: target.model }), " ", el("span", { class: "hint", text: kept(target) }))));
}

function rolloutOf(rollout) {
  const ended = ENDED.includes(rollout.state);
  const step = rollout.step && !ended ? `step ${rollout.step} of ${rollout.steps.length}` : null;
  const held = rollout.held_s === null ? null : `for ${span(rollout.held_s)}, at least ${span(rollout.hold_s)}`;
  const alone = ended || rollout.led ? null : "No command leads it now. Repeat it to go on.";
  return el("div", { class: `rollout ${["returning", "returned", "stopped"].includes(rollout.state) || alone ? "ill" : "well"}` },
    el("p", {}, "Rollout to ", el("span", { translate: "no", text: rollout.new }), " ", el("b", { text: STATES[rollout.state] ?? rollout.state }),
      [held && ` ${held}`, step && ` · ${step}`].filter(Boolean).join("")),
    rollout.reason ? el("p", { class: "hint", text: rollout.reason }) : null,
    alone ? el("p", { class: "hint", text: alone }) : null,
    rollout.figures ? figures(rollout) : null);
}

function figures({ figures: { new: fresh, old, p95_ratio: ratio }, bounds, drift }) {
  const failed = (model) => (model.requests ? `${percent(model.failed_share)} of ${count(model.requests, "request")}` : "no requests yet");
  return el("dl", { class: "judged" },
    told("failed, new", failed(fresh), fresh.failed_share > old.failed_share + bounds.failed_share),
    told("failed, old", `${failed(old)}; ${percent(bounds.failed_share)} more is the bound`),
    told("P95, new by old", ratio === null ? "too few requests" : `${times(ratio)}; ${times(bounds.p95_ratio)} is the bound`, ratio > bounds.p95_ratio),
    drift === null ? null : told("drift", bounds.drift === null ? drift.toFixed(4) : `${drift.toFixed(4)}; ${bounds.drift} is the bound`, bounds.drift !== null && drift > bounds.drift));
}

const told = (name, value, beyond = false) => el("div", { class: beyond ? "beyond" : null }, el("dt", { text: name }), el("dd", { text: value }));

const times = (ratio) => `${ratio.toFixed(2)} times`;

function wide(element, percentage) {
  element.style.flexGrow = percentage;
  return element;
}
