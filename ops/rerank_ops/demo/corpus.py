"""Corpus of the demo: chooses the docstrings of Python's standard library that become passages, and their names.

The corpus comes from the running Python, so it needs no download and differs a little between versions. Each object
appears once, under the name that users type; the order is always the same. Building imports public modules and must
leave no output, warning or thread behind. A hook that the process has replaced (`sys.excepthook`) is left out.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType

MAX_BODY_CHARS = 340
MIN_BODY_CHARS = 10

# fmt: off
SKIPPED_MODULES = frozenset([
    # These open a window, a browser or a prompt on import, or belong to another platform, or duplicate a better name.
    "antigravity", "this", "idlelib", "turtle", "turtledemo", "tkinter", "test", "ensurepip", "pydoc_data",
    "readline", "rlcompleter", "doctest", "pdb", "nt", "msvcrt", "msilib", "winreg", "winsound", "posix",
    "posixpath", "ntpath", "genericpath", "nturl2path", "pyexpat", "opcode", "sre_compile", "sre_constants",
    "sre_parse",
    # Python 3.13 removed these.
    "aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr",
    "imp", "lib2to3", "mailcap", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd",
    "sunau", "telnetlib", "uu", "xdrlib",
])
PUBLIC_SUBMODULES = (
    "collections.abc", "concurrent.futures", "curses.ascii", "curses.panel", "curses.textpad",
    "email.generator", "email.header", "email.headerregistry", "email.message", "email.mime.multipart",
    "email.mime.text", "email.parser", "email.policy", "email.utils", "html.entities", "html.parser",
    "http.client", "http.cookiejar", "http.cookies", "http.server", "importlib.abc", "importlib.machinery",
    "importlib.metadata", "importlib.resources", "importlib.util", "json.tool", "logging.config",
    "logging.handlers", "multiprocessing.connection", "multiprocessing.managers", "multiprocessing.pool",
    "multiprocessing.shared_memory", "multiprocessing.synchronize", "os.path", "unittest.mock",
    "urllib.error", "urllib.parse", "urllib.request", "urllib.robotparser", "wsgiref.handlers",
    "wsgiref.headers", "wsgiref.simple_server", "wsgiref.util", "wsgiref.validate", "xml.dom",
    "xml.dom.minidom", "xml.etree.ElementTree", "xml.parsers.expat", "xml.sax", "xml.sax.handler",
    "xml.sax.saxutils", "xmlrpc.client", "xmlrpc.server",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Passage:
    """A document to rank. `id` is the dotted name that users type, `text` that name and the start of its docstring."""

    id: str
    text: str


def stdlib_passages() -> list[Passage]:
    """Build the corpus of the running Python, sorted by id. Modules that this build of Python lacks are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = dict(_public_modules())
        named = [*_module_members(modules)]
        public_classes = {obj for name, obj in named if isinstance(obj, type) and name.endswith(obj.__name__)}
        named += [
            pair for name, obj in named if isinstance(obj, type) for pair in _class_members(name, obj, public_classes)
        ]
        texts: dict[str, str] = {name: text for name, obj in _first_names(named) if (text := _text(name, obj))}
        texts |= {name: text for name, module in modules.items() if (text := _text(name, module))}
    return [Passage(id=name, text=texts[name]) for name in sorted(texts)]


def _public_modules() -> Iterator[tuple[str, ModuleType]]:
    """Yield public modules, `builtins` first, because its members have their bare names only."""
    top = sorted(n for n in sys.stdlib_module_names if not n.startswith("_") and n not in SKIPPED_MODULES)
    for name in ("builtins", *sorted({*top, *PUBLIC_SUBMODULES} - {"builtins"})):
        try:
            yield name, importlib.import_module(name)
        except ImportError:
            continue  # an optional part (sqlite3, curses, ...) that this Python was built without


