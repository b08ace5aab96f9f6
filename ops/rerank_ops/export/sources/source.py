"""Source of an export: resolves a model's name, hub id, directory or ONNX file to files, without loading weights.

    org/name[@revision]   the Hugging Face hub or its cache on this machine; hf:org/name is the same
    /dir or /dir/x.onnx   weights, or an ONNX model with its tokenizer; file:/dir is the same
    a catalogue name, package:dist/path   a model inside an installed package

An existing path comes before a hub id of the same spelling; weights before ONNX files, unless the weights can't be
exported; full precision before int8. Configs are downloaded from the hub first; they decide what else is downloaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rerank_ops.export.graph.architecture import refuses
from rerank_ops.export.plain import check_traceable
from rerank_ops.export.sources.checkpoint import CONFIG_FILE, SAFETENSORS, WEIGHT_FILES, read_json, weight_files
from rerank_ops.export.sources.family import check_family
from rerank_ops.export.sources.modular import MODULES_FILE, module_folders
from rerank_shared.contract.digest import file_digest
from rerank_shared.errors import ConfigurationError, ModelUnavailable
from rerank_shared.models.catalogue import CATALOGUE, activation_found, load_files
from rerank_shared.models.config_files import CONFIG_FILES, activation_of, max_length_of, prompt_of, read_config
from rerank_shared.models.exported import TOKENIZER_FILE, weights_digest
from rerank_shared.models.external_data import external_data_names
from rerank_shared.models.manifest import MANIFEST_FILE, Origin
from rerank_worker.tokenizing import PairTokenizer

#: ONNX files, best first; int8 files come last, since their weights must be de-quantised.
ONNX_FILES = (
    "model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/model_int8.onnx",
    "onnx/model_qint8_avx512_vnni.onnx", "onnx/model_quint8_avx2.onnx", "onnx/model_qint8_arm64.onnx",
)  # fmt: skip
#: Files of tokenizers without a tokenizer.json; each has some of them.
_SLOW_TOKENIZER_FILES = (
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model",
    "spm.model", "spiece.model",
)  # fmt: skip
_BESIDE = (TOKENIZER_FILE, MODULES_FILE, *CONFIG_FILES)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


@dataclass(frozen=True, slots=True)
class Source:
    """A model to export. `directory` holds its config and tokenizer, and its weights where `onnx` is None.

    `model` is its name in requests. `config` is None without a config.json, `tokenizer_path` where the tokenizer must
    be converted first, `max_length` (in tokens) where no file sets it. `prompt` precedes every query.
    """

    model: str
    origin: Origin
    directory: Path
    onnx: Path | None
    tokenizer_path: Path | None
    config: dict[str, Any] | None
    activation: Literal["sigmoid", "identity"]
    max_length: int | None
    prompt: str


def resolve(model: str) -> Source:
    """Return the source that `model` names.

    Raises ModelUnavailable where it does not exist, ConfigurationError where it is not a reranker or not a valid name.
    """
    kind, colon, rest = model.partition(":")
    if model in CATALOGUE or kind == "package":
        return _packaged(model)
    if kind == "file" and colon:
        return _local(*_parts(rest))
    if Path(model).expanduser().exists():
        return _local(model, "")
    if _HUB_ID.fullmatch(model.removeprefix("hf:").partition("#")[0]):
        return _hub(*_parts(model.removeprefix("hf:")))
    raise ConfigurationError(
        f"{model!r} is no model to export: give a hub id (org/name[@revision]), a directory of weights, an ONNX "
        f"file, or a name of the catalogue ({', '.join(CATALOGUE)}). No such path exists here"
    )


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
        prompt=files.prompt,
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
    # The hub's form: model.onnx in its own folder `onnx`, all other files above it.
    above = path.parent.name == "onnx" and not (path.parent / TOKENIZER_FILE).is_file()
    return _in_directory(path.parent.parent if above else path.parent, path, path.stem, None)


def _hub(location: str, file: str) -> Source:
    try:
        from rerank_shared.models import hub
    except ImportError:
        raise ModelUnavailable("models from the hub need huggingface-hub: pip install 'rerank-fleet[worker]'") from None
    repo, _, revision = location.partition("@")
    config, _ = hub.fetch(repo, revision or None, [CONFIG_FILE], CONFIG_FILE, _BESIDE)
    snapshot = config.parent
    for folder in module_folders(snapshot):
        hub.fetch(repo, snapshot.name, [f"{folder}/{CONFIG_FILE}"], CONFIG_FILE, ())
    refusal = None if file.endswith(".onnx") else _refusal(snapshot, repo)
    names = [file] if file else [*(() if refusal else WEIGHT_FILES), *ONNX_FILES]
    try:
        found, _ = hub.fetch(repo, snapshot.name, names, CONFIG_FILE, ())
    except ModelUnavailable as error:
        raise refusal or error from None
    if found.suffix != ".onnx":
        for folder in module_folders(snapshot):
            hub.fetch(repo, snapshot.name, [CONFIG_FILE], CONFIG_FILE, [f"{folder}/{SAFETENSORS}"])
    if not (snapshot / TOKENIZER_FILE).is_file():
        hub.fetch(repo, snapshot.name, [CONFIG_FILE], CONFIG_FILE, _SLOW_TOKENIZER_FILES)
    if found.suffix == ".json":
        for shard in sorted(set(read_json(found).get("weight_map", {}).values())):
            hub.fetch(repo, snapshot.name, [str(shard)], CONFIG_FILE, ())
    return _in_directory(snapshot, found if found.suffix == ".onnx" else None, repo, f"{repo}@{snapshot.name}")


def _family_refusal(directory: Path, model: str) -> ConfigurationError | None:
    try:
        check_family(directory, model)
    except ConfigurationError as error:
        return error
    return None


def _refusal(snapshot: Path, repo: str) -> ConfigurationError | None:
    """Return why a repository's weights can't be exported, before gigabytes of them are downloaded."""
    if (refusal := _family_refusal(snapshot, repo)) is not None:
        return refusal
    config = read_json(snapshot / CONFIG_FILE)
    if module_folders(snapshot) or not refuses(config):
        return None
    try:
        check_traceable(config)
        # An encoder's tokenizer joins two texts to a pair; a decoder's mostly can't.
        if (snapshot / TOKENIZER_FILE).is_file():
            PairTokenizer(snapshot / TOKENIZER_FILE)
    except ConfigurationError as error:
        return error
    return None


def _in_directory(directory: Path, onnx: Path | None, model: str, hub_name: str | None) -> Source:
    if (directory / MANIFEST_FILE).is_file():
        raise _already_exported(directory)
    files = [] if onnx else _all_weight_files(directory)
    refusal = _family_refusal(directory, model) if files else None
    if refusal or not files:
        onnx = onnx or next((directory / name for name in ONNX_FILES if (directory / name).is_file()), None)
        if onnx is None or not onnx.is_file():
            looked_for = str(onnx) if onnx else f"{', '.join((*WEIGHT_FILES, *ONNX_FILES[:2]))}"
            raise refusal or ModelUnavailable(f"{directory} holds no model to export; looked for {looked_for}")
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
        activation=activation_found(onnx, config, model) if onnx else activation_of(config),
        max_length=max_length_of(config),
        prompt=prompt_of(config),
    )


def _all_weight_files(directory: Path) -> list[Path]:
    """Return the files of the weights, those of a separately stored head included."""
    folders = [directory / folder for folder in module_folders(directory)]
    return [file for folder in (directory, *folders) for file in weight_files(folder)]


def _own_config(directory: Path) -> dict[str, Any] | None:
    path = directory / CONFIG_FILE
    return read_json(path) if path.is_file() else None


def _already_exported(directory: Path) -> ConfigurationError:
    return ConfigurationError(f"{directory} is an exported model already: export from what it was made from")
