// Tabs of code, a button that copies the one that is shown, and one that unfolds it where it is long.
import { el, put } from "./dom.js";
import { whole } from "./format.js";

/** Lines of a folded one; the last two fade. */
const FOLDED = 16;
let chosen = 0;
let unfolded = false;

/** Show the tabs in a place; `tabs` are `{name, code}`, of which only the chosen one's code is read. It stays chosen when
 * they are shown anew. */
export function showCode(place, tabs) {
  chosen = Math.min(chosen, tabs.length - 1);
  if (place.querySelector("pre") && place.querySelectorAll("[role=tab]").length === tabs.length) return update(place, tabs);
  const said = el("span", { class: "out", role: "status" });
  const list = el("div", { role: "tablist", "aria-label": "Language" }, tabs.map((tab, at) =>
    el("button", { type: "button", role: "tab", id: `tab-${at}`, "aria-controls": "code-panel", text: tab.name, click: () => choose(place, at) })));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(place, (chosen + step + list.children.length) % list.children.length);
    list.children[chosen].focus();
  });
  const copy = el("button", { type: "button", class: "quiet copy", text: "Copy", click: () => copied(place, copy, said) });
  const pre = el("pre", { id: "code-panel", role: "tabpanel", tabindex: "0", translate: "no" }, el("code"));
  const fold = el("button", { type: "button", class: "quiet fold", "aria-controls": "code-panel", click: () => { unfolded = !unfolded; choose(place, chosen); } });
  put(place, el("div", { class: "bar" }, list, said, copy), pre, fold);
  return update(place, tabs);
}

function update(place, tabs) {
  place.tabs = tabs;
  choose(place, chosen);
}

function choose(place, at) {
  chosen = at;
  for (const [index, tab] of [...place.querySelectorAll("[role=tab]")].entries()) {
    tab.setAttribute("aria-selected", String(index === at));
    tab.tabIndex = index === at ? 0 : -1;
  }
  const panel = place.querySelector("pre");
  panel.setAttribute("aria-labelledby", `tab-${at}`);
  const { code } = place.tabs[at];
  const lines = code.split("\n");
  const long = lines.length > FOLDED + 2;
  const folded = long && !unfolded;
  // Laying out thousands of hidden lines at each keystroke takes seconds.
  panel.firstChild.textContent = folded ? lines.slice(0, FOLDED).join("\n") : code;
  const fold = place.querySelector(".fold");
  panel.classList.toggle("folded", folded);
  fold.hidden = !long;
  fold.textContent = unfolded ? "Show less" : `Show all ${whole(lines.length)} lines`;
  fold.setAttribute("aria-expanded", String(unfolded));
}

async function copied(place, button, said) {
  const done = await write(place);
  button.textContent = done ? "Copied" : "Press Ctrl C";
  said.textContent = done ? `${place.tabs[chosen].name} copied` : "selected: press Ctrl C to copy";
  setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, 1600);
}

async function write(place) {
  const { code } = place.tabs[chosen];
  const panel = place.querySelector("pre");
  try {
    await navigator.clipboard.writeText(code);
    return true;
  } catch {
    // Over plain HTTP a browser has no clipboard but this one, which takes what is shown.
    unfolded = true;
    choose(place, chosen);
    const selection = getSelection();
    selection.selectAllChildren(panel);
    const done = document.execCommand("copy");
    if (done) selection.removeAllRanges();
    return done;
  }
}
