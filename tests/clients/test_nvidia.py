"""Clients of NVIDIA's ranking containers: LangChain's `NVIDIARerank` and Haystack's `NvidiaRanker`."""

from __future__ import annotations

from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

pytestmark = [
    *CLIENTS,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    # That the model was found by asking for the list.
    pytest.mark.filterwarnings("ignore:Default model is set as:UserWarning"),
]


def logits(served: Served) -> list[tuple[int, float | None]]:
    response = served.fleet.rerank(QUERY, DOCUMENTS, deadline_ms=60_000)
    return [(result.index, result.logit) for result in response.results]


class TestLangChain:
    @pytest.fixture
    def ranked(self, served: Served) -> Any:
        nvidia = pytest.importorskip("langchain_nvidia_ai_endpoints", reason="needs it: `make test-clients`")
        documents = pytest.importorskip("langchain_core.documents")

        def ranked(key: str, **options: Any) -> list[tuple[int, float]]:
            ranker = nvidia.NVIDIARerank(base_url=f"{served.url}/v1", api_key=key, top_n=3, **options)
            sent = [documents.Document(text, metadata={"n": n}) for n, text in enumerate(DOCUMENTS)]
            found = ranker.compress_documents(sent, QUERY)
            return [(each.metadata["n"], each.metadata["relevance_score"]) for each in found]

        return ranked

    @pytest.mark.parametrize("model", [None, "nvidia/llama-3.2-nv-rerankqa-1b-v2"])
    def test_ranks_as_the_fleet_does(self, served: Served, ranked: Any, model: str | None) -> None:
        options = {} if model is None else {"model": model}
        assert ranked(served.keys.plain, **options) == logits(served)[:3]

    def test_wrong_key_is_told(self, served: Served, ranked: Any) -> None:
        with pytest.raises(Exception, match="API key"):
            ranked(served.keys.wrong, model="any")


class TestHaystack:
    @pytest.fixture
    def ranked(self, served: Served) -> Any:
        nvidia = pytest.importorskip("haystack_integrations.components.rankers.nvidia", reason="needs nvidia-haystack")
        haystack = pytest.importorskip("haystack")
        utils = pytest.importorskip("haystack.utils")

        def ranked(key: str) -> list[tuple[int, float]]:
            secret = utils.Secret.from_token(key)
            ranker = nvidia.NvidiaRanker(model="any", api_url=f"{served.url}/v1", api_key=secret, top_k=3)
            sent = [haystack.Document(content=text, meta={"n": n}) for n, text in enumerate(DOCUMENTS)]
            found = ranker.run(QUERY, sent)["documents"]
            ranker.close()
            return [(each.meta["n"], each.score) for each in found]

        return ranked

    def test_ranks_as_the_fleet_does(self, served: Served, ranked: Any) -> None:
        assert ranked(served.keys.plain) == logits(served)[:3]

    def test_wrong_key_is_told(self, served: Served, ranked: Any) -> None:
        with pytest.raises(ValueError, match="API key"):
            ranked(served.keys.wrong)
