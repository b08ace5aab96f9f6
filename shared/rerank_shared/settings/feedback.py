"""Settings of feedback: how much of it is kept and how long, whether with texts, and the experiment with the order."""

from __future__ import annotations

from pydantic import Field

from rerank_shared.settings.group import SettingsGroup

_MIB = 1024 * 1024


class FeedbackSettings(SettingsGroup):
    """Read by clients, in app servers and in the gateway, and for metrics by supervisors: give all the same values.
    docs/feedback.md says more.
    """

    feedback_texts: bool = Field(
        False,
        description="Keep the texts of queries and shown documents with the feedback. Off: ids, ranks, and a digest of "
        "the query. Whoever reads the server reads them.",
    )
    feedback_keep_days: float = Field(
        30.0,
        gt=0.0,
        le=3_650.0,
        allow_inf_nan=False,
        description="How long feedback is kept. Older records go with the next one that is written; where none is "
        "written for so long, all go.",
    )
    feedback_max_records: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        description="Records that are kept, about; of more the oldest go. One is one call that tells of feedback.",
    )
    feedback_max_mib: float = Field(
        64.0,
        gt=0.0,
        le=100_000.0,
        allow_inf_nan=False,
        description="Memory of the server that feedback may take, about, MiB; beyond it the oldest records go. About "
        "220 bytes a record of ten short ids, without texts.",
    )
    feedback_swap_share: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Share of interactive requests in whose answer two neighbours change places, so that the export "
        "can tell what is clicked for its rank from what is clicked for its worth. 0: no order is changed.",
    )

    @property
    def feedback_keep_ms(self) -> int:
        """How long feedback is kept, milliseconds."""
        return max(1, round(self.feedback_keep_days * 86_400_000))

    @property
    def feedback_max_bytes(self) -> int:
        """Memory that feedback may take, bytes."""
        return round(self.feedback_max_mib * _MIB)
