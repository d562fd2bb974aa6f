"""One life of a ledger, lived at once on SQLite, on PostgreSQL and by a reference: what the machines share.

Every event is signed once and handed to all three, whose clocks stand still until they are moved, so index, leaf hash
and the kind of a refusal must be the same, event for event.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as hypothesis_seed
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from ledger.application import Ledger, Receipt
from ledger.checkpoint import verify_checkpoint
from ledger.creation import FIRST_ADMIN_ROLES
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import AuthenticationError, ConflictError, LedgerError
from ledger.events.ledgers import RuleSet
from ledger.keys import Ed25519Signer, format_public_key
from ledger.note import TYPE_ED25519, VerifierKey, format_vkey
from ledger.recorders import open_recorder
from ledger.stored import LogIdentity
from ledger.verify import verify_log
from tests.contract.support import HEADER, raw, seeded_key
from tests.faults.history import Roots
from tests.faults.reference import Place, ReferenceLedger, Refused
from tests.faults.scorecard import Result

ORIGIN = "ledger.example/machine"
START = 1_790_000_000_000_000
_KINDS: dict[type[LedgerError], str] = {AuthenticationError: "authentication", ConflictError: "conflict"}

Outcome = list[Place] | str


def _outcome(act: Callable[[], list[Receipt]]) -> Outcome:
    try:
        return [Place(receipt.index, receipt.leaf_hash, receipt.existing) for receipt in act()]
    except LedgerError as error:
        return next((kind for cls, kind in _KINDS.items() if isinstance(error, cls)), repr(error))


class Life(RuleBasedStateMachine):
    """One of many lives.

    Attributes:
        life: its number, of one seed and no other. Hypothesis likes to draw again what it drew for an earlier life:
            what is drawn from this too is another thing each time, and the same when a life that went wrong is lived
            again.
    """

    life = 0

    def chance(self, *drawn: object) -> random.Random:
        """What to draw from, by what Hypothesis drew and what else makes this time another one."""
        return random.Random("/".join(str(one) for one in (self.life, *drawn)))


class Twins(Life):
    """Two stores and a reference; a subclass knows a PostgreSQL, and has the rules."""

    postgres_url: Callable[[], str]
    new_reference: type[ReferenceLedger] = ReferenceLedger

    def __init__(self) -> None:
        super().__init__()
        fast = "/dev/shm" if Path("/dev/shm").is_dir() else None  # this is not about durability
        self._folder = Path(tempfile.mkdtemp(prefix="muniment-machine-", dir=fast))
        self.urls = [f"sqlite:///{self._folder / 'ledger.db'}", type(self).postgres_url()]
        self.now = START
        self.ledgerid = uuid4().hex
        self.checkpoint_key, self.root, self.admin = seeded_key(1), seeded_key(2), seeded_key(3)
        self.vkey = VerifierKey(ORIGIN, TYPE_ED25519, self.checkpoint_key.public.raw)
        self.keys: dict[str, list[Ed25519Signer]] = {}
        self.made = 10
        self.numbers = 0
        self.reference = self.new_reference(self.ledgerid)
        self.ledgers: list[Ledger] = []
        self.compared = 0

    # -- the three of them -----------------------------------------------------------------------

    def _open(self, url: str) -> Ledger:
        recorder = open_recorder(url, clock=lambda: self.now)
        return Ledger(recorder, checkpoint_signer=self.checkpoint_key)

    def _event(
        self, actor: str, keys: list[Ed25519Signer], kind: str, subject: str, data: dict[str, Any], **options: Any
    ) -> bytes:
        self.numbers += 1
        values = {"emitter": str(UUID(int=7)), "sequence": self.numbers, **options}
        payload, _ = build_payload(ledgerid=self.ledgerid, actor=actor, type=kind, subject=subject, data=data, **values)
        return format_envelope(sign_payload(payload, keys))

    def _append(self, *envelopes: bytes, expect: dict[str, int] | None = None) -> Outcome:
        """Hand the same to all and compare what they answer."""
        expected: Outcome
        try:
            expected = self.reference.append(envelopes, self.now, expect)
        except Refused as refused:
            expected = str(refused)
        for ledger in self.ledgers:
            if len(envelopes) == 1:
                found = _outcome(lambda ledger=ledger: [ledger.append(envelopes[0], expect=expect)])  # type: ignore[misc]
            else:
                found = _outcome(lambda ledger=ledger: ledger.append_batch(envelopes, expect=expect))  # type: ignore[misc]
            assert found == expected, (ledger.recorder.backend, found, expected)
        return expected

    def found(self, rules: RuleSet) -> None:
        """Create the ledger, with its first admin."""
        for url in self.urls:
            self.ledgers.append(self._open(url))
            self.ledgers[-1].recorder.create(LogIdentity(self.ledgerid, ORIGIN))
        created = {
            "ledgerid": self.ledgerid, "origin": ORIGIN, "vkey": format_vkey(self.vkey), "threshold": 1,
            "roots": [format_public_key(self.root.public)], "rules": rules.model_dump(mode="json"),
        }  # fmt: skip
        # Entry 0 is believed because of what it is, not because of a key that was known before.
        self.reference.believe_root(self.root.public.raw)
        self._append(self._event("root", [self.root], "ledger.created", f"ledger:{self.ledgerid}", created))
        self._enrol("p-admin", self.admin, "person", FIRST_ADMIN_ROLES, by="root")

    def _new_key(self, actor: str) -> Ed25519Signer:
        self.made += 1
        self.keys.setdefault(actor, []).append(seeded_key(self.made))
        return self.keys[actor][-1]

    def _enrol(
        self, actor: str, key: Ed25519Signer, kind: str, roles: tuple[str, ...], *, by: str = "p-admin", **body: str
    ) -> None:
        data = {"kind": kind, "roles": list(roles), "key": format_public_key(key.public), **body}
        if kind == "service":
            data.setdefault("responsible", "p-admin")
        signers = [self.root if by == "root" else self.admin, key]
        assert isinstance(self._append(self._event(by, signers, "actor.enrolled", f"actor:{actor}", data)), list)

    def sign_heads(self) -> int:
        """Sign the heads of both; returns their size."""
        size = len(self.reference.rows)
        for ledger in self.ledgers:
            head = verify_checkpoint(ledger.checkpoint(), [self.vkey])
            assert (head.size, head.root) == (size, Roots(self.reference.leaves)[size])
        return size

    def open_again(self) -> None:
        for number, url in enumerate(self.urls):
            self.ledgers[number].recorder.close()
            self.ledgers[number] = self._open(url)

    # -- what they must share --------------------------------------------------------------------

    def compare(self) -> None:
        """The new entries are the same, column for column, and so are the heads."""
        for url in self.urls if self.ledgers else ():
            with raw(url) as store:
                rows = store.run(
                    f"SELECT {', '.join(HEADER)} FROM $entry WHERE position > ? ORDER BY position", (self.compared,)
                )
                ((size, last),) = store.run("SELECT size, last_leaf FROM $head")
            assert [_plain(row) for row in rows] == self.reference.rows[self.compared :], url
            assert (size, bytes(last)) == (len(self.reference.rows), self.reference.leaves[-1])
        self.compared = len(self.reference.rows)

    def teardown(self) -> None:
        try:
            for ledger in self.ledgers:
                report = verify_log(ledger.recorder)
                assert report.ok, report.findings
        finally:
            for ledger in self.ledgers:
                ledger.recorder.close()
            shutil.rmtree(self._folder, ignore_errors=True)


def _plain(row: tuple[Any, ...]) -> dict[str, Any]:
    values = [bytes(value) if isinstance(value, bytes | memoryview) else value for value in row]
    return dict(zip(HEADER, values, strict=True))


_Machine = TypeVar("_Machine", bound=Life)


def live(
    machine: type[_Machine], ended: Callable[[_Machine], None], examples: int, steps: int, seed: int, *, shrink: bool
) -> Result:
    """Live so many random lives.

    Args:
        machine: the rules; it is changed, so it must be nobody else's.
        ended: gets each life at its end.
        examples: how many lives.
        steps: rules in each, at most.
        seed: of Hypothesis.
        shrink: whether to look for the shortest life that goes wrong, which may take longer than all of them together.

    Returns:
        How many ended, and how many disagreements there were.
    """
    result = Result.counting("disagreements")
    teardown, machine.life = machine.teardown, seed * 1_000_000

    def counted(self: _Machine) -> None:
        result.n += 1
        teardown(self)
        ended(self)
        if sys.exc_info()[0] is None:
            machine.life += 1

    machine.teardown = counted  # type: ignore[method-assign,assignment]
    try:
        run_state_machine_as_test(
            hypothesis_seed(seed)(machine),
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None, database=None,
                suppress_health_check=list(HealthCheck), print_blob=False,
                phases=tuple(Phase) if shrink else (Phase.generate,),
            ),
        )  # fmt: skip
    except Exception as error:
        causes = getattr(error, "exceptions", (error,))  # a life that went wrong only once is told as a group
        words = "".join(line for cause in causes for line in traceback.format_exception_only(cause))
        result.failed("disagreements", words if len(words) <= 1800 else f"{words[:900]} … {words[-900:]}")
    return result
