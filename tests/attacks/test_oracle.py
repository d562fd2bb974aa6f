"""Every row of the oracle: its deed is done, and what is said of it is what the table says."""

from __future__ import annotations

import pytest

from cli.logreport import LogReport
from ledger.errors import LedgerError
from ledger.verdicts import EXIT_OF, Verdict
from tests.attacks import oracle
from tests.attacks.campaigns import CAMPAIGNS
from tests.attacks.deeds import DEEDS, Bench, bench
from tests.attacks.oracle import ROWS, Known, Outcome, Row, row_of
from tests.contract.test_witnessed import POLICY


def _try(at: Bench, row: Row) -> str:
    """What is wrong with what is said of a row's deed; empty when nothing is."""
    with at.store.trial():
        place = DEEDS[row.attacker, row.damage](at)
        try:
            found = at.verify(row.known)
        except LedgerError as error:
            return row.judge([], place, ended=True) and f"{row.key}: {error}"
        report = LogReport(found, POLICY, required=16) if row.known is Known.WITNESSED else LogReport(found)
        wrong = row.judge(found.findings, place)
        if wrong or EXIT_OF[report.verdict] not in row.exits:
            return f"{row.key} at {place}: {wrong} {report.verdict} {found.findings}"
        verdicts = {Outcome.BAD: Verdict.BAD, Outcome.UNVERIFIED: Verdict.UNVERIFIED, Outcome.NOTHING: Verdict.VERIFIED}
        assert report.verdict is verdicts.get(row.outcome, report.verdict)
    return ""


@pytest.mark.parametrize("witnessed", [False, True])
def test_every_deed_is_seen_as_the_table_says(store_url: str, *, witnessed: bool):
    rows = [
        row for row in ROWS
        if (row.attacker, row.damage) in DEEDS and (row.known is Known.WITNESSED) is witnessed
    ]  # fmt: skip
    with bench(store_url, witnessed=witnessed) as at:
        assert at.store.verify().ok
        wrong = [words for words in (_try(at, row) for row in rows) if words]
        assert at.store.verify().ok, "every deed was undone"
    assert wrong == []
    assert len(rows) > (5 if witnessed else 35)


def test_every_row_has_a_deed_and_every_deed_a_row():
    """`test_tamper` sees that a campaign judges by the rows that `CAMPAIGNS` says."""
    judged = {row.key for rows in CAMPAIGNS.values() for row in rows}
    done = {row.key for row in ROWS if (row.attacker, row.damage) in DEEDS}
    assert [row.key for row in ROWS if row.key not in judged | done] == [], "a row that nothing exercises"
    known = {(row.attacker, row.damage) for row in ROWS}
    assert [deed for deed in DEEDS if deed not in known] == [], "a deed without a row"
    assert len({row.key for row in ROWS}) == len(ROWS)
    with pytest.raises(KeyError):
        row_of(oracle.Attacker.STORE, "looked at")


@pytest.mark.parametrize("change", ["outcome", "place", "class"])
def test_the_instrument_sees_a_wrong_table(store_url: str, change: str, monkeypatch: pytest.MonkeyPatch):
    from dataclasses import replace

    from ledger.verdicts import Fault

    row = row_of(oracle.Attacker.STORE, "contents deleted")
    changed = {
        "outcome": replace(row, outcome=Outcome.NOTHING),
        "place": row,
        "class": replace(row, faults=frozenset({Fault.HEAD})),
    }[change]
    if change == "place":
        deed = DEEDS[row.attacker, row.damage]
        monkeypatch.setitem(DEEDS, (row.attacker, row.damage), lambda at: (deed(at) or 0) + 1)
    with bench(store_url, witnessed=False) as at:
        assert _try(at, row) == "" or change == "place"
        assert _try(at, changed) != ""
