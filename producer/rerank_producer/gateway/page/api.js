// One request to the gateway, and what went wrong with it in one shape.
import { keyHeaders, keyTaken } from "./key.js";

/** What ended a request without an answer. `status` 0: nobody answered. */
export class Problem extends Error {
  constructor(status, code, message, retryAfterS = null) {
    super(message);
    Object.assign(this, { status, code, retryAfterS });
  }
}

/** Send a rerank request; return `{answer, headers, tookMs}`. Throws Problem, and AbortError when cancelled. */
export async function rerank(request, { partial, signal }) {
  const headers = { "Content-Type": "application/json", ...keyHeaders() };
  if (!partial) headers["X-Rerank-Partial"] = "false";
  const started = performance.now();
  const response = await reach("v1/fleet/rerank", { method: "POST", headers, body: JSON.stringify(request), signal });
  if (!response.ok) throw await problemOf(response);
  keyTaken();
  const answer = await read(response);
  return { answer, headers: response.headers, tookMs: performance.now() - started };
}

async function read(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    // Else the connection broke off.
    const isText = error instanceof SyntaxError;
    throw new Problem(0, isText ? "unreadable" : "unreachable", isText ? "What came is not JSON" : "");
  }
}

/** As fetch, of a path of this gateway; throws Problem where nobody answers. */
export async function reach(path, options) {
  try {
    return await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "");
  }
}

export async function problemOf(response) {
  const header = Number.parseFloat(response.headers.get("retry-after"));
  let told = null;
  try {
    told = (await response.json())?.error;
  } catch { /* A proxy in between speaks HTML. */ }
  const retryAfterS = told?.retry_after_s ?? (Number.isFinite(header) ? header : null);
  return new Problem(response.status, told?.code ?? "", told?.message ?? "", retryAfterS);
}
