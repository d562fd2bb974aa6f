"""Attackers with a store and some key, each of whom must be found, and where the oracle says."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import apsw
import psycopg
import pytest

from cli.logreport import LogReport
from ledger.checkpoint import verify_checkpoint
from ledger.emission import build_payload
from ledger.entry import format_time
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import LedgerError, VerificationError
from ledger.findings import Anchor, LogVerification
from ledger.identity import Trust
from ledger.keys import Ed25519Signer, format_public_key
from ledger.verdicts import EXIT_OF
from tests.attacks.oracle import Attacker, Known, Row, row_of
from tests.attacks.tamper import ZEROS
from tests.contract.histories import START, History
from tests.contract.support import MODEL, PROD, Cast, digest, make_cast, register
from tests.contract.tampering import Forger, Victim, other_nonce, remember_pure_results, remembered, victim
from tests.contract.test_ledger_keys import NEW, change_key, follow
from tests.contract.test_witnessed import POLICY, cosign, vouched
from tests.faults.scorecard import Result

#: Who signs what they may not; the oracle has a row for each.
INTRUDERS = (
    "not enrolled", "in another's name", "revoked", "rotated", "stolen", "offboarded", "without the role",
    "role expired", "role revoked", "outside the scope",
)  # fmt: skip
DAY = 86_400_000_000
NewUrl = Callable[[], str]


@contextmanager
def attempts(cast: Cast, result: Result, anchors: Sequence[Anchor], trust: Trust | None = None) -> Iterator[Attempts]:
    """A store in its owner's hands, good before and good after."""
    with pytest.MonkeyPatch.context() as memory:
        remember_pure_results(memory)
        with victim(cast, anchors) as store:
            store.trust = trust or store.trust
            for when in ("to begin with", "after the last trial"):
                report = store.verify()
                if not report.ok:
                    result.failed("not undone", f"{when}: {report.findings}")
                if when == "to begin with":
                    yield Attempts(store, result)


@dataclass
class Attempts:
    """Tries deeds and compares what is found with what the oracle says.

    Attributes:
        store: the victim.
        result: where it is counted.
    """

    store: Victim
    result: Result

    def try_out(
        self, what: str, row: Row, deed: Callable[[], object], place: int | None,
        anchors: Sequence[Anchor] | None = None, *, kind: str = "",
        also: Callable[[LogVerification], bool] | None = None,
    ) -> None:  # fmt: skip
        """Do one deed, verify, undo.

        Args:
            what: in words.
            row: what the oracle says of it.
            deed: what the attacker does.
            place: leaf index of the damage, None when it has none.
            anchors: heads known outside; the victim's when None.
            kind: under which it is counted; the damage of the row when empty.
            also: what else must hold of a report.
        """
        with self.store.trial():
            try:
                deed()
            except (apsw.Error, psycopg.Error):  # the database takes no such value
                refused = "refused by the database"
                self.result.figures[refused] = self.result.figures.get(refused, 0) + 1
                return
            kind = kind or row.damage
            self.result.n += 1
            self.result.figures[kind] = self.result.figures.get(kind, 0) + 1
            try:
                report = self.store.verify(anchors)
            except (apsw.Error, psycopg.Error, ValueError, TypeError, LookupError, AssertionError) as error:
                self.result.failed("crashed", f"{what}: {error!r}")
                return
            except LedgerError as error:
                row.judge([], place, ended=True)
                if not isinstance(error, VerificationError):
                    self.result.failed("crashed", f"{what}: {error!r}")
                return
        wrong = row.judge(report.findings, place)
        if not wrong and also is not None and not also(report):
            wrong = "wrong place"
        if wrong:
            self.result.failed(wrong, f"{what}: {report.findings}")


# -- events signed by somebody who may not ---------------------------------------------------------


