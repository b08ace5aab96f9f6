"""Export pipeline: turns a published model into an artefact that workers serve, and measures its quality.

Every graph is first built in fp32 and must equal the published model; only then is it built in the wanted precision.
An artefact that fails the quality gate is still written, with the failures in its manifest: workers refuse it, and its
figures can be read.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rerank_ops.export.depth.candidate_list import Divided
from rerank_ops.export.depth.head import Floats
from rerank_ops.export.depth.on_collections import on_collection
from rerank_ops.export.depth.shortening import Depth, ShortModel, shorten
from rerank_ops.export.made import Made, Maker
from rerank_ops.export.published import OURS_DIFFERS, check_equal, published_logits
from rerank_ops.export.sources.opened import Opened, open_source
from rerank_ops.export.sources.source import Source, resolve
from rerank_ops.export.sources.tokenizer import write_tokenizer
from rerank_ops.export.target import unfinished
from rerank_ops.export.texts import Texts, remembered
from rerank_ops.quality.collection import Collection, load_collection
from rerank_ops.quality.invariance import ScoreTexts, TextPair
from rerank_ops.quality.quality_gate import measure
from rerank_shared.contract.digest import file_digest
from rerank_shared.models.config_files import DEFAULT_MAX_LENGTH, SENTENCE_TRANSFORMERS_FILE, max_length_of
from rerank_shared.models.cpu import host_features
from rerank_shared.models.exported import broken_following
from rerank_shared.models.manifest import (
    MANIFEST_FILE,
    Bounds,
    KernelCalls,
    Manifest,
    Quality,
    Shortened,
    write_manifest,
)
from rerank_shared.models.precision import LAYOUTS, PRECISION, LayoutName, PrecisionName
from rerank_shared.settings import KernelName
from rerank_worker.engine import PreparedKernel
from rerank_worker.engine.kernels import KernelDiffers, kernels_here
from rerank_worker.engine.whole import run_engine
from rerank_worker.supervisor.cores import available_cores
from rerank_worker.tokenizing import PairTokenizer

Tell = Callable[[str], None]
_PLAIN_DIFFERS = "its graph may not heed its attention mask; --layouts unpadded leaves padded batches out"
_TRACE_DIFFERS = (
    "what was traced at one length does not fit others; export it to ONNX by other means and give the ONNX file"
)
_ALWAYS = ("rerank-fleet", "numpy", "onnx", "onnxruntime", "tokenizers")
_WHERE_USED = ("torch", "transformers", "optimum", "optimum-onnx")
_ACTIVATION_CLASSES = {
    "sigmoid": "torch.nn.modules.activation.Sigmoid",
    "identity": "torch.nn.modules.linear.Identity",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Options of an export. `reduced_range`: 7 bits for int8 weights; None: as this machine's CPU needs.

    `smoothing`: of int8, by layer, as the weights were made for; None: measured.

    `kernel`: the kernels to measure int8 with, beside ONNX Runtime's operators; auto: those that this CPU runs.
    `depth`: how to shorten the model, None to keep all its layers.
    """

    precision: PrecisionName = "int8"
    layouts: tuple[LayoutName, ...] = LAYOUTS
    surgery: bool = True
    reduced_range: bool | None = None
    smoothing: Mapping[str, Floats] | None = None
    eval_dirs: tuple[Path, ...] = ()
    eval_queries: int | None = None
    bounds: Bounds = field(default_factory=Bounds)
    kernel: KernelName = "auto"
    name: str | None = None
    force: bool = False
    depth: Depth | None = None


def export(model: str, directory: Path, wanted: Wanted | None = None, tell: Tell = lambda _: None) -> Manifest:
    """Export `model` into `directory` and return its manifest. `tell` is called with each step.

    Raises ModelUnavailable, ModelDamaged or ConfigurationError where the model can't be found, read or exported, or a
    graph does not equal it. The directory is then unchanged.
    """
    wanted = wanted or Wanted()
    with unfinished(directory, force=wanted.force) as new, tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        collections = [_read_collection(path, wanted.eval_queries, tell) for path in wanted.eval_dirs]
        text = wanted.depth.read(tell) if wanted.depth else None
        tell(f"looking for {model}")
        manifest = _Export(resolve(model), wanted, collections, text, new, Path(scratch), tell).run()
        write_manifest(new, manifest)
    return manifest


