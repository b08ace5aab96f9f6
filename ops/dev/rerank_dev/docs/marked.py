"""Parts of a document that are made by a program: what stands between `<!-- name -->` and `<!-- /name -->`."""

from __future__ import annotations

from rerank_shared.errors import ConfigurationError


def replace_part(document: str, name: str, content: str) -> str:
    """Return `document` with `content` as its part `name`. Raises ConfigurationError if it lacks the markers."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found_begin, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ConfigurationError(f"the document has no part between {begin} and {end}: add both lines")
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"
