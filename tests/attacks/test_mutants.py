"""How bugs are planted; that the tests find them takes the campaign."""

from __future__ import annotations

import ast
import random

from tests.attacks.mutants import MODULES, ROOT, Copy, Mutant, sample


def test_every_module_is_there():
    assert [module for module in MODULES if not (ROOT / module).is_file()] == []


def test_mutants_are_programs_that_differ_in_one_place():
    source = (ROOT / "ledger/merkle.py").read_text()
    mutants = sample("ledger/merkle.py", 60, random.Random(4))
    assert len({mutant.diff for mutant in mutants}) > 50
    for mutant in mutants:
        assert ast.dump(ast.parse(mutant.code)) != ast.dump(ast.parse(source))
        assert mutant.diff.count("@@ ") == 1
    left_out = [mutant.diff for mutant in mutants if mutant.operator == "LeaveOut"]
    assert left_out
    assert all("pass" in diff for diff in left_out)
    assert mutants[:5] == sample("ledger/merkle.py", 60, random.Random(4))[:5], "the seed repeats the choice"


def test_a_copy_sees_a_bug_and_is_whole_again(tmp_path):
    copy = Copy(tmp_path / "copy")
    assert copy.is_itself()
    source = (ROOT / "ledger/merkle.py").read_text()
    bug = source.replace('_sha256(b"\\x00" + entry)', '_sha256(b"\\x02" + entry)')
    assert bug != source
    assert copy.sees(Mutant("ledger/merkle.py", "by hand", "", bug))
    assert (copy.folder / "ledger/merkle.py").read_text() == source
