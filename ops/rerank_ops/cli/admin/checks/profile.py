"""Check of the profile, if there is one: it was measured with this model on this CPU."""

from __future__ import annotations

from collections.abc import Iterator

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_shared.errors import RerankError
from rerank_shared.models.catalogue import configured_files
from rerank_shared.models.cpu import cpu_name
from rerank_shared.profile import differences
from rerank_shared.settings import Settings, profile_of


def check_profile(settings: Settings) -> Iterator[Finding]:
    """Yield a warning for each difference between the profile's model or CPU and this one, or one `ok`."""
    profile = profile_of(settings)
    if profile is None:
        return
    try:
        digest = configured_files(settings).model_digest
    except RerankError:
        # The check of the model reports this error.
        digest = None
    told = differences(profile, model_digest=digest, cpu=cpu_name())
    for message in told:
        yield Finding("profile", "warn", message, f"run `{profile.made_by}` here, or unset RERANK_PROFILE")
    if not told:
        of = ", ".join(f"{name} {profile.made_for[name]}" for name in ("model", "cpu") if name in profile.made_for)
        yield Finding("profile", "ok", f"{', '.join(profile.values)} from {profile.path}, made for {of or 'nobody'}")
