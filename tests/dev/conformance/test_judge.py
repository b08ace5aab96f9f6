"""What passes for the same as kombu's: nothing unlisted fails, and nothing listed has been mended unnoticed."""

from __future__ import annotations

from rerank_dev.conformance.__main__ import EXPECTED, SUITES
from rerank_dev.conformance.judge import judge, read_expected

LIST = """
[[difference]]
suite = "kombu"
tests = ["t::ours", "t::any"]
reason = "ours"

[[difference]]
suite = "kombu"
tests = ["t::theirs"]
reason = "theirs too"
control = true
sometimes = true

[[difference]]
suite = "celery"
tests = ["t::elsewhere"]
reason = "elsewhere"
"""
AS_LISTED = {"t::ours": "failed", "t::any[1]": "failed", "t::any[2]": "passed", "t::fine": "passed", "t::no": "skipped"}


def test_what_is_listed_may_fail_with_any_parameters() -> None:
    verdict = judge(AS_LISTED, read_expected(LIST, "kombu", control=False))
    assert verdict.fine
    assert [each.test for each in verdict.listed] == ["t::ours", "t::any[1]"]
    assert verdict.told == "2 passed, 2 failed of which 2 as expected, 1 skipped"


def test_what_is_not_listed_may_not_fail() -> None:
    verdict = judge(AS_LISTED | {"t::fine": "failed"}, read_expected(LIST, "kombu", control=False))
    assert not verdict.fine
    assert verdict.unlisted == ("t::fine",)


def test_what_is_listed_has_to_fail_unless_it_only_may() -> None:
    verdict = judge(AS_LISTED | {"t::ours": "passed"}, read_expected(LIST, "kombu", control=False))
    assert not verdict.fine
    assert [each.test for each in verdict.mended] == ["t::ours"]


def test_of_the_control_only_what_fails_there_too_is_expected() -> None:
    verdict = judge(AS_LISTED | {"t::theirs": "failed"}, read_expected(LIST, "kombu", control=True))
    assert verdict.unlisted == ("t::any[1]", "t::ours")
    assert [each.test for each in verdict.listed] == ["t::theirs"]


def test_a_run_without_outcomes_is_no_success() -> None:
    assert not judge({}, []).fine


def test_the_list_that_is_used_can_be_read() -> None:
    text = EXPECTED.read_text()
    assert sum(len(read_expected(text, suite, control=False)) for suite in SUITES) == text.count('"t/')
