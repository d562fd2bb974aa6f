"""Bugs to plant: the operators of Cosmic Ray, and one of our own that leaves a statement out."""

from __future__ import annotations

import ast
import difflib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.tree import Node, NodeOrLeaf

ROOT = Path(__file__).parents[2]
#: Operators whose mutants mean the same: of type unions, of identity against equality with None and with small numbers.
_IDLE = ("BitOr", "Eq_Is", "NotEq_IsNot", "Is_Eq", "IsNot_NotEq", "RemoveDecorator", "Variable", "ExceptionReplacer")

Where = tuple[tuple[int, int], tuple[int, int]]


class LeaveOut(Operator):  # type: ignore[misc]  # it ships no types
    """Leave a statement out: a raise, a return or a call whose result nobody uses; no ``return None`` at an end."""

    @classmethod
    def examples(cls) -> Sequence[object]:
        """None: see the tests."""
        return ()

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Where]:
        """Where such statements stand."""
        if node.type != "simple_stmt" or not isinstance(node, Node):
            return
        first = node.children[0]
        is_call = first.type in ("atom_expr", "power") and first.get_last_leaf().value == ")"
        returns = first.type == "return_stmt" or first.get_code().strip() == "return"
        if (first.type == "raise_stmt" or returns or is_call) and not _ends_anyway(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        """Put ``pass`` there."""
        prefix = node.get_first_leaf().prefix
        made = parso.parse("pass\n").children[0]
        made.get_first_leaf().prefix = prefix
        return made


def _ends_anyway(node: NodeOrLeaf) -> bool:
    """Whether a statement returns None where the function would end and return None."""
    if node.get_code().split("#")[0].split() not in (["return"], ["return", "None"]):
        return False
    inner, outer = node, node.parent
    while outer is not None and outer.type != "funcdef":
        follows = outer.children[-1] is not inner and outer.type == "suite"
        if follows or outer.type in ("for_stmt", "while_stmt"):
            return False
        inner, outer = outer, outer.parent
    return True


@dataclass(frozen=True)
class Mutant:
    """One planted bug.

    Attributes:
        module: path below the root.
        operator: its name.
        place: the function or method, ``Class.method``; empty outside of both.
        was: the lines that it changes, without their indentation.
        now: what stands there instead.
        line: where, from 1.
        code: the whole module with the bug.
    """

    module: str
    operator: str
    place: str
    was: str
    now: str
    line: int
    code: str

    def __str__(self) -> str:
        lines = [f"{self.module}:{self.line} {self.place} {self.operator}"]
        lines += [f"- {line}" for line in self.was.splitlines()]
        lines += [f"+ {line}" for line in self.now.splitlines()]
        return "\n".join(lines)


@cache
def _operators() -> dict[str, Operator]:
    names = [name for name in operator_names() if not any(part in name for part in _IDLE)]
    return {**{name: get_operator(name)() for name in names}, "LeaveOut": LeaveOut()}


@cache
def _tree(source: str) -> Node:
    found: Node = parso.parse(source)
    return found


def _places(source: str) -> dict[Where, list[tuple[str, int]]]:
    """Where something can be changed, and how: operators, each with the number of its occurrence."""
    lines, nodes = source.splitlines(), list(ast_nodes(_tree(source)))
    texts = [(node.start_pos, node.end_pos) for node in nodes if node.type == "fstring"]
    found: dict[Where, list[tuple[str, int]]] = {}
    for name, operator in _operators().items():
        positions = [where for node in nodes for where in operator.mutation_positions(node)]
        for occurrence, where in enumerate(positions):
            is_text = any(start <= where[0] < end for start, end in texts)  # what people read, not what holds
            if not is_text and not lines[where[0][0] - 1].startswith("@") and not _is_marker(source, where):
                found.setdefault(where, []).append((name, occurrence))
    return found


def _is_marker(source: str, where: Where) -> bool:
    """Whether it is the star or slash of a list of parameters, which the operators take for arithmetic."""
    leaf = _tree(source).get_leaf_for_position(where[0], include_prefixes=True)
    return leaf.value in ("*", "/") and leaf.parent.type in ("parameters", "param")


def _planted(module: str, source: str, name: str, occurrence: int) -> Mutant | None:
    code = mutate_code(source, _operators()[name], occurrence)
    if code is None or not _is_another_program(code, source):
        return None
    old, new = source.splitlines(), code.splitlines()
    changes = [
        change for change in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes() if change[0] != "equal"
    ]
    start, end = changes[0][1], changes[-1][2]
    was = "\n".join(line.strip() for line in old[start:end])
    now = "\n".join(line.strip() for line in new[changes[0][3] : changes[-1][4]])
    return Mutant(module, name.removeprefix("core/"), _place(source, start + 1), was, now, start + 1, code)


def _place(source: str, line: int) -> str:
    """The innermost function or class around a line, with what is around it."""
    leaf = _tree(source).get_leaf_for_position((line, len(source.splitlines()[line - 1])), include_prefixes=True)
    names, node = list[str](), leaf.parent
    while node is not None:
        if node.type in ("funcdef", "classdef"):
            names.insert(0, node.name.value)
        node = node.parent
    return ".".join(names)


def _is_another_program(code: str, source: str) -> bool:
    try:
        return ast.dump(ast.parse(code)) != ast.dump(ast.parse(source))  # 1e21 is also written 1e+21
    except SyntaxError:
        return False


def sample(modules: Sequence[str], count: int, chance: random.Random) -> list[Mutant]:
    """Choose places first and what is done there second, so that arithmetic does not crowd out the rest.

    Args:
        modules: paths below the root; one with more places gets more bugs.
        count: how many at most.
        chance: the source of choice.
    """
    sources = {module: (ROOT / module).read_text(encoding="utf-8") for module in modules}
    places = {(module, where): ways for module in modules for where, ways in _places(sources[module]).items()}
    chosen = chance.sample(sorted(places), min(count, len(places)))
    planted = [_planted(place[0], sources[place[0]], *chance.choice(places[place])) for place in chosen]
    return [mutant for mutant in planted if mutant is not None]


def can_be_planted(module: str, place: str, was: str, now: str) -> bool:
    """Whether some bug changes these lines of a module so.

    Args:
        module: path below the root.
        place: as of `Mutant`.
        was: the lines, without their indentation.
        now: what stands there instead.
    """
    wanted = was.splitlines()
    for source in _statements((ROOT / module).read_text(encoding="utf-8")):
        lines = [line.strip() for line in source.splitlines()]
        starts = [n for n in range(len(lines)) if lines[n : n + len(wanted)] == wanted]
        for (start, _), ways in _places(source).items() if starts else ():
            if any(n < start[0] <= n + len(wanted) for n in starts):
                planted = (_planted(module, source, *way) for way in ways)
                if any(mutant and (mutant.place, mutant.was, mutant.now) == (place, was, now) for mutant in planted):
                    return True
    return False


def _statements(source: str) -> Iterator[str]:
    """The classes, functions and other statements of a module: to change one of them takes less than to change all."""
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        first = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", ()))])
        yield "".join(lines[first - 1 : node.end_lineno])