@dataclass(frozen=True, slots=True)
class _Export:
    source: Source
    wanted: Wanted
    collections: Sequence[Collection]
    text: Divided | None
    directory: Path
    scratch: Path
    tell: Tell

    def run(self) -> Manifest:
        tokenizer = PairTokenizer(write_tokenizer(self.source, self.directory), prompt=self.source.prompt)
        self.tell("reading weights")
        opened = open_source(self.source, self.scratch, surgery=self.wanted.surgery)
        if opened.body is None:
            self.tell(f"plain export: {opened.plain_because}")
        texts = Texts(tokenizer, _max_length(self.source, opened))
        short = self._shortened(opened, texts)
        opened = short.opened if short else opened
        fp32 = self._verified(opened, texts)
        made = self._in_precision(fp32, self._maker(opened, texts))
        config = _write_config(self.directory, opened.config, self.source)
        reference = self._reference(opened, texts, fp32)
        return Manifest(
            model=self.wanted.name or self._name,
            source=self.source.origin,
            family=str(config["model_type"]),
            surgery=made.tail is not None,
            precision=self.wanted.precision,
            opset=made.opset,
            versions=_versions(),
            max_length=texts.max_length,
            template=str(tokenizer.template),
            activation=self.source.activation,
            layouts=dict(made.layouts),
            tail=made.tail,
            files=_digests(self.directory),
            reduced_range=self._reduced_range,
            quality=self._judged(self._measured(made, self.wanted.precision, reference, texts), short),
            kernels=self._measured_kernels(made, reference, texts),
            shortened=self._report(short, texts) if short else None,
        )

    @property
    def _name(self) -> str:
        depth = self.wanted.depth
        return f"{self.source.model}-depth{depth.kept}" if depth else self.source.model

    def _shortened(self, opened: Opened, texts: Texts) -> ShortModel | None:
        if self.wanted.depth is None or self.text is None:
            return None
        return shorten(opened, self.source.model, self.wanted.depth.kept, self.text, texts, self.scratch, self.tell)

    def _report(self, short: ShortModel, texts: Texts) -> Shortened:
        """Return how a shortened model follows the whole one, with every depth on the collections."""

        def score(pairs: Sequence[TextPair]) -> Mapping[int, Floats]:
            return short.every_depth(texts.encode(pairs))

        found = []
        for each in self.collections:
            self.tell(f"every depth ranks {len(each.tasks)} queries of {each.name}")
            found.append(on_collection(each, short.report.layers, score))
        return short.report.model_copy(update={"collections": tuple(found)})

    def _judged(self, quality: Quality | None, short: ShortModel | None) -> Quality | None:
        """Return the report with the failures of a shortened model to follow the whole one."""
        if quality is None or short is None:
            return quality
        return quality.model_copy(update={"failures": (*quality.failures, *broken_following(short.report))})

    @property
    def _reduced_range(self) -> bool:
        if not self.wanted.precision.startswith("int8"):
            return False
        return host_features().saturates if self.wanted.reduced_range is None else self.wanted.reduced_range

    def _maker(self, opened: Opened, texts: Texts) -> Maker:
        reduced, smoothing = self._reduced_range, self.wanted.smoothing
        return Maker(opened, self.wanted.layouts, texts.calibration, reduced, self.scratch, smoothing)

    def _verified(self, opened: Opened, texts: Texts) -> Made:
        """Build fp32, compare each layout with the published model, and return the graphs, the gate's reference."""
        directory = self.directory if self.wanted.precision == "fp32" else _folder(self.scratch / "fp32")
        self.tell("building fp32")
        fp32 = self._maker(opened, texts).make("fp32", directory)
        pairs = texts.checked()
        expected = published_logits(self.source.model, opened.reference, pairs)
        model, compared = self.source.model, "the published model"
        if self.wanted.depth is not None:
            model = compared = f"the first layers of {model}"
        for layout in fp32.layouts:
            self.tell(f"comparing fp32 in layout {layout} with {compared}")
            plain = _TRACE_DIFFERS if layout == "unpadded" else _PLAIN_DIFFERS
            why = plain if fp32.tail is None else OURS_DIFFERS
            check_equal(run_engine(fp32.engine(layout), pairs), expected, f"of layout {layout}", model, why)
        return fp32

    def _in_precision(self, fp32: Made, maker: Maker) -> Made:
        if self.wanted.precision == "fp32":
            return fp32
        self.tell(f"building {self.wanted.precision}")
        return maker.make(self.wanted.precision, self.directory)

    def _reference(self, opened: Opened, texts: Texts, fp32: Made) -> ScoreTexts:
        """Return what the gate compares with: fp32, and for fp32 the published model, or it would always pass."""
        if self.wanted.precision == "fp32":
            return texts.by_reference(opened.reference)
        return remembered(texts.by_engine(fp32.engine(_main(fp32.layouts), threads=len(available_cores()))))

    def _measured_kernels(self, made: Made, reference: ScoreTexts, texts: Texts) -> KernelCalls | None:
        """Return the calls of kernels, with the gate's report on each kernel that this machine has."""
        calls = made.kernel_calls
        if calls is None:
            return None
        quality = {}
        for prepared in made.prepared(kernels_here(self.wanted.kernel)):
            precision = prepared.kernel.precision
            try:
                found = self._measured(made, "int8-row", reference, texts, prepared)
            except KernelDiffers as error:
                self.tell(f"{precision} is not measured: {error}")
            else:
                if found is not None:
                    quality[precision] = found
        return calls.model_copy(update={"quality": quality})

    def _measured(
        self,
        made: Made,
        precision: PrecisionName,
        reference: ScoreTexts,
        texts: Texts,
        kernel: PreparedKernel | None = None,
    ) -> Quality | None:
        """Return the quality gate's report; None for a precision that this machine can't run."""
        if "cpu" not in PRECISION[precision].devices:
            self.tell(f"{precision} can't be measured here: it runs on {', '.join(PRECISION[precision].devices)}")
            return None
        return measure(
            {layout: texts.by_engine(made.engine(layout, kernel=kernel)) for layout in made.layouts},
            reference,
            precision,
            bounds=self.wanted.bounds,
            collections=self.collections,
            tell=self.tell,
        )


