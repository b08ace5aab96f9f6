"""Cross-encoders of toy size with random weights, one of each family, written as the Hugging Face hub stores models.

Every parameter is random and large, biases and normalisations included, so that a term which an export forgets shows
far beyond rounding. Needs torch and transformers where it is called; importing it needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

FAMILIES = ("bert", "roberta", "xlm-roberta", "electra", "deberta-v2", "modernbert")
WORDS = tuple(f"word{n}" for n in range(80))
#: The longest pair, in tokens.
MAX_TOKENS = 128
_LARGE = 0.3

_BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ROBERTA_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_ROBERTA = {
    "max_position_embeddings": MAX_TOKENS + 2,
    "type_vocab_size": 1,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
#: What differs from the family's defaults, besides the size. Windows and buckets are small: short text crosses them.
_CONFIG: dict[str, dict[str, Any]] = {
    "bert": {"max_position_embeddings": MAX_TOKENS},
    "camembert": _ROBERTA,
    "distilbert": {"max_position_embeddings": MAX_TOKENS, "hidden_dim": 64},
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "electra": {"max_position_embeddings": MAX_TOKENS, "embedding_size": 24},
    # The shape of DeBERTa v3, as rerankers have it.
    "deberta-v2": {
        "max_position_embeddings": MAX_TOKENS,
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
        "pooler_hidden_size": 32,
    },
    "modernbert": {
        "num_hidden_layers": 4,
        "max_position_embeddings": MAX_TOKENS,
        "local_attention": 16,
        "global_attn_every_n_layers": 3,
        "classifier_pooling": "mean",
        "pad_token_id": 0,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "reference_compile": False,
    },
}


def write_toy(family: str, directory: Path, seed: int = 0, **config_overrides: Any) -> Path:
    """Write config.json, model.safetensors and tokenizer.json of a toy model into `directory`, which is returned."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    tokenizer = _tokenizer(family)
    config = AutoConfig.for_model(
        family,
        **({**_SIZE, **_CONFIG.get(family, {}), "vocab_size": len(tokenizer), "num_labels": 1} | config_overrides),
    )
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    _randomise(model, seed)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def load_reference(directory: Path) -> Any:
    """Return transformers' own model, in the plainest attention and ready to be called."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(
        directory, attn_implementation="eager", local_files_only=True
    )
    return model.eval()


def reference_logits(directory: Path, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float32]:
    """Return transformers' own logit of each pair, shape [pairs], each run alone and so without padding."""
    import torch
    from transformers import AutoTokenizer

    model = load_reference(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    logits = []
    with torch.inference_mode():
        for query, document in pairs:
            inputs = tokenizer(query, document, return_tensors="pt", truncation=True, max_length=MAX_TOKENS)
            logits.append(model(**inputs).logits[0, 0].item())
    return np.array(logits, dtype=np.float32)


def toy_pairs(count: int, seed: int = 0, longest: int = MAX_TOKENS - 8) -> list[tuple[str, str]]:
    """Return pairs of random words of many lengths; the last is as long as `longest` words, the first has two."""
    random = np.random.default_rng(seed)
    lengths = [1, *random.integers(1, max(2, longest - 6), size=max(0, count - 2)).tolist(), longest - 6][:count]
    texts = [" ".join(random.choice(WORDS, size=length)) for length in lengths]
    queries = [" ".join(random.choice(WORDS, size=size)) for size in [1, *random.integers(1, 7, size=count).tolist()]]
    return list(zip(queries, texts, strict=False))


def padded_logits(directory: Path, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float32]:
    """Return transformers' own logit of each pair, shape [pairs], all in one batch padded to the longest."""
    import torch

    with torch.inference_mode():
        tensors = {name: torch.from_numpy(array) for name, array in padded_inputs(directory, pairs).items()}
        logits: npt.NDArray[np.float32] = load_reference(directory)(**tensors).logits[:, 0].numpy()
    return logits


def padded_inputs(directory: Path, pairs: Sequence[tuple[str, str]]) -> dict[str, npt.NDArray[np.int64]]:
    """Return the model's inputs for one padded batch, as its own tokenizer makes them."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    queries, documents = (list(texts) for texts in zip(*pairs, strict=True))
    inputs = tokenizer(queries, documents, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="np")
    return {name: array.astype(np.int64) for name, array in inputs.items()}


def _randomise(model: Any, seed: int) -> None:
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * _LARGE
            is_norm = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(noise + 1.0 if is_norm else noise)


def _tokenizer(family: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    roberta = family in ("camembert", "roberta", "xlm-roberta")
    specials = _ROBERTA_SPECIALS if roberta else _BERT_SPECIALS
    vocabulary = {token: id_ for id_, token in enumerate((*specials, *WORDS))}
    roles = ("cls", "pad", "sep", "unk", "mask") if roberta else ("pad", "unk", "cls", "sep", "mask")
    named = {f"{role}_token": token for role, token in zip(roles, specials, strict=True)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=named["unk_token"]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    cls, sep = named["cls_token"], named["sep_token"]
    second = 0 if roberta or family == "modernbert" else 1
    between = f"{sep} {sep}" if roberta else sep
    tokenizer.post_processor = TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {between} $B:{second} {sep}:{second}",
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
    with_types = family in ("bert", "electra", "deberta-v2")
    names = ["input_ids", "token_type_ids", "attention_mask"] if with_types else ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=MAX_TOKENS, model_input_names=names, **named
    )
