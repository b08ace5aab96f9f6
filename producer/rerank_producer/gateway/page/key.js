// The API key: kept for this tab alone, asked for when the gateway says 401.
import { $ } from "./dom.js";

const NAME = "rerank-key";
const waiting = new Set();
let refused = false;
let kept = "";
try { kept = sessionStorage.getItem(NAME) ?? ""; } catch { /* Storage is off: the key lives as long as the page. */ }

export const key = () => kept;

/** Headers that carry the key, if there is one. */
export const keyHeaders = () => (kept ? { Authorization: `Bearer ${kept}` } : {});

/** Resolve when another key was entered. */
export const keyChanged = () => new Promise((resolve) => waiting.add(resolve));

/** Ask for a key, unless it is being asked for; `code` is what the gateway said about the one it got. */
export function askForKey() {
  refused = true;
  show();
  const dialog = $("key-dialog");
  if (dialog.open) return;
  $("key-title").textContent = kept ? "The gateway does not know this API key" : "This gateway asks for an API key";
  $("key-input").value = "";
  dialog.showModal();
}

function show() {
  const button = $("key-button");
  button.hidden = !kept && !refused;
  button.textContent = kept ? `Key …${kept.slice(-4)}` : "Enter a key";
}

function keep(value) {
  kept = value;
  try { value ? sessionStorage.setItem(NAME, value) : sessionStorage.removeItem(NAME); } catch { /* As above. */ }
  show();
  for (const resolve of waiting) resolve();
  waiting.clear();
}

export function startKey() {
  show();
  $("key-button").addEventListener("click", () => {
    $("key-title").textContent = kept ? "Use another API key" : "This gateway asks for an API key";
    $("key-input").value = "";
    $("key-dialog").showModal();
  });
  $("key-close").addEventListener("click", () => $("key-dialog").close());
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const value = $("key-input").value.trim();
    $("key-dialog").close();
    // A header can't carry more, and no key has it.
    keep(/^[\x21-\x7e]*$/.test(value) ? value : "");
  });
}
