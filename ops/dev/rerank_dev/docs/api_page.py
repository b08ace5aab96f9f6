"""The public names as docs/api.md, made from signatures and docstrings so that it can't fall behind.

python -m rerank_dev.docs.api_page                       print the page
python -m rerank_dev.docs.api_page --write docs/api.md   write it
python -m rerank_dev.docs.api_page --check docs/api.md   exit with 1 if that would change anything
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rerank_dev.docs.api_source import Alias, Call, Class, Definition, Slot, Source
from rerank_shared.errors import RerankError

HEAD = """# The Python API

Written from signatures and docstrings by `python -m rerank_dev.docs.api_page`: change those. Names that end in `_ms`
are milliseconds, in `_s` seconds, in `_at` seconds since the epoch by the server's clock. Programs to start from are in
[examples/](../examples/README.md)."""
#: What is shown first; the rest by kind, in the order of `__all__`.
CLIENTS = ("RerankClient", "AsyncRerankClient")
#: The classes that have a page of their own, and where.
ELSEWHERE = {"Settings": "[settings.md](settings.md) lists every field."}
INTEGRATIONS = "rerank_producer.integrations"
#: Further packages that callers import from, in the order of their sections.
PACKAGES = ("rerank_producer.bulk", "rerank_producer.testing")
ADAPTERS = ("fields", "options", "langchain", "llama_index", "haystack", "frames", "ray_data", "spark", "daft")
#: Of these modules, the classes whose fields callers give.
_OPTIONS = {"fields": ("RequestFields",), "options": ("FleetOptions",)}
#: Characters of a signature that is shown with its types in one line.
SHORT = 110
#: A method of the asyncio client that is its twin's, awaited.
_AS = re.compile(r"see (\w+\.\w+)")


def render() -> str:
    """Return the page."""
    producer = exported("rerank_producer")
    shared = exported("rerank_shared")
    more = [each for each in shared if each.name not in {known.name for known in producer}]
    parts = [HEAD, *_producer(producer), "## rerank_shared", *_shared(more)]
    parts += [f"## {INTEGRATIONS}", paragraphs(Source(INTEGRATIONS).doc), *_adapters(producer)]
    for package in PACKAGES:
        parts += [f"## {package}", paragraphs(Source(package).doc), *_package(package, producer)]
    return "\n\n".join(part for part in parts if part) + "\n"


def exported(package: str) -> list[Definition]:
    """Return the definitions of what a package exports, without its errors and its version."""
    here = Source(package)
    origins, names = here.origins(), here.exported()
    errors = {error.__name__ for error in tree(RerankError)}
    return [Source(origins[name], names).get(name) for name in names if name not in errors and name[0].isalpha()]


def tree(root: type[RerankError]) -> Iterator[type[RerankError]]:
    """Yield an error and all that derive from it in the contract, parents first."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == root.__module__:
            yield from tree(child)


def _producer(names: Sequence[Definition]) -> Iterator[str]:
    classes = [each for each in names if isinstance(each, Class)]
    yield "## rerank_producer"
    yield "What callers import; everything on this page up to `rerank_shared` comes from here."
    yield "### Clients"
    for name in CLIENTS:
        yield from class_part(next(each for each in classes if each.name == name), methods=True)
    yield "### Functions"
    yield from (part for each in names if isinstance(each, Call) for part in call_part(each, "####"))
    yield "### What goes in and comes out"
    for each in classes:
        if each.name not in CLIENTS:
            yield from class_part(each)
    yield from _aliases(names)
    yield "### Errors"
    yield (
        "**retryable**: the same request, unchanged, may succeed later. The word in code is `error.code`, the name for "
        "metrics, logs and other languages."
    )
    yield "\n".join(error_lines(RerankError))


def _aliases(names: Sequence[Definition]) -> Iterator[str]:
    aliases = [each for each in names if isinstance(each, Alias)]
    yield "#### Names of types"
    yield "\n".join(["| name | stands for | |", "|---|---|---|", *(_alias_row(each) for each in aliases)])


def _alias_row(alias: Alias) -> str:
    return f"| `{alias.name}` | {_code(alias.value)} | {_cell(alias.doc)} |"


def _shared(more: Sequence[Definition]) -> Iterator[str]:
    yield (
        "The contract between producers and workers. It exports the errors, data and settings above as well, under the "
        "same names, and these:"
    )
    for each in more:
        yield from call_part(each, "####") if isinstance(each, Call) else class_part(each)


def _adapters(producer: Sequence[Definition]) -> Iterator[str]:
    public = [each.name for each in producer]
    for name in ADAPTERS:
        module = f"{INTEGRATIONS}.{name}"
        source = Source(module, public)
        yield f"### {module}"
        yield paragraphs(source.doc)
        for each in source.classes():
            # What adapters are made of is not for callers.
            if name not in _OPTIONS or each.name in _OPTIONS[name]:
                yield from class_part(each, methods=name not in _OPTIONS)
        for call in source.calls():
            yield from call_part(call, "####")


def _package(package: str, producer: Sequence[Definition]) -> Iterator[str]:
    public = {each.name for each in producer}
    names = [each for each in exported(package) if each.name not in public]
    for each in names:
        if isinstance(each, Class):
            yield from class_part(each, methods=True)
        elif isinstance(each, Call):
            yield from call_part(each, "####")
    if any(isinstance(each, Alias) for each in names):
        yield from _aliases(names)