def _read_collection(directory: Path, queries: int | None, tell: Tell) -> Collection:
    tell(f"reading {directory}")
    return load_collection(directory, queries)


def _main(layouts: Iterable[LayoutName]) -> LayoutName:
    """Return the layout of the reference: unpadded, or the first layout without it."""
    names = list(layouts)
    return "unpadded" if "unpadded" in names else names[0]


def _max_length(source: Source, opened: Opened) -> int:
    found = source.max_length or max_length_of(opened.config) or DEFAULT_MAX_LENGTH
    return min(found, opened.body.positions) if opened.body else found


def _write_config(directory: Path, config: dict[str, Any], source: Source) -> dict[str, Any]:
    """Write config.json with the activation, and a prompt if there is one, as sentence-transformers reads them."""
    stored = config.get("sentence_transformers")
    others = stored if isinstance(stored, dict) else {}
    whole = {**config, "sentence_transformers": {**others, "activation_fn": _ACTIVATION_CLASSES[source.activation]}}
    (directory / "config.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    if source.prompt:
        prompts = {"prompts": {"query": source.prompt}, "default_prompt_name": "query"}
        (directory / SENTENCE_TRANSFORMERS_FILE).write_text(json.dumps(prompts, indent=2) + "\n", encoding="utf-8")
    return whole


def _digests(directory: Path) -> dict[str, str]:
    return {path.name: file_digest(str(path)) for path in sorted(directory.iterdir()) if path.name != MANIFEST_FILE}


def _versions() -> dict[str, str]:
    used = [name for name in _WHERE_USED if name.partition("-")[0] in sys.modules]
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in (*_ALWAYS, *used):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            # The code runs from a source tree that is not installed.
            found[name] = "unknown"
    return found


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
