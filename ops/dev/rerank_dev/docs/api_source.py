"""What a package exports, read from its source without importing it: frameworks of adapters need not be installed.

Types stand as they are written, except that names which nobody can import are replaced by what they mean.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter or a field: its name with stars, its type and its default as source, "" where there is none."""

    name: str
    type: str
    default: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or a method. `options` begin where parameters can be given by name only."""

    name: str
    parameters: tuple[Slot, ...]
    options: tuple[Slot, ...]
    returns: str
    doc: str
    is_async: bool


@dataclass(frozen=True, slots=True)
class Class:
    """A class: its bases as source, what it is made of, and its public methods."""

    name: str
    bases: tuple[str, ...]
    doc: str
    fields: tuple[Slot, ...]
    made: Call | None
    methods: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a type, with the `#:` comment above it."""

    name: str
    value: str
    doc: str


Definition = Call | Class | Alias


class Source:
    """One module's source. `public` are the names that a type may keep."""

    def __init__(self, module: str, public: Collection[str] = ()) -> None:
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        self._text = Path(spec.origin).read_text(encoding="utf-8")
        self._tree = ast.parse(self._text)
        self._public = public
        self._values = {
            target.id: node.value
            for node in self._tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    @property
    def doc(self) -> str:
        """The module's docstring."""
        return ast.get_docstring(self._tree) or ""

    def exported(self) -> list[str]:
        """Return its `__all__`."""
        names: list[str] = ast.literal_eval(self._values["__all__"])
        return names

    def origins(self) -> dict[str, str]:
        """Return the module that each imported name comes from."""
        imports = [node for node in self._tree.body if isinstance(node, ast.ImportFrom)]
        return {alias.name: node.module or "" for node in imports for alias in node.names}

    def classes(self) -> list[Class]:
        """Return its public classes."""
        nodes = [node for node in self._tree.body if isinstance(node, ast.ClassDef)]
        return [self._class(node) for node in nodes if not node.name.startswith("_")]

    def calls(self) -> list[Call]:
        """Return its public functions."""
        nodes = [node for node in self._tree.body if isinstance(node, Function)]
        return [self._call(node) for node in nodes if not node.name.startswith("_")]

    def get(self, name: str) -> Definition:
        """Return the definition of a name, here or where this module imports it from."""
        for node in self._tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return self._class(node)
            if isinstance(node, Function) and node.name == name:
                return self._call(node)
        if name in (origins := self.origins()):
            return Source(origins[name], self._public).get(name)
        return Alias(name, ast.unparse(self._values[name]), self._comment(self._values[name].lineno))

    def _class(self, node: ast.ClassDef) -> Class:
        functions = [each for each in node.body if isinstance(each, Function)]
        made = next((each for each in functions if each.name == "__init__"), None)
        return Class(
            node.name,
            tuple(ast.unparse(base) for base in node.bases),
            ast.get_docstring(node) or "",
            tuple(self._fields(node)),
            None if made is None else self._call(made),
            tuple(self._call(each) for each in functions if not each.name.startswith("_")),
        )

    def _fields(self, node: ast.ClassDef) -> Iterator[Slot]:
        for each in node.body:
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                annotation = ast.unparse(each.annotation)
                if not (each.target.id.startswith("_") or annotation.startswith("ClassVar")):
                    yield Slot(each.target.id, self._type(each.annotation), self._default(each.value))

    def _call(self, node: Function) -> Call:
        given = node.args
        plain = [*given.posonlyargs, *given.args]
        defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
        slots = [self._slot(*pair) for pair in zip(plain, defaults, strict=True) if pair[0].arg not in ("self", "cls")]
        options = [self._slot(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
        options += [self._slot(each, None, "**") for each in [given.kwarg] if each is not None]
        returns = "" if node.returns is None else self._type(node.returns)
        doc = ast.get_docstring(node) or ""
        return Call(
            node.name,
            tuple(slots),
            tuple(options),
            returns,
            doc,
            isinstance(node, ast.AsyncFunctionDef) and not returns.startswith("AsyncGenerator"),
        )

    def _slot(self, argument: ast.arg, default: ast.expr | None, stars: str = "") -> Slot:
        annotation = "" if argument.annotation is None else self._type(argument.annotation)
        return Slot(stars + argument.arg, annotation, self._default(default))

    def _type(self, node: ast.expr) -> str:
        return ast.unparse(_Plain(self._values, self._public).visit(ast.parse(ast.unparse(node), mode="eval").body))

    def _default(self, node: ast.expr | None) -> str:
        """Return a default as source: of a constant its value, of pydantic's `Field` what it stands for."""
        if isinstance(node, ast.Name):
            node = self._values.get(node.id, node)
        if node is None:
            return ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field":
            if node.args:
                return ast.unparse(node.args[0])
            made = [keyword.value for keyword in node.keywords if keyword.arg == "default_factory"]
            return "[]" if made and ast.unparse(made[0]) == "list" else ""
        return re.sub(r"^'(.*)'$", r'"\1"', ast.unparse(node))

    def _comment(self, line: int) -> str:
        above = self._text.splitlines()[: line - 1]
        found: list[str] = []
        while above and above[-1].startswith("#:"):
            found.insert(0, above.pop().removeprefix("#:").strip())
        return " ".join(found)


class _Plain(ast.NodeTransformer):
    """A type without pydantic's constraints, and with what private names of types stand for."""

    def __init__(self, values: dict[str, ast.expr], public: Collection[str]) -> None:
        self._values = values
        self._public = public

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "Annotated" and isinstance(node.slice, ast.Tuple):
            found: ast.AST = self.visit(node.slice.elts[0])
            return found
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self._values and node.id not in self._public:
            found: ast.AST = self.visit(self._values[node.id])
            return found
        return node
