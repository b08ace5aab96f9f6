"""What an export is made from: a model's name, hub id, directory or ONNX file, found and told apart, nothing loaded.

    org/name[@revision]   the Hugging Face hub or its cache on this machine; hf:org/name is the same
    /dir or /dir/x.onnx   weights, or an ONNX model with its tokenizer; file:/dir is the same
    a catalogue name, package:dist/path   what ships inside an installed package

A path that exists comes before a hub id of the same spelling, weights before ONNX files, full precision before int8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rerank_ops.export.checkpoint import CONFIG_FILE, SAFETENSORS, WEIGHT_FILES, read_json, weight_files
from rerank_ops.export.modular import MODULES_FILE, module_folders
from rerank_shared.catalogue import CATALOGUE, load_files
from rerank_shared.digest import file_digest
from rerank_shared.errors import ConfigurationError, ModelUnavailable
from rerank_shared.exported import TOKENIZER_FILE, weights_digest
from rerank_shared.external_data import external_data_names
from rerank_shared.manifest import MANIFEST_FILE, Origin
from rerank_shared.model_config import activation_of, max_length_of, read_config

#: int8 files follow: their weights are de-quantised where there is nothing better.
ONNX_FILES = (
    "model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/model_int8.onnx",
    "onnx/model_qint8_avx512_vnni.onnx", "onnx/model_quint8_avx2.onnx", "onnx/model_qint8_arm64.onnx",
)  # fmt: skip
#: What tokenizers without a tokenizer.json are made of, some of it.
_SLOW_TOKENIZER_FILES = (
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model",
    "spm.model", "spiece.model",
)  # fmt: skip
_SENTENCE_TRANSFORMERS_FILE = "config_sentence_transformers.json"
_BESIDE = (TOKENIZER_FILE, "tokenizer_config.json", MODULES_FILE, _SENTENCE_TRANSFORMERS_FILE)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


@dataclass(frozen=True, slots=True)
class Source:
    """A model to export. `directory` holds its config and tokenizer, and its weights where `onnx` is None.

    `model` is what requests will call it; `config` is None where there is no config.json, `tokenizer_path` where the
    tokenizer must be converted first, `max_length` where nothing says it.
    """

    model: str
    origin: Origin
    directory: Path
    onnx: Path | None
    tokenizer_path: Path | None
    config: dict[str, Any] | None
    activation: Literal["sigmoid", "identity"]
    max_length: int | None


def resolve(model: str) -> Source:
    """Find what `model` names.

    Raises ModelUnavailable where it is not there, ConfigurationError for what is no reranker or no name of a source.
    """
    kind, colon, rest = model.partition(":")
    if model in CATALOGUE or kind == "package":
        source = _packaged(model)
    elif kind == "file" and colon:
        source = _local(*_parts(rest))
    elif Path(model).expanduser().exists():
        source = _local(model, "")
    elif _HUB_ID.fullmatch(model.removeprefix("hf:").partition("#")[0]):
        source = _hub(*_parts(model.removeprefix("hf:")))
    else:
        raise ConfigurationError(
            f"{model!r} is no model to export: give a hub id (org/name[@revision]), a directory of weights, an ONNX "
            f"file, or a name of the catalogue ({', '.join(CATALOGUE)}). No such path exists here"
        )
    _refuse_no_reranker(source)
    return source


def _parts(location: str) -> tuple[str, str]:
    place, _, file = location.partition("#")
    return place, file


def _packaged(model: str) -> Source:
    files = load_files(model)
    if files.manifest is not None:
        raise _already_exported(files.model_path.parent)
    directory = files.tokenizer_path.parent
    return Source(
        model=files.name,
        origin=Origin(kind="onnx", name=files.name, digest=files.model_digest),
        directory=directory,
        onnx=files.model_path,
        tokenizer_path=files.tokenizer_path,
        config=_own_config(directory),
        activation="identity" if files.activation == "identity" else "sigmoid",
        max_length=files.max_length,
    )


def _local(location: str, file: str) -> Source:
    path = Path(location).expanduser().resolve()
    if not path.exists():
        raise ModelUnavailable(f"{path} does not exist")
    if path.is_dir():
        onnx = path / file if file else None
        return _in_directory(path, onnx, path.name, None)
    if path.suffix != ".onnx":
        raise ConfigurationError(f"{path} is no ONNX file; of weights, name the directory that holds them")
    # As the hub lays them out: model.onnx in a folder of its own, all else above it.
    above = path.parent.name == "onnx" and not (path.parent / TOKENIZER_FILE).is_file()
    return _in_directory(path.parent.parent if above else path.parent, path, path.stem, None)


def _hub(location: str, file: str) -> Source:
    try:
        from rerank_shared import hub
    except ImportError:
        raise ModelUnavailable("models from the hub need huggingface-hub: pip install 'rerank-fleet[worker]'") from None
    repo, _, revision = location.partition("@")
    names = [file] if file else [*WEIGHT_FILES, *ONNX_FILES]
    found, config = hub.fetch(repo, revision or None, names, CONFIG_FILE, _BESIDE)
    snapshot = config.parent
    for folder in module_folders(snapshot):
        hub.fetch(repo, snapshot.name, [f"{folder}/{CONFIG_FILE}"], CONFIG_FILE, [f"{folder}/{SAFETENSORS}"])
    if not (snapshot / TOKENIZER_FILE).is_file():
        hub.fetch(repo, snapshot.name, [CONFIG_FILE], CONFIG_FILE, _SLOW_TOKENIZER_FILES)
    if found.suffix == ".json":
        for shard in sorted(set(read_json(found).get("weight_map", {}).values())):
            hub.fetch(repo, snapshot.name, [str(shard)], CONFIG_FILE, ())
    return _in_directory(snapshot, found if found.suffix == ".onnx" else None, repo, f"{repo}@{snapshot.name}")


def _in_directory(directory: Path, onnx: Path | None, model: str, hub_name: str | None) -> Source:
    if (directory / MANIFEST_FILE).is_file():
        raise _already_exported(directory)
    files = [] if onnx else _all_weight_files(directory)
    if not files:
        onnx = onnx or next((directory / name for name in ONNX_FILES if (directory / name).is_file()), None)
        if onnx is None or not onnx.is_file():
            looked_for = str(onnx) if onnx else f"{', '.join((*WEIGHT_FILES, *ONNX_FILES[:2]))}"
            raise ModelUnavailable(f"{directory} holds no model to export; looked for {looked_for}")
        files = [onnx, *(onnx.parent / name for name in external_data_names(onnx))]
    config = read_config(directory)
    tokenizer = directory / TOKENIZER_FILE
    return Source(
        model=model,
        origin=Origin(
            kind="hub" if hub_name else "onnx" if onnx else "directory",
            name=hub_name or str(onnx or directory),
            digest=weights_digest({str(file.relative_to(directory)): file_digest(str(file)) for file in files}),
        ),
        directory=directory,
        onnx=onnx,
        tokenizer_path=tokenizer if tokenizer.is_file() else None,
        config=_own_config(directory),
        activation=activation_of(_with_activation(config, directory)),
        max_length=max_length_of(config),
    )


def _all_weight_files(directory: Path) -> list[Path]:
    """Return the files of the weights, those of a head that is stored apart among them."""
    folders = [directory / folder for folder in module_folders(directory)]
    return [file for folder in (directory, *folders) for file in weight_files(folder)]


def _with_activation(config: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Add what sentence-transformers 5 stores in a file of its own, where the config does not say it already."""
    path = directory / _SENTENCE_TRANSFORMERS_FILE
    own = {"activation_fn": read_json(path).get("activation_fn")} if path.is_file() else None
    return config if own is None else {"sentence_transformers": own, **config}


def _own_config(directory: Path) -> dict[str, Any] | None:
    path = directory / CONFIG_FILE
    return read_json(path) if path.is_file() else None


def _refuse_no_reranker(source: Source) -> None:
    """An encoder without a head would be exported with a random one, and its scores look like any other's."""
    config = source.config
    if config is None:
        return
    if "model_type" not in config:
        raise ConfigurationError(
            f"{source.directory / CONFIG_FILE} has no model_type: it is no configuration of a model"
        )
    if source.onnx is None and module_folders(source.directory):
        # Its head is told by its modules when it is read.
        return
    kinds = [str(kind) for kind in config.get("architectures") or []]
    if kinds and not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        raise ConfigurationError(f"{source.model} is a {', '.join(kinds)}: a cross-encoder is a sequence classifier")
    labels = config.get("num_labels", len(config.get("id2label") or [None]))
    if labels != 1:
        raise ConfigurationError(f"{source.model} has {labels} labels: a reranker has one logit a pair")


def _already_exported(directory: Path) -> ConfigurationError:
    return ConfigurationError(f"{directory} is an exported model already: export from what it was made from")
