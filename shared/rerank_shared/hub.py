"""Files from the Hugging Face hub, from its cache on this machine first. Imported only for hf: sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from rerank_shared.errors import ModelUnavailable


def fetch_first(repo: str, revision: str | None, names: Sequence[str]) -> Path:
    """Return the first of `names` that the repository has; downloads it unless the cache has one.

    Raises ModelUnavailable if none exists or the hub can't be reached.
    """
    for name in names:
        cached = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    for name in names:
        try:
            return Path(hf_hub_download(repo, name, revision=revision))
        except LocalEntryNotFoundError as error:
            raise ModelUnavailable(
                f"hf:{repo}: {name} is not in the hub's cache and the hub can't be reached; download it once with "
                f"`hf download {repo}`, or point HF_HOME at a cache that has it ({_first_line(error)})"
            ) from None
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise ModelUnavailable(f"hf:{repo}: {_first_line(error)}") from None
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            raise ModelUnavailable(f"hf:{repo}: the hub can't be reached: {_first_line(error)}") from None
    raise ModelUnavailable(f"hf:{repo} has none of {', '.join(names)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
