"""The lessons as their tests read them: cells of prose, cells of code, and what names mean without running anything."""

import ast
import builtins
import importlib
import inspect
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LESSONS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@dataclass(frozen=True)
class Lesson:
    """A notebook's cells by their numbers: prose, and code as syntax."""

    name: str
    prose: Mapping[int, str]
    code: Mapping[int, ast.Module]


def read_lesson(path: Path) -> Lesson:
    cells = list(enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]))
    text = {number: "".join(cell["source"]) for number, cell in cells}
    prose = {number: text[number] for number, cell in cells if cell["cell_type"] == "markdown"}
    return Lesson(path.stem, prose, {n: ast.parse(text[n]) for n, cell in cells if cell["cell_type"] == "code"})


# --- what names mean -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """An object itself: a module, a function, a class, a constant."""

    value: Any


@dataclass(frozen=True)
class Of:
    """Something of a class."""

    kind: type


@dataclass(frozen=True)
class Anything:
    """Something of which nothing is known."""


Meaning = Known | Of | Anything


class CannotRun(Exception):
    """Code that no reader could run after the lesson, and why."""


@dataclass
class Names:
    """What the names of a lesson mean after its cells have run, as far as that can be told without running them."""

    names: dict[str, Meaning] = field(default_factory=dict)

    def learn(self, tree: ast.AST) -> None:
        """Take in what statements bind, in their order."""
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")
                    self.names[alias.asname or alias.name] = Known(getattr(module, alias.name))
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
                    whole = alias.name if alias.asname else alias.name.split(".")[0]
                    self.names[alias.asname or whole] = Known(importlib.import_module(whole))
            elif isinstance(node, ast.Assign | ast.NamedExpr):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    self._bind(target, node.value)
            elif isinstance(node, ast.For | ast.comprehension | ast.withitem | ast.AugAssign):
                target = node.optional_vars if isinstance(node, ast.withitem) else node.target
                for name in _stored(target) if target else ():
                    self.names.setdefault(name, Anything())

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, its in zip(target.elts, value.elts, strict=True):
                self._bind(one, its)
        elif isinstance(target, ast.Name):
            self.names[target.id] = self.meaning(value, strict=False)
        else:
            self.names.update(dict.fromkeys(_stored(target), Anything()))

    def meaning(self, node: ast.expr, strict: bool = True) -> Meaning:
        """What an expression means; ``strict`` raises CannotRun for names, attributes and arguments that are not."""
        if isinstance(node, ast.Name):
            return self._of_name(node.id, strict)
        if isinstance(node, ast.Constant):
            return Known(node.value)
        if isinstance(node, ast.Attribute):
            return _attribute(self.meaning(node.value, strict), node.attr, strict)
        if isinstance(node, ast.Call):
            called = self.meaning(node.func, strict)
            inside = [self.meaning(part, strict) for part in (*node.args, *(word.value for word in node.keywords))]
            if strict:
                _check_arguments(called, node, ast.unparse(node.func))
            return _returned(called) if inside is not None else Anything()
        if strict:
            for part in ast.iter_child_nodes(node):
                self._look_into(part)
        return _literal(node)

    def _of_name(self, name: str, strict: bool) -> Meaning:
        if name in self.names:
            return self.names[name]
        if hasattr(builtins, name):
            return Known(getattr(builtins, name))
        if strict:
            raise CannotRun(f"nothing is called {name}")
        return Anything()

    def _look_into(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr):
            self.meaning(node)
        else:
            for part in ast.iter_child_nodes(node):
                self._look_into(part)

    def run(self, tree: ast.Module) -> None:
        """Raises CannotRun for statements that would fail for a name, an attribute or an argument; learns the rest."""
        own = Names(dict(self.names))
        for node in ast.walk(tree):  # variables of comprehensions and loops live inside
            if isinstance(node, ast.comprehension | ast.For):
                own.names.update(dict.fromkeys(_stored(node.target), Anything()))
            if isinstance(node, ast.Lambda):
                own.names.update(dict.fromkeys((one.arg for one in node.args.args), Anything()))
        for statement in tree.body:
            if isinstance(statement, ast.Assign):
                own._look_into(statement.value)
            elif not isinstance(statement, ast.Import | ast.ImportFrom):
                own._look_into(statement)
            own.learn(statement)
            self.learn(statement)


def _stored(target: ast.AST) -> Iterator[str]:
    return (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _literal(node: ast.expr) -> Meaning:
    kinds = {
        ast.List: list,
        ast.ListComp: list,
        ast.Dict: dict,
        ast.DictComp: dict,
        ast.Tuple: tuple,
        ast.JoinedStr: str,
    }
    kind = kinds.get(type(node))
    return Of(kind) if kind else Anything()


def _attribute(owner: Meaning, name: str, strict: bool) -> Meaning:
    if isinstance(owner, Known):
        if isinstance(owner.value, types.ModuleType) and not hasattr(owner.value, name):
            with_it = f"{owner.value.__name__}.{name}"
            if not hasattr(owner.value, "__path__"):
                return _lacking(owner, name)
            return (
                Known(importlib.import_module(with_it)) if importlib.util.find_spec(with_it) else _lacking(owner, name)
            )
        if hasattr(owner.value, name):
            return Known(getattr(owner.value, name))
        return _lacking(owner, name) if strict else Anything()
    if isinstance(owner, Of):
        found = inspect.getattr_static(owner.kind, name, None)
        if isinstance(found, property) and found.fget:
            return _returned(Known(found.fget))
        if found is not None:
            return Known(types.MethodType(found, object())) if inspect.isfunction(found) else Anything()
        if _sets(owner.kind, name) or hasattr(owner.kind, "__getattr__") or not strict:
            return Anything()
        return _lacking(owner, name)
    return Anything()


def _sets(kind: type, name: str) -> bool:
    """True if instances of a class have an attribute that the class itself has not."""
    if any(name in vars(one).get("__annotations__", {}) for one in kind.__mro__):
        return True
    sources = (inspect.getsource(one) for one in kind.__mro__ if one.__module__.split(".")[0] == "bfkit")
    return any(re.search(rf"self\.{name}\b", source) for source in sources)


def _lacking(owner: Known | Of, name: str) -> Meaning:
    what = owner.kind.__name__ if isinstance(owner, Of) else getattr(owner.value, "__name__", repr(owner.value))
    raise CannotRun(f"{what} has no {name}")


def _returned(called: Meaning) -> Meaning:
    if not isinstance(called, Known):
        return Anything()
    if isinstance(called.value, type):
        return Of(called.value)
    try:
        kind = typing.get_type_hints(called.value).get("return")
    except (NameError, TypeError, AttributeError):
        return Anything()
    kind = typing.get_origin(kind) or kind
    return Of(kind) if isinstance(kind, type) and kind.__module__ != "types" else Anything()


def _check_arguments(called: Meaning, node: ast.Call, name: str) -> None:
    left_open = any(isinstance(part, ast.Constant) and part.value is ... for part in node.args)
    spread = any(isinstance(part, ast.Starred) for part in node.args) or any(word.arg is None for word in node.keywords)
    if not isinstance(called, Known) or left_open or spread:
        return
    try:
        signature = inspect.signature(called.value)
    except (TypeError, ValueError):  # of a builtin that does not say
        if not callable(called.value):
            raise CannotRun(f"{name} cannot be called") from None
        return
    try:
        signature.bind(*node.args, **{word.arg: word for word in node.keywords if word.arg})
    except TypeError as error:
        raise CannotRun(f"{name}: {error}") from None
