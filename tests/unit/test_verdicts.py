"""One closed vocabulary: every name is written down, and everything that is found has one of them."""

from __future__ import annotations

import re
from pathlib import Path

from ledger.verdicts import EXIT_OF, FAULT_WORDS, GAP_WORDS, Fault, Gap, GapKind, Verdict

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_name_has_words_and_stands_in_the_format():
    text = (ROOT / "docs" / "FORMAT.md").read_text(encoding="utf-8")
    assert set(FAULT_WORDS) == set(Fault)
    assert set(GAP_WORDS) == set(GapKind)
    for name, words in [*FAULT_WORDS.items(), *GAP_WORDS.items()]:
        assert f"| `{name}` | {words} |" in text
    assert {verdict: EXIT_OF[verdict] for verdict in Verdict} == {"verified": 0, "bad": 1, "unverified": 3}


def test_the_names_never_change():
    assert " ".join(Verdict) == "verified bad unverified"
    assert " ".join(Fault) == (
        "payload header chain tree head checkpoint signature key legality schema sequence anchor proof bundle"
    )
    assert " ".join(GapKind) == (
        "level earlier unsigned unanchored unwitnessed stale unpinned opaque suspect acknowledged sequences withheld "
        "sealed content rules attestations selection"
    )


def test_no_module_makes_up_a_fault_of_its_own():
    found = set()
    for path in [*(ROOT / "ledger").rglob("*.py"), *(ROOT / "cli").rglob("*.py"), *(ROOT / "witness").rglob("*.py")]:
        if path.name != "standalone.py":
            text = path.read_text(encoding="utf-8")
            found |= set(re.findall(r"\bfault=\"([^\"]*)\"", text))
    assert len(found) > 8
    assert found <= set(Fault)


def test_a_gap_for_machines():
    assert Gap(GapKind.RULES, "why").as_json() == {"kind": "rules", "start": None, "stop": None, "message": "why"}
    found = Gap(GapKind.SUSPECT, "why", 3, 4).as_json()
    assert found == {"kind": "suspect", "start": 3, "stop": 4, "message": "why"}
