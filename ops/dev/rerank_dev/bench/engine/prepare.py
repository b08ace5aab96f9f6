"""Makes one model's files for all contenders from the same fp32 weights; runs inside the environment of the peers.

python -m rerank_dev.bench.engine.prepare MODEL_DIR SOURCE CALIBRATION FORM...

SOURCE is `package:NAME`, whose encoder gets a seeded random head (for speed only: its ranking means nothing),
`random:DIR`, BERT-base's shape with seeded random weights under the tokenizer in DIR, or a directory with a quantised
model.onnx that is brought back to fp32. Each FORM is made, after those that it is made from. A step that fails leaves
its reason in prepared.json, and those who need its files are shown with that reason.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

STATUS_FILE = "prepared.json"
READY = ".ready"
_SEED = 20240229
#: Gives logits of a fallback head about the spread of a trained one's.
_HEAD_STD = 0.2
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json")


def prepare(root: Path, source: str, calibration: Path, forms: Sequence[str]) -> dict[str, str | None]:
    """Run the steps to these forms that are not done yet; return the reason of each that failed, or None."""
    status: dict[str, str | None] = {}
    for name in _with_needed(forms):
        needed, make = STEPS[name]
        directory = root / name
        if needed is not None and not (root / needed / READY).exists():
            status[name] = f"{needed}: {status.get(needed) or 'not made'}"
        elif (directory / READY).exists():
            status[name] = None
        else:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            status[name] = _reason(make, root, directory, source, calibration)
    return status


def _with_needed(forms: Sequence[str]) -> list[str]:
    """Return the forms and all that they are made from, in the order of the steps."""
    wanted = {*forms}
    for name, (needed, _) in reversed(STEPS.items()):
        if name in wanted and needed is not None:
            wanted.add(needed)
    return [name for name in STEPS if name in wanted]


def _reason(make: Make, *arguments: Any) -> str | None:
    try:
        make(*arguments)
    except Exception as error:
        # Anything may break in a peer's export; what broke is the result.
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    directory: Path = arguments[1]
    (directory / READY).touch()
    return None


def _weights(root: Path, directory: Path, source: str, calibration: Path) -> None:
    """Save the model as transformers stores it, in fp32."""
    transformers = import_module("transformers")
    kind, _, name = source.partition(":")
    if kind == "package":
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"package {name} is not installed")
        body = Path(spec.origin).parent / "model"
        model = _with_random_head(transformers.BertForSequenceClassification.from_pretrained(body, num_labels=1))
    elif kind == "random":
        body = Path(name)
        import_module("torch").manual_seed(_SEED)
        # Its defaults are BERT-base's: 12 layers of 768, 12 heads, 3072 between.
        model = _with_random_head(
            transformers.BertForSequenceClassification(transformers.BertConfig(num_labels=1)).eval()
        )
    else:
        body = Path(source)
        model = _from_quantised(body / "model.onnx")
    model.save_pretrained(directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(body)
    # The tokenizer's file cuts and pads to a length of its own, which some peers keep to: all are to see whole pairs.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    for setting in ("max_length", "stride", "pad_to_multiple_of"):
        tokenizer.init_kwargs.pop(setting, None)
    tokenizer.save_pretrained(directory)


def _with_random_head(model: Any) -> Any:
    torch = import_module("torch")
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        model.classifier.weight.normal_(0.0, _HEAD_STD, generator=generator)
        model.classifier.bias.zero_()
    return model


def _from_quantised(path: Path) -> Any:
    torch, transformers = import_module("torch"), import_module("transformers")
    weights = import_module("rerank_ops.export.sources.onnx_weights").from_onnx(path)
    config = transformers.BertConfig(**(weights.config | {"num_labels": 1}))
    model = transformers.BertForSequenceClassification(config)
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.tensors.items()})
    return model


def _plain(root: Path, directory: Path, source: str, calibration: Path) -> None:
    """Export as optimum does by default."""
    model_class = import_module("optimum.onnxruntime").ORTModelForSequenceClassification
    model_class.from_pretrained(str(root / "hf"), export=True).save_pretrained(directory)
    _copy_tokenizer(root / "hf", directory)


def _plain_int8(root: Path, directory: Path, source: str, calibration: Path) -> None:
    """Quantise the plain export with ONNX Runtime's tool and its defaults."""
    tool = import_module("onnxruntime.quantization")
    tool.quantize_dynamic(str(root / "plain" / "model.onnx"), str(directory / "model.onnx"))
    _copy_tokenizer(root / "hf", directory)


