"""How bugs are planted and counted; that the tests find them takes the campaign."""

from __future__ import annotations

import ast
import random
import time
from collections import Counter

import parso
import pytest
from cosmic_ray.ast import ast_nodes

from tests.attacks.mutants import BACKENDS, Asked, Copy, Explanation, Limits, Seen, explanations, judged
from tests.attacks.planting import ROOT, LeaveOut, Mutant, can_be_planted, sample
from tests.attacks.targets import MODULES, NAMED, OTHERS

MERKLE = "ledger/merkle.py"
TESTS = "tests/unit/test_proof.py"


def bug(was: str, now: str, module: str = MERKLE) -> Mutant:
    source = (ROOT / module).read_text()
    assert source.count(was) == 1
    return Mutant(module, "by hand", "", was, now, 1, source.replace(was, now))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("mutants") / "copy")


class Fixed(Limits):
    """Limits that nobody measured."""

    def __init__(self, seconds: float = 60.0, backends: tuple[str, ...] = BACKENDS[:1]) -> None:
        super().__init__(backends)
        self.seconds = seconds

    def of(self, copy: Copy, tests: str, backend: str) -> float:
        return self.seconds

    def again(self, copy: Copy, tests: str, backend: str) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def only_merkle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, MERKLE, (TESTS,))


def test_every_module_of_the_ledger_has_a_row_or_is_left_out_by_name():
    tree = {f"ledger/{path.name}" for path in (ROOT / "ledger").glob("*.py")}
    rules = {f"ledger/domain/{path.name}" for path in (ROOT / "ledger/domain").glob("*.py")}
    assert set(MODULES) | OTHERS == (tree | rules)
    assert not set(MODULES) & OTHERS
    assert {name for name in OTHERS if name.startswith("ledger/domain/")} == {"ledger/domain/__init__.py"}


def test_the_named_code_is_a_part_of_all():
    named = [module for modules in NAMED.values() for module in modules]
    assert len(set(named)) == len(named)
    assert set(named) < set(MODULES)
    assert {name for name in MODULES if name.startswith("ledger/domain/")} < set(named)


def test_the_tests_that_are_asked_are_there():
    asked = {path for stages in MODULES.values() for stage in stages for path in stage.split()}
    assert [path for path in sorted(asked) if not (ROOT / path).exists()] == []


def test_mutants_are_programs_that_differ_in_one_place():
    source = (ROOT / MERKLE).read_text()
    mutants = sample([MERKLE], 30, random.Random(4))
    assert len({(mutant.line, mutant.now) for mutant in mutants}) > 20
    for mutant in mutants:
        assert ast.dump(ast.parse(mutant.code)) != ast.dump(ast.parse(source))
        assert mutant.was in "\n".join(line.strip() for line in source.splitlines())
    places = {mutant.place for mutant in mutants}
    assert "CompactRange.extend" in places or "verify_inclusion" in places, places
    left_out = [mutant.now for mutant in mutants if mutant.operator == "LeaveOut"]
    assert left_out
    assert set(left_out) == {"pass"}
    assert mutants[:5] == sample([MERKLE], 30, random.Random(4))[:5], "the seed repeats the choice"


def test_a_module_with_more_places_gets_more_bugs():
    small, large = "ledger/domain/signed.py", "ledger/domain/scopes.py"
    found = Counter(mutant.module for mutant in sample([small, large], 25, random.Random(4)))
    assert found[large] > 4 * found[small]
    few = sample([small], 60, random.Random(4))
    assert len({(mutant.line, mutant.was, mutant.now) for mutant in few}) == len(few) < 20, "no place twice"


def test_a_return_at_an_end_is_not_left_out():
    code = """
def f(x):
    if x:
        try:
            return None  # nothing
        except ValueError:
            return
    for y in x:
        return None
    while x:
        if y:
            return
    if x:
        return None
    return None
"""
    tree, operator = parso.parse(code), LeaveOut()
    found = [start[0] for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node)]
    assert found == [5, 7, 9, 12, 14]


def test_a_copy_sees_a_bug_and_is_whole_again(copy):
    found = bug('_sha256(b"\\x00" + entry)', '_sha256(b"\\x02" + entry)')
    assert copy.sees(found, Fixed()) == Seen("killed", TESTS)
    assert (copy.folder / MERKLE).read_text() == (ROOT / MERKLE).read_text()
    harmless = bug("from __future__ import annotations", "from __future__ import annotations  # a word")
    assert copy.sees(harmless, Fixed()) == Seen("survived")


def test_a_module_that_no_longer_loads_is_a_kill(copy):
    broken = bug("from __future__ import annotations", "from __future__ import annotations\nassert 1 > 2")
    assert copy.sees(broken, Fixed()) == Seen("killed", f"{TESTS} (not loaded)")


def test_a_run_that_takes_too_long_is_ended_and_counted_apart(copy):
    waits = bug("from __future__ import annotations", "from __future__ import annotations\nimport time; time.sleep(99)")
    begun = time.monotonic()
    assert copy.sees(waits, Fixed(2.0)) == Seen("hung", TESTS)
    assert time.monotonic() - begun < 90


