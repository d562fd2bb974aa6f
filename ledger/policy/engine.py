"""CEL, the Common Expression Language: compiled and run by a library, and by nothing but values.

Every error is a failure of the check: an expression that does not say true has not said true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from ledger.errors import ConfigurationError, InputError

__all__ = ["MACROS", "EvaluationError", "compile_expression", "engine_name", "run_expression", "split", "takes_little"]

_DISTRIBUTION = "common-expression-language"


class EvaluationError(Exception):
    """An expression could not be evaluated, or gave something else than true or false."""


def _library() -> Any:
    try:
        import cel  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "policies need a CEL engine, which is not installed", hint="pip install 'muniment[gates]'"
        ) from error
    return cel


def engine_name() -> str:
    """Name and version of what evaluates expressions."""
    _library()
    return f"{_DISTRIBUTION} {version(_DISTRIBUTION)}"


#: Macros that go through a list.
MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "filter", "map"})
#: How deep they may stand within one another: what they cost is the product of the lists' lengths.
_MAX_NESTED = 2
#: Items of a list that may be gone through for each of its items: a second's work at most.
_SHORT = 1000
#: What an expression is made of, so far as its depth and its names go. A string or a comment hides what stands in it,
#: so each must end where the engine ends it: raw strings have no escapes, and comments end at a line feed only.
_PIECE = re.compile(
    r"""
    //[^\n]*
    | [bB]?[rR](?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\n\r]*" | '[^'\n\r]*' )
    | [bB]?(?: \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3} | "(?:\\.|[^"\\\n\r])*" | '(?:\\.|[^'\\\n\r])*' )
    | [A-Za-z_][A-Za-z0-9_]*
    | 0[xX][0-9a-fA-F]+[uU]? | \d+[eE][+-]?\d+ | \d*\.\d+(?:[eE][+-]?\d+)? | \d+[uU]?
    | [^\s]
    """,
    re.DOTALL | re.VERBOSE,
)


def split(text: str) -> Iterator[str]:
    """The names, numbers, strings and signs of an expression, in order."""
    return (piece for piece in _PIECE.findall(text) if not piece.startswith("//"))


def takes_little(text: str, longest: int) -> bool:
    """Whether an expression can take no more time and memory than some passes over its input.

    It makes no list out of another, joins nothing to itself, and goes through lists within lists only where these are
    short.

    Args:
        text: the expression.
        longest: how many items the longest list or map of the input has.
    """
    return (longest <= _SHORT or _nested(text) <= 1) and not {"map", "+"}.intersection(split(text))


def _nested(text: str) -> int:
    """How deep macros that go through a list stand within one another."""
    opened: list[bool] = []
    deepest, before = 0, ""
    for piece in split(text):
        if piece == "(":
            opened.append(before in MACROS)
            deepest = max(deepest, sum(opened))
        elif piece == ")" and opened:
            opened.pop()
        before = piece
    return deepest


@lru_cache(maxsize=1024)
def compile_expression(text: str) -> Any:
    """Compile an expression over ``input``.

    Raises:
        InputError: it does not compile, names nothing of ``input``, or goes through lists within lists within lists.
    """
    if _nested(text) > _MAX_NESTED:
        raise InputError(
            f"the expression {text[:80]!r} goes through lists within lists too deep",
            hint="At most two, one in another.",
        )
    try:
        program = _library().compile(text)
    except ConfigurationError:
        raise
    except Exception as error:
        raise InputError(f"the expression {text[:80]!r} does not compile: {error}") from error
    if "input" not in program.variables():
        raise InputError(f"the expression {text[:80]!r} does not look at the input")
    return program


def run_expression(text: str, document: dict[str, Any]) -> bool:
    """Evaluate an expression.

    Args:
        text: a CEL expression over ``input``.
        document: what ``input`` is.

    Raises:
        EvaluationError: it failed, or gave neither true nor false.
    """
    try:
        found = compile_expression(text).execute({"input": document})
    except ConfigurationError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        # Also what a panic of the engine's own language raises, which is no Exception.
        raise EvaluationError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    if not isinstance(found, bool):
        raise EvaluationError(f"it gave {type(found).__name__}, and not true or false")
    return found
