"""Bugs planted into copies of the code that everything rests on: do the tests see them?

The operators are those of Cosmic Ray, and one of our own that leaves a statement out.
"""

from __future__ import annotations

import difflib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.tree import Node, NodeOrLeaf

from tests.faults.scorecard import Result

ROOT = Path(__file__).parents[2]
#: What the copies hold.
COPIED = (
    "pyproject.toml",
    "muniment",
    "ledger",
    "projections",
    "cli",
    "tests",
    "schemas",
    "docs",
    "README.md",
    "tools",
)

_UNIT = "tests/unit"
_LOG = ("tests/contract/test_verification.py", "tests/contract/test_tamper.py", "tests/contract/test_hostile.py")
_RULES = (
    *("tests/unit/test_judge.py", "tests/unit/test_keyring.py", _UNIT, "tests/contract/test_keyring.py"),
    *("tests/contract/test_hostile.py", "tests/contract/test_append.py", "tests/cli/test_keyring.py"),
)
#: Modules and the tests that are asked, the quick ones first.
MODULES: dict[str, tuple[str, ...]] = {
    "ledger/merkle.py": ("tests/unit/test_merkle.py", _UNIT, "tests/attacks/test_proofs.py"),
    "ledger/proof.py": ("tests/unit/test_proof.py", _UNIT, "tests/attacks/test_proofs.py"),
    "ledger/checkpoint.py": ("tests/unit/test_checkpoint.py", _UNIT, "tests/foreign/test_go.py"),
    "ledger/envelope.py": ("tests/unit/test_envelope.py", _UNIT, *_LOG),
    "ledger/entry.py": ("tests/unit/test_entry.py", _UNIT, *_LOG),
    "ledger/replay.py": ("tests/unit/test_replay.py", _UNIT, *_LOG),
    "ledger/verify.py": ("tests/contract/test_verification.py", *_LOG, "tests/cli/test_verify.py"),
    "ledger/auditpass.py": ("tests/contract/test_verification.py", *_LOG),
    "ledger/segment.py": ("tests/contract/test_verification.py", *_LOG),
    "ledger/endcheck.py": ("tests/contract/test_verification.py", *_LOG),
    "ledger/headcheck.py": ("tests/contract/test_verification.py", *_LOG),
    "ledger/domain/judge.py": _RULES,
    "ledger/domain/authority.py": _RULES,
    "ledger/domain/signing.py": _RULES,
    "ledger/domain/enrolment.py": _RULES,
    "ledger/domain/roles.py": _RULES,
    "ledger/domain/evolution.py": _RULES,
    "ledger/domain/actors.py": _RULES,
    "ledger/domain/keyring.py": _RULES,
    "ledger/domain/suspicion.py": _RULES,
    "ledger/domain/scopes.py": _RULES,
    "ledger/domain/decisions.py": _RULES,
}
#: Operators whose mutants mean the same: of type unions, of identity against equality with None and with small numbers.
_IDLE = ("BitOr", "Eq_Is", "NotEq_IsNot", "Is_Eq", "IsNot_NotEq", "RemoveDecorator", "Variable", "ExceptionReplacer")
#: Seconds after which a test run counts as hung, that is: as one that saw something.
_PATIENCE = 300


