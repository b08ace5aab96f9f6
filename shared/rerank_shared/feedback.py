"""Feedback in Redis: a record is appended in one step, which also keeps the stream within its bounds."""

from __future__ import annotations

from typing import Any

from rerank_shared.keys import Keys
from rerank_shared.redis.scripts import Script
from rerank_shared.settings.feedback import FeedbackSettings

APPEND, REPLACE = Script("feedback.lua"), Script("replace_feedback.lua")
#: The field of a stream's entry that holds the record.
FIELD = b"r"


def append_call(keys: Keys, settings: FeedbackSettings, record: bytes) -> tuple[list[Any], list[Any]]:
    """Return the keys and the arguments of `APPEND`."""
    bounds = [settings.feedback_keep_ms, settings.feedback_max_records, settings.feedback_max_bytes]
    return [keys.feedback, keys.lifetimes], [record, *bounds]
