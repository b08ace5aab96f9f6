"""manifest.json of an artefact: its source, how it was made, the digest of each file, and its measured quality.

The export writes it once, and every worker that loads the model reads it. pydantic is used only at this edge.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rerank_shared.contract.digest import file_digest
from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.heads import HEADS, SEQUENCE_CLASSIFICATION, HeadName
from rerank_shared.models.precision import LayoutName, PrecisionName, layout_of_today

MANIFEST_FILE = "manifest.json"
FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Origin(_Part):
    """The source of the weights. `digest`: SHA-256 of the source's weights file, or of all of them together."""

    kind: Literal["hub", "directory", "onnx"]
    name: str
    digest: str


class Bounds(_Part):
    """The bounds that an artefact must keep to be served, each against fp32 of the same weights."""

    min_ndcg_ratio: float = 0.99
    min_spearman: float = 0.995


class CollectionQuality(_Part):
    """Ranking quality on one labelled collection, and that of fp32 over the same candidates.

    `ndcg_10_first` is the nDCG@10 of the candidates in BM25's order, None where it was not measured. `spearman`
    correlates the scores of all pairs with fp32's.
    """

    name: str
    queries: int
    ndcg_10: float
    ndcg_10_fp32: float
    mrr_10: float
    mrr_10_fp32: float
    ndcg_10_first: float | None = None
    spearman: float


class Quality(_Part):
    """The report of the quality gate; differences are in logits, against fp32 of the same weights.

    `invariance` says of each layout whether scores were bit-equal in any order and company.
    """

    pairs: int
    spearman: float
    rmse: float
    max_difference: float
    invariance: dict[LayoutName, bool] = Field(default_factory=dict)
    collections: tuple[CollectionQuality, ...] = ()
    bounds: Bounds = Bounds()
    failures: tuple[str, ...] = ()

    @field_validator("invariance", mode="before")
    @classmethod
    def _read_former(cls, found: Any) -> Any:
        return {layout_of_today(name): each for name, each in found.items()} if isinstance(found, dict) else found

    @property
    def passed(self) -> bool:
        """Whether every bound was kept."""
        return not self.failures


class KernelCalls(_Part):
    """The calls of kernels in the graphs, for those who have the library.

    `weights`: the int8 weights of the calls by name, each as its offset in bytes in `file`, its inputs and its outputs.
    `quality`: the gate's report on each kernel that ran where the model was exported, by the name of its scores.
    """

    file: str
    weights: dict[str, tuple[int, int, int]]
    quality: dict[str, Quality] = Field(default_factory=dict)


class SystemQuality(_Part):
    """A system on one set of queries. `gain`: its nDCG@10 less that of the teacher with the first stage, and the bounds
    of that difference's 95 % interval; None for the teacher with the first stage itself.
    """

    system: str
    ndcg_10: float
    mrr_10: float
    gain: tuple[float, float, float] | None = None


class StudentQuality(_Part):
    """A student beside its teacher on one set of queries, each with up to `k` candidates of the first stage.

    `judged_by` is judgements, or sources: the documents that pseudo-queries were made from. `correlation` is that of
    the logits of both within queries, `overlap_at_10` the share of the teacher's best ten that are the student's, and
    `fused_overlap_at_10` that with the first stage's scores in both. Pairs a second are those of the fleet.
    """

    name: str
    kind: Literal["held out", "other"]
    queries: int
    k: int
    judged_by: Literal["judgements", "sources"]
    systems: tuple[SystemQuality, ...]
    correlation: float
    overlap_at_10: float
    fused_overlap_at_10: float
    teacher_pairs_per_s: float | None = None
    student_pairs_per_s: float | None = None


class Distilled(_Part):
    """How a student was made: by which teacher, from which model's layers, by which recipe, on which data, how well.

    `data` are digests of the files, `counts` lists, pairs and steps. `agreement` is the correlation with the target
    within held-out lists, of the head alone and of the trained student.
    """

    teacher: str
    teacher_digest: str | None
    teacher_precision: str | None
    student_of: Origin
    recipe: dict[str, Any]
    data: dict[str, str]
    counts: dict[str, int]
    beta: float
    agreement: tuple[float, float]
    quality: tuple[StudentQuality, ...] = ()


class DepthQuality(_Part):
    """Mean nDCG@10 of a model of some layers. `fused`: BM25's scores count as much as the model's."""

    ndcg_10: float
    ndcg_10_fused: float