class LeaveOut(Operator):  # type: ignore[misc]  # it ships no types
    """Leave a statement out: a raise, a return or a call whose result nobody uses."""

    @classmethod
    def examples(cls) -> Sequence[object]:
        """None: see the tests."""
        return ()

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Where such statements stand."""
        if node.type != "simple_stmt" or not isinstance(node, Node):
            return
        first = node.children[0]
        is_call = first.type in ("atom_expr", "power") and first.get_last_leaf().value == ")"
        if first.type in ("raise_stmt", "return_stmt") or is_call:
            yield node.start_pos, node.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        """Put ``pass`` there."""
        prefix = node.get_first_leaf().prefix
        made = parso.parse("pass\n").children[0]
        made.get_first_leaf().prefix = prefix
        return made


@dataclass(frozen=True)
class Mutant:
    """One planted bug."""

    module: str
    operator: str
    diff: str
    code: str


def _operators() -> dict[str, Operator]:
    names = [name for name in operator_names() if not any(part in name for part in _IDLE)]
    return {**{name: get_operator(name)() for name in names}, "LeaveOut": LeaveOut()}


def sample(module: str, count: int, chance: random.Random) -> list[Mutant]:
    """Choose places first and what is done there second, so that arithmetic does not crowd out the rest.

    Args:
        module: path below the root.
        count: how many at most.
        chance: the source of choice.
    """
    source = (ROOT / module).read_text(encoding="utf-8")
    tree, operators = parso.parse(source), _operators()
    places: dict[tuple[tuple[int, int], tuple[int, int]], list[tuple[str, int]]] = {}
    texts = [(node.start_pos, node.end_pos) for node in ast_nodes(tree) if node.type == "fstring"]
    for name, operator in operators.items():
        positions = [where for node in ast_nodes(tree) for where in operator.mutation_positions(node)]
        for occurrence, where in enumerate(positions):
            if not any(start <= where[0] < end for start, end in texts):  # what people read, not what holds
                places.setdefault(where, []).append((name, occurrence))
    found = []
    lines = source.splitlines()
    worth = [where for where in sorted(places) if not lines[where[0][0] - 1].startswith("@")]
    for where in chance.sample(worth, min(count, len(worth))):
        name, occurrence = chance.choice(places[where])
        code = mutate_code(source, operators[name], occurrence)
        if code is None or not _compiles(code):
            continue
        changed = difflib.unified_diff(lines, code.splitlines(), lineterm="", n=0)
        diff = "\n".join(line for line in changed if not line.startswith(("---", "+++")))
        found.append(Mutant(module, name.removeprefix("core/"), diff, code))
    return found


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec")
    except SyntaxError:
        return False
    return True


class Copy:
    """A copy of the tree in which bugs are planted, one at a time.

    Args:
        folder: an empty place, which is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
            else:
                shutil.copy2(source, folder / name)

    def passes(self, tests: Sequence[str]) -> bool:
        """Whether all tests pass here; SQLite's alone, which is enough for code that knows no backend."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not postgres", *tests]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, timeout=_PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def is_itself(self) -> bool:
        """Whether Python takes the modules from here and not from where they are installed."""
        script = "import ledger; print(ledger.__file__)"
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.startswith(str(self.folder))

    def sees(self, mutant: Mutant) -> bool:
        """Whether some test fails with the bug."""
        path = self.folder / mutant.module
        good = path.read_text(encoding="utf-8")
        path.write_text(mutant.code, encoding="utf-8")
        try:
            return not all(self.passes([tests]) for tests in dict.fromkeys(MODULES[mutant.module]))
        finally:
            path.write_text(good, encoding="utf-8")


def planted_bugs(folder: Path, count: int, seed: int, workers: int = 2) -> Result:
    """Plant bugs in every module of `MODULES`, spread evenly.

    Args:
        folder: an empty place for copies of the tree.
        count: how many in all.
        seed: of the choice.
        workers: test runs at a time.
    """
    result, chance = Result.counting("less than 95 % seen"), random.Random(seed)
    each = max(1, count // len(MODULES))
    mutants = [mutant for module in MODULES for mutant in sample(module, each, chance)]
    copies: Queue[Copy] = Queue()
    for number in range(workers):
        copies.put(Copy(folder / str(number)))
    first = copies.get()
    if not first.is_itself():
        raise RuntimeError("the copy's modules are not the ones that its tests would import")
    for tests in {tests for stages in MODULES.values() for tests in stages}:
        if not first.passes([tests]):
            raise RuntimeError(f"{tests} fails, or takes too long, in a copy without any planted bug")
    copies.put(first)

    def look(mutant: Mutant) -> bool:
        copy = copies.get()
        try:
            return copy.sees(mutant)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(workers) as pool:
        seen = list(pool.map(look, mutants))
    result.n = len(mutants)
    result.figures = {"seen": sum(seen)}
    for mutant, was_seen in zip(mutants, seen, strict=True):
        if not was_seen:
            result.failures.append(f"survived: {mutant.module} {mutant.operator}\n{mutant.diff}")
    if sum(seen) < 0.95 * len(mutants):
        result.failed("less than 95 % seen", f"{sum(seen)} of {len(mutants)}")
    return result
