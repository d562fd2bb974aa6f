"""Attackers with a store and some key, each of whom must be found, and where the oracle says.

`ORACLE` holds what docs/THREATS.md, section 3, says of an event signed by somebody who may not: the class of the
finding, at the very entry. For rewrites it is the sizes between which the change lies.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import apsw
import psycopg
import pytest

from ledger.checkpoint import verify_checkpoint
from ledger.emission import build_payload
from ledger.entry import format_time
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import LedgerError, VerificationError
from ledger.findings import Anchor, Finding, LogVerification
from ledger.identity import Trust
from ledger.keys import Ed25519Signer, format_public_key
from tests.attacks.tamper import ZEROS
from tests.contract.histories import START, History
from tests.contract.support import MODEL, PROD, Cast, digest, make_cast, register
from tests.contract.tampering import Forger, Victim, remember_pure_results, remembered, victim
from tests.contract.test_ledger_keys import NEW, change_key, follow
from tests.contract.test_witnessed import cosign, vouched
from tests.faults.scorecard import Result

#: Whose event: the class of the finding at its entry.
ORACLE = {
    "not enrolled": "key",
    "in another's name": "key",
    "revoked": "key",
    "rotated": "key",
    "stolen": "key",
    "offboarded": "key",
    "without the role": "legality",
    "role expired": "legality",
    "role revoked": "legality",
    "outside the scope": "legality",
}
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
        self, what: str, kind: str, deed: Callable[[], object], oracle: Callable[[LogVerification], bool],
        anchors: Sequence[Anchor] | None = None, *, must_fail: bool = True,
    ) -> None:  # fmt: skip
        """Do one deed, verify, undo.

        Args:
            what: in words.
            kind: under which it is counted.
            deed: what the attacker does.
            oracle: whether a report says what it must.
            anchors: heads known outside; the victim's when None.
            must_fail: whether anything must be found at all; otherwise only the oracle is asked.
        """
        with self.store.trial():
            try:
                deed()
            except (apsw.Error, psycopg.Error):  # the database takes no such value
                refused = "refused by the database"
                self.result.figures[refused] = self.result.figures.get(refused, 0) + 1
                return
            self.result.n += 1
            self.result.figures[kind] = self.result.figures.get(kind, 0) + 1
            try:
                report = self.store.verify(anchors)
            except (apsw.Error, psycopg.Error, ValueError, TypeError, LookupError, AssertionError) as error:
                self.result.failed("crashed", f"{what}: {error!r}")
                return
            except LedgerError as error:
                if not isinstance(error, VerificationError):
                    self.result.failed("crashed", f"{what}: {error!r}")
                return
        if report.ok and must_fail:
            self.result.failed("undetected", what)
        elif not oracle(report):
            self.result.failed("wrong place", f"{what}: {report.findings}")


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
            who = list(ORACLE)[number % len(ORACLE)]
            type, envelope = people.envelope(who)
            place = chance.choice((people.size, chance.randrange(people.first, people.size)))
            sign = chance.choice((None, key))
            what = f"{type} by {who} at {place} of {people.size}, {'with' if sign else 'without'} the checkpoint key"

            def deed(envelope: bytes = envelope, place: int = place, sign: Ed25519Signer | None = sign) -> None:
                forger = Forger(tries.store)
                forger.add(envelope, place)
                forger.write(sign)

            def oracle(report: LogVerification, who: str = who, place: int = place) -> bool:
                here = any((item.fault, item.index) == (ORACLE[who], place) for item in report.findings)
                first = min((item.index for item in report.findings if item.index is not None), default=place)
                inside = place == people.size or any(_between(item, place) for item in report.findings)
                return here and inside and (first >= place)

            tries.try_out(what, who, deed, oracle)
    return result


def _between(finding: Finding, place: int) -> bool:
    """Whether a finding says that the change lies at a place, between two sizes or from a size on."""
    if finding.sizes is not None:
        return finding.sizes[0] <= place < finding.sizes[1]
    return finding.fault in ("anchor", "checkpoint") and (finding.index is None or finding.index >= place)


# -- rewrites by the holder of a key that signs heads -----------------------------------------------


class Rewriter:
    """Rewrites a log from some entry on so that nothing inside contradicts itself, but for what authors signed.

    Args:
        store: the victim.
        chance: of where and how.
        low: first entry that may be touched.
    """

    WAYS = ("left out", "moved", "dated", "altered", "cut", "twice")

    def __init__(self, store: Victim, chance: random.Random, low: int = 2) -> None:
        self.forger, size = Forger(store), len(Forger(store).rows)
        self.way = chance.choice(self.WAYS)
        self.place = chance.randrange(low, size - 1)
        rows = self.forger.rows
        if self.way == "left out":
            del rows[self.place]
        elif self.way == "moved":
            rows.insert(chance.randrange(self.place + 1, size), rows.pop(self.place))
        elif self.way == "dated":
            rows[self.place]["recorded_at"] += chance.choice((1, -1))
        elif self.way == "altered":
            self.forger.alter(self.place, lambda payload: payload.replace(b'"nonce":"', b'"nonce":"0', 1))
        elif self.way == "cut":
            del rows[self.place :]
        else:
            rows.insert(self.place, dict(rows[self.place - 1]))

    def found(self, report: LogVerification) -> bool:
        """Whether the place is among what was found: at the entry, between two sizes, or as a missing tail."""
        if self.way == "altered" and not any(
            item.index == self.place and item.fault in ("signature", "schema", "payload") for item in report.findings
        ):
            return False
        return any(item.index == self.place or _between(item, self.place) for item in report.findings)


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
        for _ in range(times):
            _one_rewrite(tries, chance, history.cast.new.checkpoint, top, asked)
    return result


def _one_rewrite(tries: Attempts, chance: random.Random, key: Ed25519Signer, top: int, asked: Sequence[Anchor]) -> None:
    rewriter = Rewriter(tries.store, chance)
    hide, place = chance.choice(("nothing", "all", "all that differ")), rewriter.place
    what = f"entry {place} {rewriter.way}, {hide} hidden, witnessed to {top}"

    def deed() -> None:
        rewriter.forger.write(key, keep_checkpoints=False)
        if hide == "all":
            tries.store.run("DELETE FROM $attestation")
        elif hide == "all that differ":
            tries.store.run("DELETE FROM $attestation WHERE size > ?", (place,))

    def alone(report: LogVerification) -> bool:
        # A quorum never vouches for what was changed; with the cosignatures there, the place is named.
        named = hide != "nothing" or place >= top or rewriter.found(report)
        return vouched(report) <= place and named

    tries.try_out(what, hide, deed, alone, must_fail=hide == "nothing" and place < top)
    if place < top:
        tries.try_out(f"{what}, witnesses asked", "witnesses asked", deed, rewriter.found, asked)


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
        for _ in range(times):
            rewriter = Rewriter(tries.store, chance)
            kind = "before the change" if rewriter.place <= changed else "behind the change"
            what = f"entry {rewriter.place} {rewriter.way}, {kind} at {changed}"
            tries.try_out(what, kind, lambda: rewriter.forger.write(old, keep_checkpoints=False), rewriter.found)  # noqa: B023 - called at once
    return result
