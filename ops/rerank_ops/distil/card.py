"""Model card of a student, written from its manifest: what it is, how it was made, and what it is worth. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rerank_shared.models.manifest import Distilled, Manifest, StudentQuality

CARD_FILE = "README.md"
_KINDS = {"held out": "held-out queries of its own domain", "other": "another collection"}


def model_card(manifest: Manifest, distilled: Distilled, command: str) -> str:
    """Return the card as Markdown; `command` is the one that made the model."""
    return "\n".join(_lines(manifest, distilled, command)) + "\n"


def _lines(manifest: Manifest, distilled: Distilled, command: str) -> Iterator[str]:
    recipe, counts = distilled.recipe, distilled.counts
    yield f"# {manifest.model}"
    yield ""
    yield (
        f"A reranker of {recipe['layers']} layers in {manifest.precision}, distilled from `{distilled.teacher}` on "
        f"{counts['lists']:,} lists of {counts['pairs']:,} pairs. Its layers and embeddings began as those of "
        f"`{distilled.student_of.name}`."
    )
    yield ""
    yield 'Serve it with first-stage scores (`fusion="weighted"`): it was taught to be used so.'
    yield ""
    yield "```console"
    yield f"$ {command}"
    yield "```"
    for quality in distilled.quality:
        yield from _quality(quality)
    yield from _training(distilled)
    yield from _gate(manifest)
    yield from _limits(distilled)


def _quality(quality: StudentQuality) -> Iterator[str]:
    yield ""
    yield f"## On {_KINDS[quality.kind]}: {quality.name}"
    yield ""
    yield (
        f"{quality.queries} queries, up to {quality.k} candidates each. The last columns: nDCG@10 less that of the "
        "teacher with the first stage, and the 95 % interval of that difference."
    )
    if quality.kind == "held out":
        yield ""
        yield (
            "The best of the student's checks was chosen on lists of these very queries, which flatters it a little: "
            "measure it on others before you rely on a small difference."
        )
    if quality.judged_by == "sources":
        yield ""
        yield (
            "Nobody judged these queries. They were made from documents, and that document alone counts as relevant: "
            "this favours the first stage, whose words they share."
        )
    yield ""
    yield "| system | nDCG@10 | MRR@10 | difference | interval |"
    yield "|---|---|---|---|---|"
    for each in quality.systems:
        difference = "| |" if each.gain is None else _difference(each.gain)
        yield f"| {each.system} | {each.ndcg_10:.4f} | {each.mrr_10:.4f} {difference}"
    yield ""
    yield (
        f"Within queries the student's logits correlate with the teacher's by {quality.correlation:.3f}. Of the "
        f"teacher's best ten, {quality.overlap_at_10:.0%} are the student's too; with first-stage scores in both, "
        f"{quality.fused_overlap_at_10:.0%}."
    )
    if quality.teacher_pairs_per_s and quality.student_pairs_per_s:
        student, teacher = quality.student_pairs_per_s, quality.teacher_pairs_per_s
        yield ""
        yield (
            "Speed, one request after the other on the machine that made it: "
            f"{student:,.0f} pairs/s, the teacher {teacher:,.0f}, so {student / teacher:.1f} times as many."
        )


def _difference(gain: tuple[float, float, float]) -> str:
    mean, low, high = gain
    return f"| {mean:+.4f} | {low:+.4f} to {high:+.4f} |"


def _training(distilled: Distilled) -> Iterator[str]:
    (before, after), counts = distilled.agreement, distilled.counts
    yield ""
    yield "## How it was made"
    yield ""
    yield (
        f"Correlation with the target within {counts['held_out']:,} held-out lists: {before:.3f} with a fitted head "
        f"alone, {after:.3f} after {counts['steps']:,} of {counts['planned_steps']:,} steps. The target is the "
        f"teacher's logit + {distilled.beta:.3g} x the first stage's score."
    )
    yield ""
    yield "| setting | value |"
    yield "|---|---|"
    yield from (f"| {name} | {value} |" for name, value in distilled.recipe.items())
    yield ""
    yield "| data | digest |"
    yield "|---|---|"
    yield from (f"| {name} | {value[:16]} |" for name, value in distilled.data.items())
    yield f"| teacher ({distilled.teacher_precision}) | {str(distilled.teacher_digest)[:16]} |"
    yield f"| layers of {distilled.student_of.name} | {distilled.student_of.digest[:16]} |"


def _gate(manifest: Manifest) -> Iterator[str]:
    quality = manifest.quality
    if quality is None:
        return
    verdict = "passed" if quality.passed else f"failed: {'; '.join(quality.failures)}"
    yield ""
    yield (
        f"Quality gate of the export, {manifest.precision} against fp32 of the same weights: {verdict}. Spearman "
        f"{quality.spearman:.4f}, largest difference of a logit {quality.max_difference:.2f}."
    )


def _limits(distilled: Distilled) -> Iterator[str]:
    yield ""
    yield "## Limits"
    yield ""
    yield (
        f"- It learned from the first {distilled.recipe['max_length']} tokens of a pair. It reads longer ones, but was "
        "not taught to."
    )
    yield "- It knows one domain. On other text it may be worse than its teacher by more than is shown here."
    yield "- Licences of the teacher, of the model that it began as, and of the texts apply to it."
    if not distilled.quality:
        yield "- It was not measured."
