"""Outcomes of tests held against the differences that are expected."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expected:
    """One test that may fail, and why. `always`: else it fails on some runs only."""

    test: str
    reason: str
    always: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a suite."""

    counts: Mapping[str, int]
    listed: tuple[Expected, ...]
    unlisted: tuple[str, ...]
    mended: tuple[Expected, ...]

    @property
    def fine(self) -> bool:
        """Whether all differences are those that are listed."""
        return not (self.unlisted or self.mended) and self.counts.get("passed", 0) > 0

    @property
    def told(self) -> str:
        """The counts in words."""
        passed, failed, skipped = (self.counts.get(name, 0) for name in ("passed", "failed", "skipped"))
        return f"{passed} passed, {failed} failed of which {len(self.listed)} as expected, {skipped} skipped"

    def lines(self) -> Iterator[str]:
        """Yield a line for each failure."""
        for each in self.listed:
            yield f"as expected  {each.test}: {each.reason}"
        for test in self.unlisted:
            yield f"UNEXPECTED   {test}"
        for each in self.mended:
            yield f"NOW PASSES   {each.test}: take it off expected.toml"


def read_expected(text: str, suite: str, *, control: bool) -> list[Expected]:
    """Return what may fail in a suite, on the fleet's classes or on theirs.

    A difference names its suite, tests and reason; `control` says that theirs fail too, `sometimes` that it need not.
    """
    return [
        Expected(test, difference["reason"], always=not difference.get("sometimes", False))
        for difference in tomllib.loads(text)["difference"]
        if difference["suite"] == suite and (difference.get("control", False) or not control)
        for test in difference["tests"]
    ]


def judge(outcomes: Mapping[str, str], expected: Iterable[Expected]) -> Verdict:
    """Compare; a test that is listed with no parameters stands for all its parameters."""
    failed = {test for test, outcome in outcomes.items() if outcome == "failed"}
    listed: list[Expected] = []
    mended: list[Expected] = []
    unlisted = set(failed)
    for each in expected:
        if found := {test for test in failed if each.test in (test, test.partition("[")[0])}:
            listed += [Expected(test, each.reason, each.always) for test in sorted(found)]
            unlisted -= found
        elif each.always:
            mended.append(each)
    return Verdict(Counter(outcomes.values()), tuple(listed), tuple(sorted(unlisted)), tuple(mended))
