"""Models of the hub: from its cache or from a server that answers as it does, every file of one commit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.config_files import CONFIG_FILES

SHA = "0123456789abcdef0123456789abcdef01234567"
OLD_SHA = "f" * 40

LOADS = """
import json, sys
from rerank_shared.models.catalogue import load_files
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
    """Return what is found of models where the hub's variables are set."""
    return [json.loads(line) for line in run_loads(*sources, **environ).stdout.splitlines()]


def run_loads(*sources: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Load models in a process of their own, since the hub's library reads its variables when it is imported."""
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith(("_proxy", "_offline"))}
    command = [sys.executable, "-c", LOADS, *sources]
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}
    run = subprocess.run(command, env=clean | quiet | environ, capture_output=True, text=True, check=False, timeout=40)
    assert run.returncode == 0, run.stderr
    return run


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


def test_a_config_that_nobody_could_ask_for_is_told(tmp_path: Path) -> None:
    """A host that could ask may have it, and score otherwise."""
    files = {"onnx/model.onnx": "main", "tokenizer.json": "{}", "config.json": '{"model_type": "bert"}'}
    write_snapshot(tmp_path, "org/name", SHA, files, ref="main")
    environ = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    told = run_loads("hf:org/name", **environ).stderr
    first = next(name for name in CONFIG_FILES if name not in files)
    assert f"the hub did not answer for a model's {first} source=hf:org/name: " in told
    assert f"`hf download org/name {first} --revision {SHA}`" in told
    absent = tmp_path / "models--org--name" / ".no_exist" / SHA
    absent.mkdir(parents=True)
    for name in CONFIG_FILES:
        (absent / name).touch()
    assert "the hub can't be asked" not in run_loads("hf:org/name", **environ).stderr


def test_a_cache_without_its_branch_says_which_commit_it_has(tmp_path: Path) -> None:
    write_snapshot(tmp_path, "org/name", SHA, {"onnx/model.onnx": "main", "tokenizer.json": "{}"})
    write_snapshot(tmp_path, "org/name", OLD_SHA, {"README.md": "no model"})
    environ = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    ((error, told),) = load_in_a_process("hf:org/name", **environ)
    assert (error, f"name the commit that the cache has (hf:org/name@{SHA})" in told) == ("ModelUnavailable", True)
    assert load_in_a_process(f"hf:org/name@{SHA}", **environ)[0][0] == "main"


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


#: How an ONNX file names a file that holds its weights.
NAMES_DATA = b"\n\x08location\x12\x0fmodel.onnx_data"


def test_data_files_come_with_the_model_that_names_them(hub: str, tmp_path: Path) -> None:
    del Hub.files["onnx/model_quantized.onnx"]
    Hub.files |= {"onnx/model.onnx": NAMES_DATA, "onnx/model.onnx_data": b"weights", "model.onnx_data": b"others"}
    environ = {"HF_ENDPOINT": hub, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    (downloaded,) = load_in_a_process("hf:org/name", **environ)
    assert (Path(downloaded[3]).parent / "model.onnx_data").read_bytes() == b"weights"
    assert f"/org/name/resolve/{SHA}/onnx/model.onnx_data" in Hub.asked
    assert load_in_a_process("hf:org/name", **environ | {"HF_HUB_OFFLINE": "1"}) == [downloaded]


def test_data_files_that_a_repository_lacks_are_told(hub: str, tmp_path: Path) -> None:
    Hub.files |= {"onnx/model_quantized.onnx": NAMES_DATA}
    (found,) = load_in_a_process("hf:org/name", HF_ENDPOINT=hub, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="0")
    assert found[0] == "ModelUnavailable"
    assert "onnx/model.onnx_data" in found[1]


def test_all_files_are_of_the_commit_that_the_weights_are_of(hub: str, tmp_path: Path) -> None:
    """The branch may move between two requests; the weights' commit may not."""
    load_in_a_process("hf:org/name", HF_ENDPOINT=hub, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="0")
    others = [path for path in Hub.asked if path.endswith(".json")]
    assert others
    assert all(f"/resolve/{SHA}/" in path for path in others)


def test_sentence_transformers_own_file_comes_with_the_model(hub: str, tmp_path: Path) -> None:
    own = json.dumps({"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"})
    Hub.files |= {"config.json": b'{"model_type": "bert"}', "config_sentence_transformers.json": own.encode()}
    found = load_in_a_process("hf:org/name", HF_ENDPOINT=hub, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="0")
    assert found[0][:3] == ["int8", "identity", 128]


def test_a_repository_without_configs_is_a_model_too(hub: str, tmp_path: Path) -> None:
    del Hub.files["config.json"], Hub.files["tokenizer_config.json"]
    found = load_in_a_process("hf:org/name", HF_ENDPOINT=hub, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="0")
    assert found[0][:3] == ["int8", "sigmoid", None]


def test_a_repository_without_onnx_is_told(hub: str, tmp_path: Path) -> None:
    Hub.files = {"tokenizer.json": b"{}"}
    (found,) = load_in_a_process("hf:org/name", HF_ENDPOINT=hub, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="0")
    assert found[0] == "ModelUnavailable"
    assert "has none of" in found[1]
