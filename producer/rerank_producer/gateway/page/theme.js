// Light, dark, or what the system says. Runs before the page is painted, so that it never flashes.
(() => {
  const NAMES = ["auto", "light", "dark"];
  const store = {
    get() {
      try { return localStorage.getItem("rerank-theme"); } catch { return null; }
    },
    set(name) {
      try { localStorage.setItem("rerank-theme", name); } catch { /* A private window forgets. */ }
    },
  };
  let at = Math.max(0, NAMES.indexOf(store.get()));
  const show = () => {
    document.documentElement.dataset.theme = NAMES[at];
    const button = document.getElementById("theme-button");
    if (!button) return;
    button.textContent = `${["◐", "○", "●"][at]} ${NAMES[at]}`;
    button.setAttribute("aria-label", `Theme: ${NAMES[at]}`);
  };
  show();
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme-button").addEventListener("click", () => {
      at = (at + 1) % NAMES.length;
      store.set(NAMES[at]);
      show();
    });
  });
})();
