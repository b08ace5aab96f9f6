"""Student: the first layers of a ranking model, with a head that is fitted before it is trained.

The embeddings are frozen: they are most of the weights, and the texts of one collection would only spoil the words that
it lacks. The head runs in 32-bit floats, since the states of early layers vary little.

A student for int8 learns with weights that are rounded as its export rounds them. The head magnifies small differences
of states, and what rounding adds to all of them alike would shift its logits far; training mends that on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rerank_ops.distil.training.batches import Batch, EncodedList, batch_of
from rerank_ops.distil.training.origin import Origin
from rerank_ops.distil.training.rounding import Rounding, watched
from rerank_ops.export.depth.head import fit_head
from rerank_ops.export.graph.bodies.naming import NAMES
from rerank_ops.export.graph.smoothing import smoothing_of
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.cpu import host_features

Floats = npt.NDArray[np.float32]
#: Lists whose pairs share a batch where nothing is learned.
_LISTS_AT_ONCE = 4


def device_here() -> str:
    """Return the device that torch can train on here: cuda, or else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def has_bf16(device: str) -> bool:
    """Return whether products of 16-bit floats are faster than those of 32 bits on a device."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return not host_features().names.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


@dataclass(frozen=True, slots=True)
class Student:
    """A model of transformers on a device; `reduced`: its products are in bf16 while it trains and is checked.

    `rounding`: what its export will round; None where it will be exported in fp32.
    """

    model: Any
    head: tuple[str, str]
    padding: int
    device: str
    reduced: bool
    rounding: Rounding | None = None

    def batch(self, lists: Sequence[EncodedList]) -> Batch:
        """Return lists as tensors for it."""
        return batch_of(lists, self.padding, self.device)

    def states(self, batch: Batch) -> Any:
        """Return the first token's last hidden state of each pair, [pairs, hidden], in 32-bit floats."""
        base = self.model.base_model
        parameters = {} if self.rounding is None else self._rounded(base, self.rounding)
        with self._precision():
            found = torch.func.functional_call(base, parameters, kwargs=batch.inputs)
        return found.last_hidden_state[:, 0].float()

    def logits(self, batch: Batch) -> Any:
        """Return the logit of each pair, [pairs]; gradients flow where torch records them."""
        dense, out = (self.model.get_submodule(name) for name in self.head)
        return out(torch.tanh(dense(self.states(batch))))[:, 0]

    def scores(self, lists: Sequence[EncodedList]) -> list[Floats]:
        """Return the logits of each list, [pairs], without gradients."""
        return self._each(lists, self.logits)

    def smoothed(self, lists: Sequence[EncodedList]) -> Student:
        """Return the student with the smoothing of its export, from the inputs that its layers have of lists."""
        if self.rounding is None:
            return self
        with watched(self.model.base_model, self.rounding, lambda: batch.inputs["attention_mask"].bool()) as ranges:
            for each in lists:
                batch = self.batch([each])
                with torch.inference_mode():
                    self.states(batch)
        return replace(self, rounding=replace(self.rounding, smoothing=smoothing_of(ranges)))

    def fit_head(self, lists: Sequence[EncodedList], targets: Sequence[Floats]) -> None:
        """Set the head to the ridge regression from hidden states to targets. Raises ConfigurationError."""
        states = np.concatenate(self._each(lists, self.states))
        fitted = fit_head(states, np.concatenate(targets))
        dense, out = self.head
        found = {
            f"{dense}.weight": fitted.pooler_weight,
            f"{dense}.bias": fitted.pooler_bias,
            f"{out}.weight": fitted.classifier_weight,
            f"{out}.bias": fitted.classifier_bias,
        }
        self.load({name: torch.from_numpy(array) for name, array in found.items()})

    def trained(self) -> dict[str, Any]:
        """Return the parameters that learn, by name."""
        return {name: each for name, each in self.model.named_parameters() if each.requires_grad}

    def copied(self) -> dict[str, Any]:
        """Return copies of the parameters that learn, on the CPU."""
        return {name: each.detach().to("cpu", copy=True) for name, each in self.trained().items()}

    def load(self, parameters: dict[str, Any]) -> None:
        """Set parameters by name."""
        self.model.load_state_dict(parameters, strict=False)

    def save(self, origin: Origin, directory: Path) -> None:
        """Write weights, configs and tokenizer as the hub stores models. Raises OSError."""
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        layers = int(self.model.config.num_hidden_layers)
        origin.write_beside(directory, layers)
        prefix = f"{self.model.base_model_prefix}."
        tensors = {name: each.detach() for name, each in self.model.state_dict().items()}
        if self.rounding is not None:
            tensors = {name: self.rounding.rounded(name.removeprefix(prefix), each) for name, each in tensors.items()}
        tensors = {name: each.cpu().contiguous() for name, each in tensors.items()}
        save_file(tensors, directory / "model.safetensors", {"format": "pt"})

    @staticmethod
    def _rounded(base: Any, rounding: Rounding) -> dict[str, Any]:
        return {name: rounding.straight_through(name, base.get_parameter(name)) for name in rounding.weights}

    def _each(self, lists: Sequence[EncodedList], run: Any) -> list[Floats]:
        found: list[Floats] = []
        with torch.inference_mode():
            for start in range(0, len(lists), _LISTS_AT_ONCE):
                batch = self.batch(lists[start : start + _LISTS_AT_ONCE])
                found += [each.cpu().numpy() for each in torch.split(run(batch), batch.sizes)]
        return found

    def _precision(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.reduced)
        return context


def make_student(
    origin: Origin,
    layers: int,
    *,
    weight_bits: int | None = 8,
    device: str | None = None,
    reduced: bool | None = None,
) -> Student:
    """Return a student of the first layers of a model, with the head not fitted yet.

    `weight_bits`: 7 or 8, as its int8 export will round weights; None: it will be exported in fp32. Raises
    ConfigurationError where a weight is missing.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    family = str(origin.config["model_type"])
    dropped = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
    given = {name: value for name, value in origin.config.items() if name not in ("model_type", "id2label", "label2id")}
    config = AutoConfig.for_model(family, **{**given, **dropped, "num_hidden_layers": layers, "num_labels": 1})
    model = AutoModelForSequenceClassification.from_config(config)
    # Arrays that lie in a file's memory can't be written, and torch warns of them.
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in origin.tensors.items()}
    wanted = model.state_dict()
    fitted = tuple(f"{name}." for name in origin.head)
    if missing := [name for name in wanted if name not in tensors and not name.startswith(fitted)]:
        raise ConfigurationError(f"{origin.source.model} lacks the weights {', '.join(missing[:3])}")
    kept = {name: each for name, each in tensors.items() if name in wanted and not name.startswith(fitted)}
    model.load_state_dict(kept, strict=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".embeddings." not in name)
    device = device or device_here()
    return Student(
        model=model.to(device).eval(),
        head=origin.head,
        padding=int(config.pad_token_id or 0),
        device=device,
        reduced=has_bf16(device) if reduced is None else reduced,
        rounding=Rounding(weight_bits, _rounded_names(model.base_model, layers), NAMES[family])
        if weight_bits
        else None,
    )


def _rounded_names(base: Any, layers: int) -> tuple[str, ...]:
    """Return the names of the weights that an int8 export rounds: of all layers but the last, with one row a pair."""
    last = f"encoder.layer.{layers - 1}."
    linear = (name for name, module in base.named_modules() if isinstance(module, torch.nn.Linear))
    return tuple(f"{name}.weight" for name in linear if name.startswith("encoder.") and not name.startswith(last))
