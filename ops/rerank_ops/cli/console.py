"""Where the commands write: answers to stdout, everything else to stderr, so that an answer can be piped on."""

from __future__ import annotations

from rich.console import Console

#: Texts are shown as they are: neither markup nor emoji codes in them mean anything.
out = Console(markup=False, emoji=False, highlight=False)
err = Console(markup=False, emoji=False, highlight=False, stderr=True, soft_wrap=True)
