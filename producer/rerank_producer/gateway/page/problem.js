// What went wrong, in words that say what to do.
import { el, put } from "./dom.js";
import { span } from "./format.js";

const TITLES = {
  0: "The gateway can’t be reached",
  400: "The request is not right",
  401: "An API key is needed",
  403: "This page may not ask here",
  404: "Not served here",
  408: "The request took too long to arrive",
  413: "The request is too large",
  422: "The request is not right",
  429: "Too busy for this deadline",
  499: "The request was cancelled",
  502: "The fleet gave an answer that can’t be read",
  503: "The gateway can’t answer just now",
  504: "Nothing was scored in time",
};
const ADVICE = {
  0: "Is it running, and are you online? Nothing you typed is lost.",
  401: "Enter one, and the request is sent again.",
  429: "Nothing was computed. Wait, allow a longer deadline, send fewer candidates, or start more workers.",
  503: "Nothing you typed is lost: send it again in a moment.",
  504: "Allow a longer deadline under Options, send fewer candidates, or start more workers: rerank-fleet worker",
};

/** Title and advice, where the code says more than the status. */
const BY_CODE = {
  rate_limited: ["This API key has spent its tokens", "They come back with time."],
  deadline_too_short: ["The deadline is too short", "Nothing was computed. Allow a longer one under Options, or send fewer candidates."],
  no_workers: ["No worker serves this model at the moment", "Nothing was computed. Start one, or wait for the autoscaler."],
  queue_unavailable: ["The fleet can’t be reached", "The gateway runs, but not what is behind it. It keeps trying."],
  unreadable: ["The answer can’t be read", "Something between this page and the gateway may have answered in its place, such as a proxy or a login page."],
};

let timer = 0;

export function clearProblem(place) {
  clearInterval(timer);
  place.classList.remove("problem");
  put(place.querySelector("[role=alert]"));
  place.querySelector("button")?.remove();
}

/** Show a Problem; `again` sends the request once more. */
export function showProblem(place, problem, again) {
  clearProblem(place);
  const [title, advice] = BY_CODE[problem.code] ?? [TITLES[problem.status] ?? "Something went wrong", ADVICE[problem.status]];
  place.classList.add("problem");
  place.dataset.status = problem.status;
  put(place.querySelector("[role=alert]"),
    el("p", { class: "status", text: problem.status || "–", "aria-hidden": "true" }),
    el("div", {},
      el("h3", { text: title }),
      problem.message && el("p", { text: sentence(problem.message) }),
      advice && el("p", { class: "hint", text: advice })));
  // Not in the alert, which would be read out again whenever the button counts down.
  const button = el("button", { type: "button", text: "Try again", click: again });
  place.append(button);
  if (problem.retryAfterS) countDown(button, problem.retryAfterS);
}

function countDown(button, seconds) {
  const end = performance.now() + seconds * 1000;
  const tick = () => {
    const left = (end - performance.now()) / 1000;
    const text = left > 0 ? `Try again in ${left < 10 ? Math.ceil(left) + " s" : span(left)}` : "Try again";
    if (button.textContent !== text) button.textContent = text;
    if (left <= 0) clearInterval(timer);
  };
  tick();
  timer = setInterval(tick, 250);
}

/** A whole sentence; the name of a field, as in “max_length: …”, stays as it is. */
const sentence = (text) => (/^[\w.]+:/.test(text) ? text : text[0].toUpperCase() + text.slice(1)) + (/[.!?]$/.test(text) ? "" : ".");
