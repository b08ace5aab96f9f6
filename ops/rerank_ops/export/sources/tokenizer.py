"""Tokenizer of an export: copies the source's tokenizer.json, or converts the older files of a slow tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path

from rerank_ops.export.missing import export_extra
from rerank_ops.export.plain import first_line
from rerank_ops.export.sources.source import Source
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.config_files import read_config
from rerank_shared.models.exported import TOKENIZER_FILE


def write_tokenizer(source: Source, directory: Path) -> Path:
    """Write tokenizer.json into `directory` and return its path.

    Raises ConfigurationError where the source has no tokenizer, or one that the tokenizers library can't express.
    """
    path = directory / TOKENIZER_FILE
    if source.tokenizer_path is not None:
        shutil.copyfile(source.tokenizer_path, path)
    else:
        _convert(source.directory, path)
    return path


def _convert(directory: Path, path: Path) -> None:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise export_extra("transformers") from None
    how = f"put the model's {TOKENIZER_FILE} into {directory}"
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            directory,
            use_fast=True,
            local_files_only=True,
            # Without it, transformers asks on the terminal.
            trust_remote_code=False,
        )
    except Exception as error:
        # transformers raises many errors for a missing or odd file: OSError, ValueError, TypeError, ImportError.
        own_code = "auto_map" in read_config(directory)
        reason = "it needs code of its own repository, which is never run here" if own_code else first_line(error)
        raise ConfigurationError(f"{directory} holds no tokenizer that can be read ({reason}): {how}") from None
    if not tokenizer.is_fast:
        raise ConfigurationError(f"the tokenizer in {directory} has no fast form ({type(tokenizer).__name__}): {how}")
    tokenizer.backend_tokenizer.save(str(path))
