"""Hub files: found in the Hugging Face hub's cache on this machine, else downloaded. Imported only for hf: sources.

All files of a model come from the commit of its weights, even when the branch has moved on since.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from rerank_shared.errors import ConfigurationError, ModelUnavailable
from rerank_shared.models.exported import refuse_outside
from rerank_shared.models.external_data import external_data_names

log = logging.getLogger(__name__)


def fetch(
    repo: str, revision: str | None, models: Sequence[str], tokenizer: str, configs: Sequence[str]
) -> tuple[Path, Path]:
    """Return the paths of the first of `models` that the repository has, and of its tokenizer.

    `configs`, and the data files that hold the model's weights, are put beside it. Raises ConfigurationError for a name
    that can't be a repository, ModelUnavailable if a file does not exist or the hub can't be reached. A missing config
    is skipped; where the hub did not say whether it exists, that is logged.
    """
    try:
        name, model_path = _fetch_first(repo, revision, models)
    except HFValidationError as error:
        raise ConfigurationError(f"hf:{repo} is no repository of the hub: {_first_line(error)}") from None
    commit = model_path.parents[len(PurePosixPath(name).parts) - 1].name
    for data in external_data_names(model_path):
        refuse_outside(model_path.parent, data)
        _fetch_first(repo, commit, [str(PurePosixPath(name).parent / data)])
    _, tokenizer_path = _fetch_first(repo, commit, [tokenizer])
    for config in configs:
        if try_to_load_from_cache(repo, config, revision=commit) is None and not _fetch_if_there(repo, commit, config):
            log.warning(
                "the hub did not answer for a model's %s source=hf:%s: a host that has it may truncate, prompt or "
                "activate otherwise. Fetch it once with `hf download %s %s --revision %s`, or copy the cache of a "
                "host that has asked",
                config,
                repo,
                repo,
                config,
                commit,
            )
            break
    return model_path, tokenizer_path


def _fetch_first(repo: str, revision: str | None, names: Sequence[str]) -> tuple[str, Path]:
    for name in names:
        cached = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(cached, str):
            return name, Path(cached)
    for name in names:
        try:
            return name, Path(hf_hub_download(repo, name, revision=revision))
        except LocalEntryNotFoundError as error:
            raise ModelUnavailable(
                f"hf:{repo}: {name} is not in the hub's cache and the hub can't be reached; {_cached(repo, names)}"
                f"download it once with `hf download {repo}`, or point HF_HOME at a cache that has it "
                f"({_first_line(error)})"
            ) from None
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise ModelUnavailable(f"hf:{repo}: {_first_line(error)}") from None
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            raise ModelUnavailable(f"hf:{repo}: the hub can't be reached: {_first_line(error)}") from None
    raise ModelUnavailable(f"hf:{repo} has none of {', '.join(names)}")


def _cached(repo: str, names: Sequence[str]) -> str:
    """Return a hint that names a cached commit with one of `names`, empty without one.

    The cache finds a commit without its branch only by the commit's name.
    """
    snapshots = Path(constants.HF_HUB_CACHE, f"models--{repo.replace('/', '--')}", "snapshots")
    commits = sorted(commit.name for commit in snapshots.glob("*") if any((commit / name).exists() for name in names))
    return f"name the commit that the cache has (hf:{repo}@{commits[0]}), " if commits else ""


def _fetch_if_there(repo: str, commit: str, name: str) -> bool:
    """Fetch a file that may not exist; return whether the hub answered. Without it each file costs half a minute."""
    try:
        hf_hub_download(repo, name, revision=commit)
    except LocalEntryNotFoundError:
        return False
    except EntryNotFoundError:
        return True
    except (HfHubHTTPError, OSError):
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