@pytest.mark.parametrize(("ends", "outcome"), [(Asked(0, 9.0), "survived"), (Asked(1, 9.0), "killed"), (None, "hung")])
def test_what_takes_too_long_once_is_asked_again_with_a_limit_of_now(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, ends: Asked | None, outcome: str
):
    """The machine may have more to do than when the limit was measured."""
    limits, asked = Limits(BACKENDS[:1]), list[tuple[bool, float]]()
    late, good = Asked(None, 15.0), "import hashlib"
    answers = [Asked(0, 1.0), late, Asked(0, 8.0), ends or late]

    def asks(self: Copy, tests: str, backend: str, limit: float, *, whole: bool = False) -> Asked:
        asked.append((whole, limit))
        return answers[len(asked) - 1]

    monkeypatch.setattr(Copy, "asks", asks)
    assert copy.sees(bug(good, good), limits).outcome == outcome
    assert asked == [(True, 300), (False, 15), (True, 300), (False, 50)]
    assert limits.of(copy, TESTS, BACKENDS[0]) == 50, "for those that follow too"


@pytest.mark.parametrize("tests", ["tests/unit/nothing.py", "--no-such-option"])
def test_pytest_that_does_not_run_is_an_error_of_the_instrument_and_no_kill(copy, monkeypatch, tests):
    monkeypatch.setitem(MODULES, MERKLE, (tests,))
    seen = copy.sees(bug("import hashlib", "import hashlib  # it"), Fixed())
    assert seen.outcome == "error"
    assert "pytest ended with 4" in seen.by


def test_a_bug_that_one_backend_does_not_show_is_asked_about_on_the_other(copy, monkeypatch):
    asked = []
    answers = {"not postgres": Asked(0, 1.0), "postgres": Asked(1, 1.0)}

    def asks(self: Copy, tests: str, backend: str, limit: float) -> Asked:
        asked.append(backend)
        return answers[backend]

    monkeypatch.setattr(Copy, "asks", asks)
    assert copy.sees(bug("import hashlib", "import hashlib"), Fixed(backends=BACKENDS)).outcome == "killed"
    assert asked == ["not postgres", "postgres"]


def test_a_limit_is_measured_once_and_without_a_bug(copy, monkeypatch):
    limits, asked = Limits(), list[str]()
    limit = limits.of(copy, TESTS, BACKENDS[0])
    assert limit is not None
    assert limit > 10
    assert limits.of(copy, TESTS, BACKENDS[1]) is None, "it knows no PostgreSQL"

    def asks(self: Copy, tests: str, backend: str, limit: float, *, whole: bool) -> Asked:
        asked.append(tests)
        return Asked(1, 1.0, "it broke")

    monkeypatch.setattr(Copy, "asks", asks)
    assert limits.of(copy, TESTS, BACKENDS[0]) == limit
    assert asked == []
    with pytest.raises(RuntimeError, match="it broke"):
        limits.of(copy, "tests/other.py", BACKENDS[0])


def survivors(outcome: str, count: int) -> list[tuple[Mutant, Seen]]:
    return [(Mutant(MERKLE, "any", "", f"was {n}", f"now {n}", n, ""), Seen(outcome)) for n in range(count)]  # type: ignore[arg-type]


def explained(n: int, *, equivalent: bool) -> Explanation:
    return Explanation(MERKLE, "", f"was {n}", f"now {n}", equivalent, "because")


def test_the_share_leaves_out_what_is_equivalent_and_nothing_else():
    killed = [(Mutant(MERKLE, "any", "", "x", "y", 1, ""), Seen("killed", TESTS))] * 18
    hung = [(Mutant(MERKLE, "any", "", "x", "z", 1, ""), Seen("hung", TESTS))]
    found = judged(
        [*killed, *hung, *survivors("survived", 3)], [explained(0, equivalent=True), explained(1, equivalent=False)]
    )
    counts = {"killed": 18, "hung": 1, "equivalent": 1, "harmless": 1, "unexplained": 1, "share": "90.5 %"}
    assert found.figures == {**counts, "by_module": {MERKLE: "19/22"}}
    assert found.zeros == {"less than 95 % killed": 1, "instrument errors": 0, "stale explanations": 0}
    assert [failure.partition(":")[0] for failure in found.failures][:4] == [
        "hung", "survived, equivalent", "survived, harmless", "survived, unexplained",
    ]  # fmt: skip
    assert judged([*killed, *hung, *survivors("survived", 1)], []).ok
    fewer = judged([*killed, *survivors("survived", 2)], [], 0.9)
    assert fewer.ok
    assert "less than 90 % killed" in fewer.zeros
    assert not judged([*killed, *survivors("survived", 3)], [], 0.9).ok
    assert not judged([*killed, *survivors("error", 1)], []).ok
    assert not judged([], []).ok


def test_an_explanation_of_what_a_test_sees_is_stale():
    killed = [(Mutant(MERKLE, "any", "", "was 0", "now 0", 1, ""), Seen("killed", TESTS))]
    assert judged(killed, [explained(0, equivalent=True)]).zeros["stale explanations"] == 1


def test_explanations_are_of_bugs_that_can_be_planted():
    found = explanations()
    assert len({(row.module, row.place, row.was, row.now) for row in found}) == len(found)
    assert [row for row in found if row.module not in MODULES or len(row.why) < 20] == []
    stale = [row for row in found if not can_be_planted(row.module, row.place, row.was, row.now)]
    assert stale == [], "no such line, or no operator changes it so"
