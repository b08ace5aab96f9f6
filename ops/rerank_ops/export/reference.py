"""Reference of an export: the published model, run in fp32, one pair at a time and without padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rerank_ops.export.plain import load_classifier
from rerank_worker.engine.session import open_session
from rerank_worker.engine.signature import signature_of
from rerank_worker.supervisor.cores import available_cores
from rerank_worker.tokenizing import EncodedPair

#: The logit of each pair, shape [pairs].
Score = Callable[[Sequence[EncodedPair]], npt.NDArray[np.float32]]


def torch_reference(directory: Path) -> Score:
    """Return the score function of transformers' own model of a directory. Raises ConfigurationError without torch."""
    import inspect

    model = load_classifier(directory)
    import torch

    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters

    def score(pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        logits = []
        with torch.inference_mode():
            for pair in pairs:
                inputs = {"input_ids": torch.tensor(pair.ids[None])}
                inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
                if takes_types:
                    inputs["token_type_ids"] = torch.tensor(pair.type_ids[None])
                logits.append(model(**inputs).logits[0, 0].item())
        return np.array(logits, dtype=np.float32)

    return score


def onnx_reference(path: Path) -> Score:
    """Return the score function of a plain ONNX graph, run by ONNX Runtime on all cores."""
    session = open_session(path, optimise=True, threads=len(available_cores()))
    signature = signature_of(session, path)

    def score(pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        logits = []
        for pair in pairs:
            values = {
                "input_ids": pair.ids[None],
                "attention_mask": np.ones_like(pair.ids)[None],
                "token_type_ids": pair.type_ids[None],
            }
            (found,) = session.run([signature.output], signature.feeds(values))
            logits.append(float(signature.logits(found, 1)[0]))
        return np.array(logits, dtype=np.float32)

    return score