def _module_members(modules: dict[str, ModuleType]) -> Iterator[tuple[str, object]]:
    """Yield public classes and functions by name: defining modules before re-exports, own names before aliases."""
    found: list[tuple[bool, bool, str, object]] = []
    for module_name, module in modules.items():
        prefix = "" if module_name == "builtins" else f"{module_name}."
        exported = getattr(module, "__all__", None)
        for name in sorted(exported or vars(module)):
            obj = getattr(module, name, None)
            if name.startswith("_") or not (inspect.isclass(obj) or inspect.isroutine(obj)) or _is_foreign(obj):
                continue
            at_home = not prefix or _defined_in(module_name, obj)
            if exported is not None or at_home:
                found.append((not at_home, name != getattr(obj, "__name__", ""), prefix + name, obj))
    for *_, dotted_name, obj in sorted(found, key=lambda item: item[:2]):
        yield dotted_name, obj


def _defined_in(module_name: str, obj: object) -> bool:
    """Return whether the module, its private C counterpart (`_socket`) or a part of its package defines the object."""
    home = str(getattr(obj, "__module__", None) or "")
    return home.removeprefix("_") == module_name or home.startswith(f"{module_name}.")


def _is_foreign(obj: object) -> bool:
    """Return whether another library put the object there, as test runners and consoles do with hooks."""
    home = getattr(obj, "__module__", None)
    return isinstance(home, str) and home.partition(".")[0] not in sys.stdlib_module_names


def _class_members(class_name: str, cls: type, public_classes: set[type]) -> Iterator[tuple[str, object]]:
    """Yield the methods and properties that the class or its private bases define, without those of public bases."""
    inherited = {owner for base in cls.__mro__[1:] if base in public_classes for owner in base.__mro__}
    members: dict[str, object] = {}
    for owner in reversed(cls.__mro__):
        if owner not in inherited:
            members |= vars(owner)
    for name, member in sorted(members.items()):
        obj = _unwrapped(member)
        if not name.startswith("_") and (inspect.isroutine(obj) or isinstance(obj, property)):
            yield f"{class_name}.{name}", obj


def _first_names(named: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    """Yield each object once, under its first name."""
    seen: set[int] = set()
    for name, obj in named:
        key = id(_unwrapped(obj))
        if key not in seen:
            seen.add(key)
            yield name, obj


def _unwrapped(obj: object) -> object:
    """Return the plain function behind a bound method (`random.choice`), a classmethod or a staticmethod."""
    return getattr(obj, "__func__", obj)


def _text(name: str, obj: object) -> str:
    """Return heading and body, or an empty string for a docstring too short to rank."""
    body = _head_of(inspect.cleandoc(_own_doc(obj)))
    return f"{_heading(name, obj)}\n{body}" if len(body) >= MIN_BODY_CHARS else ""


def _own_doc(obj: object) -> str:
    """Return the object's docstring, never an inherited one; a class without any may document its `__init__`."""
    doc = vars(obj).get("__doc__") if isinstance(obj, type) else getattr(obj, "__doc__", None)
    if doc is None and isinstance(obj, type):
        init = vars(obj).get("__init__")
        doc = init.__doc__ if inspect.isfunction(init) else None
    return doc if isinstance(doc, str) else ""


def _heading(name: str, obj: object) -> str:
    """Return the name alone: parameters cost tokens in each scoring and did not improve the ranking."""
    if inspect.ismodule(obj):
        return f"module {name}"
    return f"class {name}" if isinstance(obj, type) else name


def _head_of(doc: str) -> str:
    """Return the prose of a docstring, cut at a whole word within `MAX_BODY_CHARS`; examples are left out."""
    paragraphs = [" ".join(p.split()) for p in doc.split("\n\n") if not p.lstrip().startswith(">>>")]
    prose = " ".join(p for p in paragraphs if p)
    if len(prose) <= MAX_BODY_CHARS:
        return prose
    return prose[:MAX_BODY_CHARS].rsplit(" ", 1)[0]