class Unauthorised:
    """A ledger with everybody whose key or role is no longer good, or never was.

    Args:
        url: an empty store.
        seed: of what they sign.
    """

    def __init__(self, url: str, seed: int) -> None:
        self.chance, self.now, self._number = random.Random(seed), START, 0
        self.cast = make_cast(url, clock=lambda: self.now)
        register(self.cast)
        self.keys = {"not enrolled": ("p-nobody", Ed25519Signer.generate())}
        self.keys["in another's name"] = ("p-approver", self.cast.keys["trainer"])
        self.keys["without the role"] = ("trainer", self.cast.keys["trainer"])
        self._end_keys()
        self._end_roles()
        self.now += DAY
        for number in range(24):
            self.cast["trainer"].emit("monitor.signal", f"monitor:m{number % 3}", metric="psi", value=number / 8)
            if number == 3:
                self.cast.admin.checkpoint()
                self.first = self.cast.recorder.head().size
            elif number % 5 == 0:
                self.cast.admin.checkpoint()
        self.cast.admin.checkpoint()
        self.size = self.cast.recorder.head().size

    def _end_keys(self) -> None:
        cast = self.cast
        for name in ("revoked", "rotated", "stolen", "offboarded"):
            actor, key = f"svc-{name}", Ed25519Signer.generate()
            cast.enrol(actor, "service", ["emitter"], "p-author")
            self.keys[name] = (actor, cast.keys[actor])
            keyid = cast.keys[actor].public.keyid
            if name == "revoked":
                cast.admin.emit("key.revoked", f"actor:{actor}", keyid=keyid, reason="lost")
            elif name == "rotated":
                body = {"keyid": keyid, "key": format_public_key(key.public), "until": cast.recorder.head().size + 1}
                cast[actor].emit("key.rotated", f"actor:{actor}", body, also_sign=[key])
            elif name == "stolen":
                cast[actor].emit("external.observed", "external:x", system="s")
                since = cast.recorder.head().size - 1
                cast.admin.emit("key.compromised", f"actor:{actor}", keyid=keyid, since=since, reason="stolen")
            else:
                cast.admin.emit("actor.offboarded", f"actor:{actor}", {"successor": None, "reason": "gone"})

    def _end_roles(self) -> None:
        until = format_time(self.now + DAY // 2)
        for name, role in (("role expired", {"until": until}), ("outside the scope", {"subjects": ["model:other/*"]})):
            actor = f"p-{name.split()[-1]}"
            self.cast.enrol(actor, "person", ["owner"])
            self.cast.admin.emit("role.granted", f"actor:{actor}", {"role": "approver", **role})
            self.keys[name] = (actor, self.cast.keys[actor])
        self.cast.enrol("p-former", "person", ["owner", "approver"])
        self.cast.admin.emit("role.revoked", "actor:p-former", role="approver", reason="over")
        self.keys["role revoked"] = ("p-former", self.cast.keys["p-former"])

    def _event(self, who: str, actor: str) -> tuple[str, str, dict[str, Any]]:
        approval: tuple[str, str, dict[str, Any]] = ("approval.granted", MODEL, {
            "environment": "prod", "digest": digest(MODEL), "request": str(UUID(int=0)), "rationale": "mine",
        })  # fmt: skip
        authority: list[tuple[str, str, dict[str, Any]]] = [
            ("role.granted", f"actor:{actor}", {"role": "admin"}),
            ("actor.revoked", "actor:p-approver", {"reason": "in my way"}),
            ("actor.offboarded", "actor:p-deployer", {"successor": None, "reason": "in my way"}),
        ]
        if who in ("role expired", "role revoked", "outside the scope"):
            return self.chance.choice([approval, *authority])
        anything: list[tuple[str, str, dict[str, Any]]] = [
            ("incident.noted", "incident:1", {"note": "all is well"}),
            ("external.observed", "external:x", {"system": "s"}),
            ("run.completed", "run:credit", {"metrics": {"auc": 0.99}}),
        ]
        decisions = [approval, ("deployment.authorised", PROD, {"model": MODEL, "digest": digest(MODEL)}), *authority]
        return self.chance.choice(decisions if who == "without the role" else [*decisions, *anything])

    def envelope(self, who: str) -> tuple[str, bytes]:
        """What one of them signs: its type and the envelope."""
        actor, key = self.keys[who]
        self._number += 1
        type, subject, data = self._event(who, actor)
        payload, _ = build_payload(
            ledgerid=self.cast.admin.ledgerid, actor=actor, type=type, subject=subject, data=data,
            sequence=self._number, emitter="0189aaaa-0000-7000-8000-000000000001",
        )  # fmt: skip
        return type, format_envelope(sign_payload(payload, [key]))


def unauthorised(new_url: NewUrl, times: int, seed: int) -> Result:
    """Events that their signer may not sign, put in by SQL with everything made to fit.

    Behind the last head or inside the log, with and without the checkpoint key.

    Args:
        new_url: gives an empty store.
        times: how many.
        seed: of everything random.
    """
    result, people = Result.counting(*ZEROS), Unauthorised(new_url(), seed)
    chance, key = people.chance, people.cast.new.checkpoint
    with attempts(people.cast, result, [remembered(people.cast)]) as tries:
        for number in range(times):
            who = INTRUDERS[number % len(INTRUDERS)]
            type, envelope = people.envelope(who)
            behind = number // len(INTRUDERS) % 2 == 0
            place = people.size if behind else chance.randrange(people.first, people.size)
            sign = chance.choice((None, key))
            what = f"{type} by {who} at {place} of {people.size}, {'with' if sign else 'without'} the checkpoint key"

            def deed(envelope: bytes = envelope, place: int = place, sign: Ed25519Signer | None = sign) -> None:
                forger = Forger(tries.store)
                forger.add(envelope, place)
                forger.write(sign)

            damage = f"an event behind the last: {who}" if behind else f"an event inside: {who}"
            row = row_of(Attacker.NO_RIGHT, damage, Known.NOTHING if behind else Known.HEAD)
            tries.try_out(what, row, deed, place)
    return result


# -- rewrites by the holder of a key that signs heads -----------------------------------------------


class Rewriter:
    """Rewrites a log from some entry on so that nothing inside contradicts itself, but for what authors signed.

    Args:
        store: the victim.
        chance: of where.
        way: how, one of `WAYS`.
        low: first entry that may be touched.
    """

    WAYS = (
        "an entry left out", "an entry moved", "an entry dated anew", "a payload altered", "the tail cut",
        "an entry put in twice",
    )  # fmt: skip

    def __init__(self, store: Victim, chance: random.Random, way: str, low: int = 2) -> None:
        self.forger, size = Forger(store), len(Forger(store).rows)
        self.way = way
        self.place = chance.randrange(low, size - 1)
        rows = self.forger.rows
        if way == "an entry left out":
            del rows[self.place]
        elif way == "an entry moved":
            rows.insert(chance.randrange(self.place + 1, size), rows.pop(self.place))
        elif way == "an entry dated anew":
            rows[self.place]["recorded_at"] += chance.choice((1, -1))
        elif way == "a payload altered":
            self.forger.alter(self.place, other_nonce)
        elif way == "the tail cut":
            del rows[self.place :]
        else:
            rows.insert(self.place, dict(rows[self.place - 1]))

    def row(self, attacker: Attacker, known: Known) -> Row:
        """What the oracle says of it."""
        return row_of(attacker, f"rewritten: {self.way}", known)


def witnessed_rewrites(new_url: NewUrl, times: int, seed: int, events: int = 60) -> Result:
    """Rewrites by the operator, who signs every head anew and hides cosignatures but cannot make any.

    What lies at or below the size a quorum cosigned must be found, or be vouched for no more; and whoever asks the
    witnesses finds it in any case.

    Args:
        new_url: gives an empty store.
        times: how many.
        seed: of everything random.
        events: how long the ledger is at least.
    """
    result, chance = Result.counting(*ZEROS), random.Random(seed)
    history = _history(new_url(), seed, events)
    recorder, vkeys = history.cast.recorder, history.cast.new.trust.vkeys
    sizes = [item.size for item in recorder.checkpoints(2, 1000)]
    upper = sizes[len(sizes) * 3 // 4]
    for size in [size for size in sizes if size < upper]:
        for who in chance.sample(range(3), chance.randrange(3)):
            cosign(recorder, size, who)
    for who in (0, 1):
        cosign(recorder, upper, who)
    cosign(recorder, sizes[-1], 2)
    (note,) = (item.note for item in recorder.checkpoints(upper - 1, 1))
    asked = [Anchor("a witness", verify_checkpoint(note, vkeys))]
    with attempts(history.cast, result, []) as tries:
        top = vouched(tries.store.verify())
        result.figures["witnessed to"], result.figures["events"] = top, tries.store.recorder.head().size
        for number in range(times):
            rewriter = Rewriter(tries.store, chance, Rewriter.WAYS[number % len(Rewriter.WAYS)])
            _one_rewrite(tries, rewriter, chance, history.cast.new.checkpoint, top, asked)
    return result


def _one_rewrite(  # noqa: PLR0917 - one step of the loop above
    tries: Attempts, rewriter: Rewriter, chance: random.Random, key: Ed25519Signer, top: int, asked: Sequence[Anchor]
) -> None:
    hide, place = chance.choice(("nothing", "all", "all that differ")), rewriter.place
    what = f"entry {place} {rewriter.way}, {hide} hidden, witnessed to {top}"

    def deed() -> None:
        rewriter.forger.write(key, keep_checkpoints=False)
        if hide == "all":
            tries.store.run("DELETE FROM $attestation")
        elif hide == "all that differ":
            tries.store.run("DELETE FROM $attestation WHERE size > ?", (place,))

    def alone(report: LogVerification) -> bool:
        # A quorum never vouches for what was changed: whoever requires its word for the place never sees exit code 0.
        verdict = LogReport(report, POLICY, required=place + 1).verdict
        return vouched(report) <= place and EXIT_OF[verdict] in hidden.exits

    hidden = row_of(Attacker.CHECKPOINT_KEY, "rewritten where no cosignature is left", Known.WITNESSED)
    seen = rewriter.row(Attacker.CHECKPOINT_KEY, Known.WITNESSED)
    tries.try_out(what, seen if hide == "nothing" and place < top else hidden, deed, place, kind=hide, also=alone)
    if place < top:
        tries.try_out(f"{what}, witnesses asked", seen, deed, place, asked, kind="witnesses asked")


def _history(url: str, seed: int, events: int) -> History:
    """A random ledger of at least so many entries, with signed heads all along."""
    history = History(url, seed)
    while history.cast.recorder.head().size < events:
        history.run(6)
        history.cast.admin.checkpoint()
    history.do_envelope()
    history.cast.admin.checkpoint()
    return history


def old_checkpoint_key(new_url: NewUrl, times: int, seed: int, events: int = 60) -> Result:
    """Rewrites by somebody with the store and the checkpoint key that was replaced.

    The verifier has followed the change and remembers the last head.

    Args:
        new_url: gives an empty store.
        times: how many.
        seed: of everything random.
        events: how long the ledger is at least.
    """
    result, chance = Result.counting(*ZEROS), random.Random(seed)
    history = _history(new_url(), seed, events // 2)
    cast, old = history.cast, history.cast.new.checkpoint
    changed = change_key(cast, NEW).index
    cast.admin.sign_heads_with([NEW, old], None)
    cast.admin.checkpoint()
    cast.admin.sign_heads_with([NEW], None)
    while cast.recorder.head().size < events:
        history.run(6)
        cast.admin.checkpoint()
    trust, last = follow(cast), cast.recorder.last_checkpoint()
    assert last is not None
    anchor = Anchor("remembered", trust.verify_head(last.note))
    with attempts(cast, result, [anchor], trust) as tries:
        result.figures["changed at"] = changed
        for number in range(times):
            rewriter = Rewriter(tries.store, chance, Rewriter.WAYS[number % len(Rewriter.WAYS)])
            kind = "before the change" if rewriter.place <= changed else "behind the change"
            what = f"entry {rewriter.place} {rewriter.way}, {kind} at {changed}"
            row = rewriter.row(Attacker.FORMER_KEY, Known.HEAD)
            deed = partial(rewriter.forger.write, old, keep_checkpoints=False)
            tries.try_out(what, row, deed, rewriter.place, kind=kind)
    return result
