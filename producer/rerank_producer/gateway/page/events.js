// Server-sent events over fetch, since EventSource can't carry a key.
import { Problem, problemOf, reach } from "./api.js";
import { keyChanged, keyHeaders, keyRefused, keyTaken } from "./key.js";

const LONGEST_PAUSE_MS = 15_000;
const HIDDEN_MS = 30_000;
/** The gateway says something every ten seconds at least: a connection that is this silent is none. */
const SILENT_MS = 25_000;

/** Return a function that takes the stream's text in pieces and calls `onData` with the data of each event. Pure. */
export function parser(onData) {
  let rest = "";
  let data = [];
  return (piece) => {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (data.length) onData(data.join("\n"));
        data = [];
      } else if (line.startsWith("data:")) {
        data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
  };
}

/** Follow the fleet for as long as the page lives: `onState` is told a view, or a Problem; while hidden it pauses. */
export async function follow(onState) {
  let pauseMs = 1000;
  for (;;) {
    await visible();
    try {
      await listen((state) => {
        pauseMs = 1000;
        onState(state);
      });
      // The gateway ended it: it restarts, or the page was hidden.
    } catch (problem) {
      onState(problem);
      if (problem.status === 401) {
        const changed = keyChanged();
        keyRefused();
        await changed;
        continue;
      }
      if (problem.retryAfterS) pauseMs = problem.retryAfterS * 1000;
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    pauseMs = Math.min(pauseMs * 1.6, LONGEST_PAUSE_MS);
  }
}

async function listen(onState) {
  const stop = new AbortController();
  const unwatch = whenHidden(() => stop.abort());
  let silent = false;
  let timer = 0;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      silent = true;
      stop.abort();
    }, SILENT_MS);
  };
  try {
    heard();
    const response = await reach("v1/fleet/live", { headers: keyHeaders(), signal: stop.signal });
    if (!response.ok) throw await problemOf(response);
    keyTaken();
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) throw new Problem(0, "unreadable", "What came is no stream of events.");
    const decoder = new TextDecoder();
    const feed = parser((data) => onState(JSON.parse(data)));
    const reader = response.body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      const text = decoder.decode(value, { stream: true });
      try {
        feed(text);
      } catch (error) {
        throw new Problem(0, "unreadable", error.message);
      }
    }
  } catch (error) {
    if (stop.signal.aborted && !silent) return;
    throw error instanceof Problem ? error : new Problem(0, "unreachable", "");
  } finally {
    clearTimeout(timer);
    unwatch();
  }
}

function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

function whenHidden(stop) {
  let timer = 0;
  const watch = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(stop, HIDDEN_MS);
  };
  document.addEventListener("visibilitychange", watch);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", watch);
  };
}