def _openvino(root: Path, directory: Path, source: str, calibration: Path) -> None:
    openvino = import_module("openvino")
    model = openvino.convert_model(str(root / "plain" / "model.onnx"))
    openvino.save_model(model, str(directory / "model.xml"), compress_to_fp16=False)
    _copy_tokenizer(root / "hf", directory)


def _openvino_int8(root: Path, directory: Path, source: str, calibration: Path) -> None:
    """Quantise with static scales for a transformer, calibrated one unpadded pair at a time."""
    nncf, openvino = import_module("nncf"), import_module("openvino")
    pairs = _calibration_pairs(root, calibration)
    model = openvino.Core().read_model(str(root / "openvino" / "model.xml"))
    quantised = nncf.quantize(model, nncf.Dataset(pairs), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(pairs))
    openvino.save_model(quantised, str(directory / "model.xml"), compress_to_fp16=False)
    _copy_tokenizer(root / "hf", directory)


def _calibration_pairs(root: Path, calibration: Path) -> list[dict[str, Any]]:
    numpy = import_module("numpy")
    tokenizer = import_module("tokenizers").Tokenizer.from_file(str(root / "hf" / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=512)
    pairs = []
    for request in json.loads(calibration.read_text(encoding="utf-8")):
        for document in request["documents"]:
            encoding = tokenizer.encode(request["query"], document)
            rows = {
                "input_ids": encoding.ids,
                "attention_mask": encoding.attention_mask,
                "token_type_ids": encoding.type_ids,
            }
            pairs.append({name: numpy.array([row], dtype=numpy.int64) for name, row in rows.items()})
    return pairs


def _ours(precision: str) -> Make:
    def make(root: Path, directory: Path, source: str, calibration: Path) -> None:
        pipeline = import_module("rerank_ops.export.pipeline")
        wanted = pipeline.Wanted(precision=precision, name=root.name, force=True)
        pipeline.export(f"file:{(root / 'hf').resolve()}", directory, wanted, tell=print)

    return make


def _copy_tokenizer(source: Path, target: Path) -> None:
    for name in _TOKENIZER_FILES:
        if (source / name).is_file() and not (target / name).exists():
            shutil.copy(source / name, target / name)


Make = Callable[[Path, Path, str, Path], None]
#: What is made, in order: the step that it needs, and how.
STEPS: dict[str, tuple[str | None, Make]] = {
    "hf": (None, _weights),
    "plain": ("hf", _plain),
    "plain-int8": ("plain", _plain_int8),
    "openvino": ("plain", _openvino),
    "openvino-int8": ("openvino", _openvino_int8),
    "ours-int8": ("hf", _ours("int8")),
    "ours-int8-static": ("hf", _ours("int8-static")),
    "ours-fp32": ("hf", _ours("fp32")),
}


def main() -> None:
    """Make the files and write down how it went."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.engine.prepare")
    parser.add_argument("root", type=Path)
    parser.add_argument("source")
    parser.add_argument("calibration", type=Path)
    parser.add_argument("forms", nargs="+", choices=[*STEPS])
    chosen = parser.parse_args()
    status = prepare(chosen.root, chosen.source, chosen.calibration, chosen.forms)
    (chosen.root / STATUS_FILE).write_text(json.dumps(status, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
