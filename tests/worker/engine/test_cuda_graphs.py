"""Which CUDA graph ONNX Runtime is told to capture and replay; that it does, only a GPU can show."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rerank_worker.engine.device.cuda_graphs import MOST_GRAPHS, CudaGraphs
from rerank_worker.engine.device.shapes import device_feeds
from rerank_worker.engine.device.slot import Slot
from support.model.exports import pairs_of


class TestCudaGraphs:
    def filled(self, lengths: Sequence[int], slot: Slot | None = None) -> Slot:
        slot = slot or Slot(0, "cpu")
        feeds = device_feeds("padded", pairs_of(lengths), recurring=True)
        slot.fill(["input_ids", "token_type_ids", "lengths"], [feeds], 8)
        return slot

    def graph_id(self, graphs: CudaGraphs, slot: Slot) -> str:
        with graphs.run_options(slot, slot.parts[0]) as options:
            return str(options.get_run_config_entry("gpu_graph_id"))

    def test_a_shape_in_a_slot_has_one(self) -> None:
        graphs, slot = CudaGraphs(), self.filled((100, 100))
        assert self.graph_id(graphs, slot) == "1"
        # 97 is padded to 112 as 100 is.
        assert self.graph_id(graphs, self.filled((97, 100), slot)) == "1"
        assert self.graph_id(graphs, self.filled((20, 20), slot)) == "2"
        other = Slot(1, "cpu")
        assert self.graph_id(graphs, self.filled((100, 100), other)) == "3"

    def test_buffers_that_moved_need_a_new_one(self) -> None:
        graphs, slot = CudaGraphs(), self.filled((20,))
        assert self.graph_id(graphs, slot) == "1"
        self.filled((512,) * 4, slot)
        assert self.graph_id(graphs, self.filled((20,), slot)) == "2"

    def test_nothing_is_copied_while_one_is_captured(self) -> None:
        graphs, slot = CudaGraphs(), self.filled((20,))
        for captures in (True, False):
            with graphs.run_options(slot, slot.parts[0]):
                assert graphs.capturing.locked() == captures
            assert not graphs.capturing.locked()

    def test_a_capture_that_failed_is_tried_again_under_another_id(self) -> None:
        graphs, slot = CudaGraphs(), self.filled((20,))
        with pytest.raises(ValueError, match="capture"), graphs.run_options(slot, slot.parts[0]):
            raise ValueError("capture")
        assert not graphs.capturing.locked()
        assert self.graph_id(graphs, slot) == "2"

    def test_they_are_bounded(self) -> None:
        graphs, slot = CudaGraphs(), self.filled((20,) * 9)
        shapes = [(length,) * pairs for pairs in range(1, 9) for length in range(16, 160, 16)]
        ids = [self.graph_id(graphs, self.filled(lengths, slot)) for lengths in [*shapes, (20,) * 9]]
        assert len(shapes) > MOST_GRAPHS
        assert ids[MOST_GRAPHS:] == ["-1"] * (len(shapes) + 1 - MOST_GRAPHS)
        assert len(set(ids[:MOST_GRAPHS])) == MOST_GRAPHS