def class_part(each: Definition, *, methods: bool = False) -> Iterator[str]:
    """Yield a class: its docstring, what it is made of, and if wanted each method."""
    assert isinstance(each, Class)
    yield f"#### {each.name}"
    yield paragraphs(each.doc)
    if each.name in ELSEWHERE:
        yield ELSEWHERE[each.name]
        return
    inherited = [base for base in each.bases if base in ("Document", "FleetOptions")]
    if inherited:
        yield f"Has the fields of `{inherited[0]}` too." if each.fields else f"Has the fields of `{inherited[0]}`."
    yield slots_table("field", each.fields)
    known: set[Slot] = set()
    if each.made is not None:
        yield _signature(each.made, each.name)
        yield from _parameters(each.made, known)
    if methods:
        twins = [call for call in each.methods if _AS.search(call.doc)]
        yield from _twins(twins)
        for call in each.methods:
            if call not in twins:
                yield from call_part(call, "#####", known)


def _twins(calls: Sequence[Call]) -> Iterator[str]:
    if calls:
        rows = (f"| `await client.{call.name}(...)` | {_code(call.returns)} | {_cell(call.doc)} |" for call in calls)
        yield "Parameters, answers and errors of these are those of the method that is named:"
        yield "\n".join(["| method | returns | |", "|---|---|---|", *rows])


def call_part(call: Call, heading: str, known: set[Slot] | None = None) -> Iterator[str]:
    """Yield a function: its signature, its docstring, and a table of those parameters that are not `known` yet."""
    yield f"{heading} {call.name}"
    yield _signature(call, call.name)
    yield paragraphs(call.doc)
    yield from _parameters(call, set() if known is None else known)


def _signature(call: Call, name: str) -> str:
    """Return a call as code: with its types where they fit a line, else without, over several lines if need be."""
    line = _typed(call, name)
    if not _is_short(call):
        before, returns = _around(call, name)
        shown = [_assigned(slot) for slot in call.parameters]
        shown += [*_star(call), *(_assigned(slot) for slot in call.options)]
        line = f"{before}({', '.join(shown)}){returns}"
        if len(line) > SHORT:
            line = f"{before}(\n{_wrapped(shown)}\n){returns}"
    return f"```python\n{line}\n```"


def _is_short(call: Call) -> bool:
    return len(_typed(call, call.name)) <= SHORT


def _typed(call: Call, name: str) -> str:
    before, returns = _around(call, name)
    shown = [_declared(slot) for slot in call.parameters]
    return f"{before}({', '.join([*shown, *_star(call), *(_declared(slot) for slot in call.options)])}){returns}"


def _around(call: Call, name: str) -> tuple[str, str]:
    returns = f" -> {call.returns}" if call.returns not in ("", "None") else ""
    return f"{'await ' if call.is_async else ''}{name}", returns


def _star(call: Call) -> list[str]:
    return ["*"] if call.options and not call.options[0].name.startswith("**") else []


def _assigned(slot: Slot) -> str:
    return f"{slot.name}={slot.default}" if slot.default else slot.name


def _declared(slot: Slot) -> str:
    typed = f"{slot.name}: {slot.type}" if slot.type else slot.name
    return f"{typed} = {slot.default}" if slot.default else typed


def _wrapped(shown: Iterable[str]) -> str:
    lines = [""]
    for each in shown:
        if lines[-1] and len(lines[-1]) + len(each) > 90:
            lines.append("")
        lines[-1] += f" {each}," if lines[-1] else f"{each},"
    return "\n".join(f"    {line}" for line in lines)


def _parameters(call: Call, known: set[Slot]) -> Iterator[str]:
    if _is_short(call):
        return
    slots = [*call.parameters, *call.options]
    new = [slot for slot in slots if slot not in known]
    if known and len(slots) - len(new) > 2:
        yield "Parameters are as those of the methods above."
    known.update(slots)
    yield slots_table("parameter", new)


def slots_table(kind: str, slots: Sequence[Slot]) -> str:
    """Return parameters or fields as a table, "" for none."""
    if not slots:
        return ""
    rows = (f"| `{slot.name}` | {_code(slot.type)} | {_code(slot.default)} |" for slot in slots)
    return "\n".join([f"| {kind} | type | default |", "|---|---|---|", *rows])


def error_lines(error: type[RerankError], depth: int = 0) -> Iterator[str]:
    """Yield an error and those below it as a nested list."""
    flag = ", **retryable**" if error.retryable else ""
    doc = _cell(error.__doc__ or "").replace(r"\|", "|")
    yield f"{'  ' * depth}- **{error.__name__}** (`{error.code}`{flag}): {doc}"
    for child in error.__subclasses__():
        if child.__module__ == error.__module__:
            yield from error_lines(child, depth + 1)


def paragraphs(doc: str) -> str:
    """Return a docstring as Markdown: what it raises stands out."""
    return re.sub(r"(^|\s)Raises (?=\w)", r"\1**Raises** ", doc.strip())


def _code(source: str) -> str:
    return f"`{source}`".replace("|", r"\|") if source else ""


def _cell(doc: str) -> str:
    return " ".join(doc.split()).replace("|", r"\|")


def main(arguments: list[str] | None = None) -> int:
    """Print, write or check the page; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.docs.api_page", description="The page of the API.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", type=Path, metavar="FILE", help="exit with 1 if FILE is out of date")
    what.add_argument("--write", type=Path, metavar="FILE", help="bring FILE up to date")
    chosen = parser.parse_args(arguments)
    wanted = render()
    if chosen.write is not None:
        chosen.write.write_text(wanted, encoding="utf-8")
    elif chosen.check is None:
        print(wanted, end="")
    elif not chosen.check.is_file() or chosen.check.read_text(encoding="utf-8") != wanted:
        command = f"python -m rerank_dev.docs.api_page --write {chosen.check}"
        print(f"error: {chosen.check}: out of date, run {command}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
