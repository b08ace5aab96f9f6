"""Sameness: whether a served model still is what its name and its source mean, on the disk and in fleet.toml."""

from __future__ import annotations

from rerank_shared.errors import ConfigurationError, ModelUnavailable
from rerank_shared.models.catalogue import configured_files, source_of
from rerank_shared.settings import Settings
from rerank_shared.settings.fleet_file import entry_of
from rerank_worker.consume.served import ServedModel, ServedModels

#: Enough of a digest to tell two models apart.
_DIGEST_CHARS = 12


def check_served(model: str, found: ServedModel, called: str, settings: Settings) -> str:
    """Return what to tell of a load of `model`, which `found` serves already. Its files are read and hashed.

    Raises ConfigurationError where fleet.toml has another source by now, or the source has other bytes.
    """
    source = entry_of(model, settings).source
    if source not in (model, found.source):
        raise ConfigurationError(
            f"{model} is served from {found.source}, and the file has {source} now: unload it, or use another name"
        )
    if source_of(found.source).startswith("hf:"):
        # Nothing is fetched to find out: a revision of the hub has the bytes that it has.
        return f"{called} is served already"
    named = model if source == found.source else found.source
    try:
        files = configured_files(settings.model_copy(update={"model": named, "model_digest": None}))
    except ModelUnavailable as error:
        return f"{called} is served already, and could not be loaded now: {error.message}"
    there = (files.model_digest, files.tokenizer_digest)
    if there != (found.identity.model_digest, found.identity.tokenizer_digest):
        raise ConfigurationError(
            f"{found.source} has changed: it has the weights {files.model_digest[:_DIGEST_CHARS]} with the tokenizer "
            f"{files.tokenizer_digest[:_DIGEST_CHARS]} now, and {found.identity.model_digest[:_DIGEST_CHARS]} with "
            f"{found.identity.tokenizer_digest[:_DIGEST_CHARS]} is served on: unload {called}, then load it again; "
            "where it is the only model, start the process anew"
        )
    return f"{called} is served already"


def refuse_taken_names(model: str, served: ServedModels, settings: Settings) -> None:
    """Raise ConfigurationError if the load of `model` would give it a name by which another model is asked for."""
    entry = entry_of(model, settings)
    if (name := next((name for name in entry.names if name in served.names), None)) is None:
        return
    found = served.named(name)
    if found.source == entry.source:
        raise ConfigurationError(
            f"{served.called(found)} is served from {entry.source}, and {model} is a name that the file gave it later: "
            "unload it, then load it again"
        )
    raise ConfigurationError(
        f"{name}, a name of {model}, means {served.called(found)} here, which is served from {found.source}: unload "
        f"that one, or take the name out of the entry of {model}"
    )