class ShortenedCollection(_Part):
    """What each depth is worth on a labelled collection, in fp32 and over the same candidates.

    `by_depth`: by the layers that are kept, to all of them. `ndcg_10_first`: of the candidates in BM25's order.
    """

    name: str
    queries: int
    ndcg_10_first: float
    by_depth: dict[int, DepthQuality]


class FollowingBounds(_Part):
    """The bounds that a shortened model must keep to be served, each against the whole model.

    Between what a model of twelve layers had with six of them and with five, on three collections: see docs/depth.md.
    """

    min_correlation: float = 0.75
    min_overlap_at_10: float = 0.6


class Following(_Part):
    """How well a model follows another in lists of candidates.

    `correlation`: of the scores, less their list's mean. `overlap_at_10`: the share of the other's best ten of a list
    that it has among its own.
    """

    correlation: float
    overlap_at_10: float


class Shortened(_Part):
    """A model that keeps the first `kept` of `layers` layers, and how well it follows the whole model, both in fp32.

    Its head was fitted on `pairs` of `queries`; `correlation` and `overlap_at_10`, see Following, are those of other
    queries' lists. `by_depth`: the same of every depth, by the layers that it keeps. `made_queries`: of the queries of
    both, those that are no user's. `text_digest`: SHA-256 of all texts.
    """

    layers: int
    kept: int
    pairs: int
    queries: int
    made_queries: int
    text_digest: str
    measured_lists: int
    measured_pairs: int
    correlation: float
    overlap_at_10: float
    by_depth: dict[int, Following] = Field(default_factory=dict)
    bounds: FollowingBounds = FollowingBounds()
    collections: tuple[ShortenedCollection, ...] = ()


class _Headed(BaseModel):
    """The field of a manifest that says by which rules the others are read."""

    head: str = SEQUENCE_CLASSIFICATION


class Manifest(_Part):
    """The whole of manifest.json. `layouts` names the graph file of each layout; `files` the SHA-256 of every file.

    `head`: the kind of model, and so the scorer that runs it. A file without it is of a cross-encoder.

    `reduced_range`: int8 weights use 7 bits, so that their products fit 16 bits on CPUs without VNNI. `kernels` is None
    where the graphs call no kernel, `distilled` where the model is nobody's student, `shortened` where it has all its
    layers.
    """

    format: Literal[1] = 1
    model: str
    source: Origin
    head: HeadName = SEQUENCE_CLASSIFICATION
    family: str
    surgery: bool
    precision: PrecisionName
    opset: int
    versions: dict[str, str]
    max_length: int
    template: str
    activation: Literal["sigmoid", "identity"]
    layouts: dict[LayoutName, str]
    tail: str | None = None
    files: dict[str, str]
    reduced_range: bool = False
    quality: Quality | None = None
    kernels: KernelCalls | None = None
    distilled: Distilled | None = None
    shortened: Shortened | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_former(cls, data: Any) -> Any:
        """Read what an earlier release exported, whose layouts were called plans."""
        if isinstance(data, dict) and "plans" in data:
            data = dict(data)
            data["layouts"] = {layout_of_today(name): file for name, file in data.pop("plans").items()}
        return data


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest of an artefact directory.

    Raises ModelDamaged if it can't be read, ConfigurationError if its model is of a kind that this release has no
    scorer for.
    """
    path = directory / MANIFEST_FILE
    try:
        data = path.read_bytes()
        # A model of a later kind has further fields, too: the kind is what to tell.
        if (head := _Headed.model_validate_json(data).head) not in HEADS:
            raise ConfigurationError(
                f"{path} has the head {head!r}, and this release scores {', '.join(HEADS)}: serve it by workers of the "
                "release that exported it"
            )
        return Manifest.model_validate_json(data)
    except OSError as error:
        raise ModelDamaged(f"{path} can't be read: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelDamaged(f"{path} is no manifest of this version: {where}: {first['msg']}. Export again.") from None


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write manifest.json, as the last step of an export: a directory without one is not finished."""
    # Workers of earlier releases refuse a field that they do not know, and take what it would say here for given.
    usual = {"head"} if manifest.head == SEQUENCE_CLASSIFICATION else None
    text = manifest.model_dump_json(indent=1, exclude=usual)
    (directory / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def check_files(directory: Path, manifest: Manifest) -> None:
    """Raise ModelDamaged that names the first file that is missing or differs from the exported one."""
    for name, expected in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise ModelDamaged(f"{path} is missing: copy the whole directory again, or export again")
        if (found := file_digest(str(path))) != expected:
            raise ModelDamaged(f"{path} has SHA-256 {found}, its manifest says {expected}: copy or export it again")
