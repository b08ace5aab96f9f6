// The API key: kept for this tab alone. When the gateway says 401 the header offers to enter one; the dialog opens by
// itself only for who has asked for something, or has just entered a key that is refused.
import { $ } from "./dom.js";

const NAME = "rerank-key";
const waiting = new Set();
let refused = false;
let entered = false;
let kept = "";
try { kept = sessionStorage.getItem(NAME) ?? ""; } catch { /* Storage is off: the key lives as long as the page. */ }

export const key = () => kept;

/** Headers that carry the key, if there is one. */
export const keyHeaders = () => (kept ? { Authorization: `Bearer ${kept}` } : {});

/** Resolve when another key was entered. */
export const keyChanged = () => new Promise((resolve) => waiting.add(resolve));

/** The gateway said 401. Offer to enter a key; with `asked`, since somebody waits for an answer, ask for it at once. */
export function keyRefused({ asked = false } = {}) {
  refused = true;
  show();
  if (asked || entered) open();
}

/** The gateway answered with the key that is kept, or without any. */
export function keyTaken() {
  entered = false;
  if (!refused) return;
  refused = false;
  show();
}

function open() {
  const dialog = $("key-dialog");
  if (dialog.open) return;
  entered = false;
  $("key-title").textContent = !kept ? "This gateway asks for an API key" : refused ? "The gateway does not know this API key" : "Use another API key";
  // What was mistyped is there to be mended.
  $("key-input").value = refused ? kept : "";
  dialog.showModal();
  $("key-input").select();
}

function show() {
  const button = $("key-button");
  button.hidden = !kept && !refused;
  button.classList.toggle("wanted", refused);
  button.textContent = !kept ? "Enter a key" : refused ? `Key …${kept.slice(-4)} refused` : `Key …${kept.slice(-4)}`;
}

function keep(value) {
  kept = value;
  refused = false;
  entered = Boolean(value);
  try { value ? sessionStorage.setItem(NAME, value) : sessionStorage.removeItem(NAME); } catch { /* As above. */ }
  show();
  for (const resolve of waiting) resolve();
  waiting.clear();
}

export function startKey() {
  show();
  $("key-button").addEventListener("click", open);
  $("key-close").addEventListener("click", () => $("key-dialog").close());
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const value = $("key-input").value.trim();
    $("key-dialog").close();
    // A header can't carry more, and no key has it.
    keep(/^[\x21-\x7e]*$/.test(value) ? value : "");
  });
}
