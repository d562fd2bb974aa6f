"""A part of the campaign against stores that is small enough for every change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from ledger.findings import LogVerification
from ledger.verdicts import Fault
from tests.attacks import intruders, keepsakes, tables, tamper
from tests.attacks.campaigns import CAMPAIGNS
from tests.attacks.oracle import row_of, watching
from tests.attacks.tamper import Trials
from tests.contract.tampering import Victim
from tests.faults.scorecard import Result


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Gives the URL of a store that is not there yet."""
    if request.param == "sqlite":
        folder = request.getfixturevalue("tmp_path")
        return lambda: f"sqlite:///{folder / uuid4().hex}.db"
    dsn = request.getfixturevalue("postgres_dsn")
    return lambda: f"{dsn}{'&' if '?' in dsn else '?'}schema=t{uuid4().hex[:12]}"


def test_a_sample_of_every_byte(new_url: Callable[[], str]):
    result = tamper.every_byte(new_url, 0.002, 11)
    assert result.ok, result
    assert result.n > 100


def test_random_damages(new_url: Callable[[], str]):
    result = tamper.random_damages(new_url, 40, 11, events=60)
    assert result.ok, result
    assert {"chain", "header", "payload"} <= result.figures.keys()


def test_clean_ledgers(new_url: Callable[[], str]):
    result = tamper.clean_ledgers(new_url, 2, 11)
    assert result.ok, result


@pytest.mark.parametrize(
    ("attack", "times"),
    [(intruders.unauthorised, 20), (intruders.witnessed_rewrites, 12), (intruders.old_checkpoint_key, 12)],
)
def test_attackers_with_a_key(new_url: Callable[[], str], attack: Callable[..., Result], times: int):
    with watching() as used:
        result = attack(new_url, times, 11)
    assert result.ok, result
    assert result.n >= times
    assert set(CAMPAIGNS[attack]) <= used


def test_an_attacker_whom_nothing_stops_is_counted(new_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch):
    """The instrument: with another oracle everything is at the wrong place, and with a blind verifier undetected."""
    with monkeypatch.context() as patch:
        payload = frozenset({Fault.PAYLOAD})
        patch.setattr(intruders, "row_of", lambda *key: replace(row_of(*key), faults=payload))
        assert intruders.unauthorised(new_url, 3, 1).zeros["wrong place"] == 3
        assert intruders.old_checkpoint_key(new_url, 3, 1, events=20).zeros["wrong place"] == 3
    monkeypatch.setattr(Victim, "verify", lambda self, anchors=None: LogVerification("", ""))
    assert intruders.unauthorised(new_url, 3, 1).zeros["undetected"] == 3


@pytest.mark.parametrize(
    ("table", "share"), [(tables.cosignatures, 0.02), (tables.tile_bytes, 8), (tables.moved_store, 0.02)]
)
def test_tables_that_are_seldom_filled(new_url: Callable[[], str], table: Callable[..., Result], share: float):
    with watching() as used:
        result = table(new_url, share, 11)
    assert result.ok, result
    assert set(CAMPAIGNS[table]) <= used


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        (keepsakes.trust_state, 0.008), (keepsakes.bundles, 0.00005), (keepsakes.evidence_files, 0.05),
        (keepsakes.proof_files, 0.01),
    ],
)  # fmt: skip
def test_what_is_kept_outside_the_store(tmp_path: Path, kind: Callable[..., Result], share: float):
    with watching() as used:
        result = kind(tmp_path, lambda: f"sqlite:///{tmp_path / 'ledger.db'}", share, 11)
    assert result.ok, result
    assert set(CAMPAIGNS[kind]) <= used
    assert result.n > 10


def test_the_instrument_sees_a_verifier_that_finds_nothing(new_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Trials, "_look", lambda self, what, row, place: self.result.failed("undetected", what))
    result: Result = tamper.random_damages(new_url, 5, 1, events=20)
    assert result.zeros["undetected"] > 0
