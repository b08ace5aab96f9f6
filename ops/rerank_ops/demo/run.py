"""Run of the demo: a real fleet on this machine reranks real questions over Python's own documentation.

A private namespace gives the run an empty cache, so the first pass scores every pair and the second finds all cached.
A third one, from the cache too, lets BM25's scores count in the order; their ratio is learned while it runs.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rerank_ops.demo.corpus import stdlib_passages
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.demo.passes import Pass, Task, TaskResult, run_pass
from rerank_ops.demo.questions import Question, qrels, stdlib_questions
from rerank_ops.demo.report import Batches, DemoResult, show
from rerank_ops.judging.measures import measure, ndcg_by_question
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_ops.signals import run_stoppable
from rerank_producer import AsyncRerankClient
from rerank_shared.cache import clear
from rerank_shared.errors import ConfigurationError
from rerank_shared.keys import Keys
from rerank_shared.models.catalogue import configured_files
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from rerank_worker.engine import choice_for, model_precision, providers_for

#: Candidates of each question that the fleet reranks.
K = 50
#: One job runs while the next waits in each process; more would only make the shown latencies longer.
IN_FLIGHT_PER_PROCESS = 2


def run_demo(console: Console, settings: Settings | None = None) -> DemoResult:
    """Run the demo, print its report and return the result. Raises RerankError when a part can't be started."""
    settings = settings or load_settings()
    changes = {"namespace": f"{settings.namespace}-demo-{os.getpid()}", "log_level": "WARNING"}
    settings = settings.model_copy(update=changes)
    with console.status("Reading the documentation of Python's standard library"):
        passages, questions = stdlib_passages(), stdlib_questions()
        index = Bm25Index(passages)
        tasks = [Task(question, index.top(question.text, K)) for question in questions]
    console.print(f"{len(passages):,} passages, {len(questions)} questions, the best {K} by BM25 for each.")
    with ExitStack() as stack:
        with console.status("Starting the fleet"):
            fleet = stack.enter_context(local_fleet(settings, counted=True))
        console.print(f"The model's layers run by {_engine(fleet.settings)}.")
        result = _measure(console, fleet, tasks, questions, len(passages))
        with connect(fleet.settings) as client:
            clear(client, Keys(settings.namespace))
    show(console, result)
    return result


def _engine(settings: Settings) -> str:
    """Return what runs the model's layers on this host, and why."""
    files = configured_files(settings)
    choice = choice_for(settings, files, providers_for(settings, model_precision(files)))
    return f"{choice.kernel.precision if choice.kernel else 'ONNX Runtime'}: {choice.reason}"


def _measure(
    console: Console, fleet: LocalFleet, tasks: Sequence[Task], questions: Sequence[Question], passages: int
) -> DemoResult:
    in_flight = IN_FLIGHT_PER_PROCESS * fleet.processes
    cold, hot, fused = run_stoppable(_passes(console, fleet, tasks, in_flight))
    judged = qrels(questions)
    before = {task.question.id: [c.id for c in task.candidates] for task in tasks}
    after, by_both = ({answer.task.question.id: answer.ranking for answer in each.answers} for each in (cold, fused))
    return DemoResult(
        processes=fleet.processes,
        in_flight=in_flight,
        passages=passages,
        before=measure(before, judged),
        after=measure(after, judged),
        fused=measure(by_both, judged),
        cold=cold,
        hot=hot,
        batches=_batches(fleet),
        examples=_examples(cold, ndcg_by_question(before, judged), ndcg_by_question(after, judged)),
    )


async def _passes(
    console: Console, fleet: LocalFleet, tasks: Sequence[Task], in_flight: int
) -> tuple[Pass, Pass, Pass]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with AsyncRerankClient(fleet.settings) as client:
        # This request opens the connections and reads the announced model, as a long-lived client has done before.
        await client.rerank("connect", ["and warm the way"])
        # A garbage collection over the corpus in this process would be counted as latency of the fleet.
        gc.freeze()
        with Progress(*columns, console=console) as progress:

            def bar(description: str) -> Callable[[], None]:
                shown = progress.add_task(description, total=len(tasks))
                return lambda: progress.advance(shown)

            cold = await run_pass(client, tasks, in_flight, bar("Reranking"))
            hot = await run_pass(client, tasks, in_flight, bar("Again, from the cache"))
        fused = await run_pass(client, tasks, in_flight, lambda: None, fusion="weighted")
    return cold, hot, fused


def _examples(cold: Pass, before: dict[str, float], after: dict[str, float]) -> list[TaskResult]:
    """Return of the questions whose nDCG@10 changed the largest gain, the median and the largest loss."""

    def gain(answer: TaskResult) -> float:
        return after[answer.task.question.id] - before[answer.task.question.id]

    ranked = sorted((answer for answer in cold.answers if gain(answer)), key=gain, reverse=True)
    return [ranked[place * (len(ranked) - 1) // 2] for place in range(3)] if ranked else []


def _batches(fleet: LocalFleet) -> Batches:
    """Return the workers' own batch histograms, summed over processes."""
    if (counts := fleet.supervisor.counts) is None:
        raise ConfigurationError("there was no memory for the workers to count their batches in; see the warning above")
    values = {(s.name, s.labels.get("le", "")): s.value for family in counts.collect() for s in family.samples}
    count = values["rerank_batch_pairs_count", ""]
    full = [float(le) for (name, le), v in values.items() if name == "rerank_batch_pairs_bucket" and v >= count]
    return Batches(
        count=int(count),
        pairs=values["rerank_batch_pairs_sum", ""],
        tokens=values["rerank_batch_tokens_sum", ""],
        largest_bucket=min(full),
    )
