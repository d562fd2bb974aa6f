"""Names in an expression that stand for nothing: members that the document has not, variables, and functions.

Each is an error whenever it is evaluated, and CEL lets ``||``, ``&&``, ``exists`` and ``all`` pass over errors: a
misspelt name would switch a check off and nobody would see it. The engine gives no tree, so expressions that it
compiled are read here as far as it takes to know what each name is a member of.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from ledger.policy.engine import MACROS, split
from ledger.policy.examples import fine
from ledger.policy.fields import in_form

__all__ = ["FUNCTIONS", "METHODS", "TYPES", "unknown_name"]

#: Functions of the engine, those called on a value, and types by name; each is told by a test.
FUNCTIONS: Final = frozenset(
    {"bytes", "double", "duration", "dyn", "has", "int", "size", "string", "timestamp", "type", "uint"}
)
METHODS: Final = frozenset({
    "contains", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours",
    "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "matches", "size", "startsWith",
})  # fmt: skip
TYPES: Final = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"})
_CONSTANTS: Final = frozenset({"true", "false", "null"})
_OPERATORS: Final = frozenset("=!<>&|+-*/%?:") | {"in"}
_ENDS: Final = frozenset({"", ")", "]", "}", ","})
#: Members with names of their authors' own, and those with what events hold as it is.
_AUTHORS: Final = frozenset({"findings", "measurements", "metrics"})
#: What a value may be: a map as in the example, a list of one such item, text or number (nothing is in it) or anything.
_ANY: Final = object()
_PLAIN: Final = ""


class _UnknownError(Exception):
    """A name stands for nothing."""


@lru_cache(maxsize=1024)
def unknown_name(text: str, form: str) -> str:
    """Look whether every name in an expression stands for something.

    Args:
        text: the expression, which compiles.
        form: of the document, for example ``muniment.checks/v2``.

    Returns:
        The first name that does not, in words; empty when there is none. What is reached by a computed key, or through
        ``map``, ``dyn`` or ``? :``, is not looked at.
    """
    reader = _Reader(text, in_form(fine(), form))
    try:
        reader.expressions("")
    except _UnknownError as error:
        return str(error)
    except RecursionError:
        return "it is nested too deep to be read"
    return ""


def _literal(piece: str) -> str | None:
    """The text of a plain string."""
    text = piece[1:-1]
    return text if piece[0] in "\"'" and text.isidentifier() else None


def _inside(path: str, shape: Any) -> Any:
    """What an item of a list is, or a key of a map."""
    if isinstance(shape, list):
        return shape[0] if shape else _ANY
    if shape is _ANY or isinstance(shape, dict):
        return _ANY if shape is _ANY else _PLAIN
    raise _UnknownError(f"{path} is neither a list nor a map")


def _member(path: str, shape: Any, name: str) -> Any:
    if shape is _ANY:
        return _ANY
    if isinstance(shape, dict) and name in shape:
        return _ANY if name in _AUTHORS else shape[name]
    if isinstance(shape, dict):
        near = get_close_matches(name, shape, 1)
        rest = f"did you mean {near[0]}?" if near else f"there {'are' if len(shape) > 1 else 'is'} {', '.join(shape)}"
    elif isinstance(shape, list):
        rest = f"{path} is a list: ask exists, all, or [0]"
    else:
        rest = f"{path} has no members"
    raise _UnknownError(f"there is no {path}.{name}: {rest}")


def _no_function(name: str, where: str, there: frozenset[str]) -> str:
    near = get_close_matches(name, sorted(there), 1)
    rest = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(there))}"
    return f"there is no function {name}{where}: {rest}"


class _Reader:
    """Goes through the pieces of an expression, and knows of each operand what may be in it."""

    def __init__(self, text: str, document: dict[str, Any]) -> None:
        self._pieces = [*split(text), "", "", ""]
        self._at = 0
        self._names: dict[str, Any] = {"input": document}

    def expressions(self, end: str) -> list[Any]:
        """Read expressions up to a piece, and that piece: what each of them is."""
        found = []
        while self._pieces[self._at] != end:
            found.append(self._expression())
            if self._pieces[self._at] == ",":
                self._at += 1
        self._at += 1
        return found

    def _expression(self) -> Any:
        begin, found, before = self._at, _ANY, None
        while (piece := self._pieces[self._at]) not in _ENDS:
            at = self._at
            if piece in _OPERATORS:
                self._at += 1
                found = _ANY
                continue
            found = self._operand()
            if before is not None and self._pieces[at - 1] == "in" and isinstance(found, dict):
                _member(self._path(at), found, before)
            before = _literal(piece) if self._at == at + 1 else None
            found = found if at == begin else _ANY
        if self._at == begin:
            raise _UnknownError(f"it cannot be read from {piece or 'its end'} on")
        return found

    def _path(self, begin: int) -> str:
        return "".join(self._pieces[begin : self._at])[:200]

    def _operand(self) -> Any:
        begin, piece = self._at, self._pieces[self._at]
        self._at += 1
        if piece == "(":
            found = self.expressions(")")
            shape = found[0] if len(found) == 1 else _ANY
        elif piece in ("[", "{"):
            self.expressions("]" if piece == "[" else "}")
            shape = _ANY
        elif piece[-1] in "\"'" or piece[0].isdigit() or (piece[0] == "." and len(piece) > 1):
            shape = _PLAIN
        else:
            shape = self._named(piece)
        return self._followed(begin, shape)

    def _named(self, name: str) -> Any:
        if self._pieces[self._at] == "(":
            if name not in FUNCTIONS:
                raise _UnknownError(_no_function(name, "", FUNCTIONS))
            self._at += 1
            self.expressions(")")
            return _ANY
        if name in self._names:
            return self._names[name]
        if name in _CONSTANTS or name in TYPES:
            return _PLAIN
        raise _UnknownError(f"{name} stands for nothing: expressions look at input")

    def _followed(self, begin: int, shape: Any) -> Any:
        """What follows an operand: members, calls and indexes."""
        while (piece := self._pieces[self._at]) in (".", "["):
            path, at = self._path(begin), self._at + 1
            name = self._pieces[at]
            if piece == "[":
                self._at = at
                self.expressions("]")
                key = _literal(name) if self._at == at + 2 else None
                shape = self._indexed(path, shape) if key is None else _member(path, shape, key)
            elif self._pieces[at + 1] == "(":
                self._at = at + 2
                shape = self._called(path, shape, name)
            else:
                self._at = at + 1
                shape = _member(path, shape, name)
        return shape

    def _indexed(self, path: str, shape: Any) -> Any:
        return _ANY if isinstance(shape, dict) else _inside(path, shape)

    def _called(self, path: str, shape: Any, name: str) -> Any:
        if name in MACROS:
            names, variable = self._names, self._pieces[self._at]
            self._at += 2  # and the comma
            self._names = {**names, variable: _inside(path, shape)}
            self.expressions(")")
            self._names = names
            return shape if name == "filter" else _ANY
        if name not in METHODS:
            raise _UnknownError(_no_function(name, f" to call on {path}", METHODS | MACROS))
        self.expressions(")")
        return _ANY
