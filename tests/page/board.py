"""The page as its visitors use it: what they do, and what they then see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE_MS = 60_000
_ENDED = ".answer:not([aria-busy]) :is(.summary, .problem)"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the answer as it is shown."""

    index: int
    rank: str
    move: str
    text: str
    score: str
    share: float
    marks: str
    scored: bool


class Board:
    """One visitor."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self, url: str) -> Board:
        """Open the page and wait until it has news of the fleet, good or bad."""
        self.page.goto(url)
        self.page.wait_for_selector("#pulse:not([data-state=wait])", timeout=PATIENCE_MS)
        return self

    def ask(self, query: str, candidates: Sequence[str] | str) -> None:
        """Fill in a request."""
        self.page.fill("#query", query)
        self.paste("#candidates", candidates if isinstance(candidates, str) else "\n".join(candidates))

    def paste(self, field: str, text: str) -> None:
        """Put a text in the place of what a field holds, in one event. Playwright's `fill` makes two of each line."""
        self.page.focus(field)
        script = """([field, text]) => {
          const place = document.querySelector(field);
          place.value = text;
          place.dispatchEvent(new InputEvent("input", { bubbles: true, inputType: "insertFromPaste" }));
          // It is drawn 120 ms later, which may move the button that a pointer is on its way to.
          return new Promise((drawn) => setTimeout(drawn, 150));
        }"""
        self.page.evaluate(script, [field, text])

    def option(self, name: str, value: str) -> None:
        """Fill in one of the options."""
        self.page.evaluate("document.querySelector('.options').open = true")
        self.page.fill(f"#{name}", value)

    def rerank(self) -> list[Row]:
        """Run the request and return what is shown for it."""
        self.page.click("#run")
        return self.answered()

    def answered(self) -> list[Row]:
        """Wait for the answer and return it; fails with what is told if there is none."""
        told = self.ended()
        assert not told, f"no answer but: {told}"
        return self.rows()

    def ended(self) -> str:
        """Wait until the request has ended; return the problem that is told, nothing if there is none."""
        self.page.wait_for_selector(_ENDED, timeout=PATIENCE_MS)
        told = self.page.locator(".problem")
        return told.inner_text() if told.count() else ""

    def outlast_503(self, times: int = 5) -> None:
        """Wait until the request has ended and send it again as long as Redis stalls, which one second does."""
        for _ in range(times):
            if "503" not in self.ended():
                return
            self.try_again()

    def try_again(self) -> None:
        """Press the button that stands with a problem."""
        self.page.get_by_role("button", name="Try again").click()

    def rows(self) -> list[Row]:
        """The rows that are shown."""
        script = """rows => rows.map(row => ({
            index: Number(row.dataset.index),
            rank: row.querySelector('.rank').textContent,
            move: row.querySelector('.move > span').textContent,
            text: row.querySelector('.text').textContent,
            score: row.querySelector('.value').textContent,
            share: parseFloat(row.querySelector('.track i')?.style.width ?? '0') / 100,
            marks: row.querySelector('.marks')?.textContent ?? '',
            scored: !row.classList.contains('unscored'),
        }))"""
        found: list[dict[str, Any]] = self.page.eval_on_selector_all("ol.after:not(.ghosts) > li[data-index]", script)
        return [Row(**each) for each in found]

    def problem(self) -> str:
        """Wait for a problem and return what is told of it; fails with what the answer says of itself if there is
        one."""
        told = self.ended()
        assert told, f"no problem but an answer: {self.page.locator('.summary').inner_text()}"
        return told

    def focused(self) -> str:
        """The id of what has the focus, else its text."""
        found: str = self.page.evaluate("document.activeElement.id || document.activeElement.textContent")
        return found

    def code(self, name: str) -> str:
        """Choose a tab of code and return what it holds, unfolded meanwhile; it is folded afterwards."""
        self.page.get_by_role("tab", name=name).click()
        fold = self.page.locator(".fold:visible")
        if fold.count() and fold.get_attribute("aria-expanded") == "false":
            fold.click()
        code = self.page.locator("#code-panel").inner_text()
        if fold.count():
            fold.click()
        return code

    def until(self, script: str) -> None:
        """Wait until an expression is true. The page's policy forbids what Playwright's own wait does with text."""
        wait_until(lambda: self.page.evaluate(script), script, bound_s=PATIENCE_MS / 1000)

    def figure(self, name: str) -> str:
        """One of the figures of the fleet."""
        return self.page.locator(".figure", has_text=name).locator(".value").inner_text()

    def call(self, module: str, function: str, *arguments: Any) -> Any:
        """Call a function of one of the page's modules."""
        script = "async ([module, name, args]) => (await import(`/static/${module}`))[name](...args)"
        return self.page.evaluate(script, [module, function, list(arguments)])
