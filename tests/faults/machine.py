"""Random lives of a ledger, lived at once on SQLite, on PostgreSQL and by `reference`: all three must agree.

Every event is signed once and handed to all three, whose clocks stand still until they are moved, so index, leaf hash
and the kind of a refusal must be the same, event for event.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    initialize,
    invariant,
    multiple,
    rule,
)

from ledger.creation import DEFAULT_RULES
from ledger.keys import format_public_key
from ledger.verify import verify_log
from tests.contract.support import Raw, raw, seeded_key
from tests.faults.processes import child
from tests.faults.reference import ReferenceLedger
from tests.faults.scorecard import Result
from tests.faults.twins import Twins, live

_CRASHES = {"append.begun": False, "append.inserted": False, "append.before_commit": False, "append.committed": True}


#: What has to come of what is tried, once in enough lives: otherwise they say less than they seem to.
REACHED = frozenset(
    {
        ("append", "recorded"), ("append", "authentication"), ("batch", "recorded"), ("batch", "authentication"),
        ("batch with a retry", "recorded"), ("retry", "existing"), ("same id, other content", "conflict"),
        ("used number", "conflict"), ("expectation", "recorded"), ("expectation", "conflict"),
        ("wrong signer", "authentication"), ("new key", "recorded"), ("old key ends", "recorded"),
        ("actor ends", "recorded"), ("old key ends", "conflict"), ("actor ends", "conflict"),
        *((f"crash at {point}", "recorded" if done else "not recorded") for point, done in _CRASHES.items()),
        ("damage", "found"), ("heads", "signed"), ("stores", "opened again"),
    }
)  # fmt: skip


class LedgerMachine(Twins):
    """The rules; a subclass knows a PostgreSQL."""

    envelopes = Bundle("envelopes")

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[tuple[str, str]] = []
        self.signed = 0
        self.reached: Counter[tuple[str, str]] = Counter()

    def _try(self, what: str, *envelopes: bytes, expect: dict[str, int] | None = None) -> None:
        """Append something, and remember what came of it."""
        outcome = self._append(*envelopes, expect=expect)
        if not isinstance(outcome, str):
            outcome = "existing" if all(place.existing for place in outcome) else "recorded"
        self.reached[what, outcome] += 1

    @initialize()
    def begin(self) -> None:
        self.found(DEFAULT_RULES)
        self.checkpoint()
        for actor in ("w0", "w1", "w2"):
            self._enrol(actor, self._new_key(actor), "service", ("emitter",))

    def _fact(self, actor: str, stream: int, key: int = -1, **options: Any) -> bytes:
        keys = self.keys[actor]
        return self._event(actor, [keys[key % len(keys)]], "external.observed", f"external:n{stream}",
                             {"system": "machine"}, **options)  # fmt: skip

    # -- rules -----------------------------------------------------------------------------------

    actors = st.sampled_from(("w0", "w1", "w2"))
    streams = st.integers(0, 3)

    @rule(target=envelopes, actor=actors, stream=streams, key=st.integers(-3, -1))
    def append(self, actor: str, stream: int, key: int) -> bytes:
        event_id = str(uuid4())
        self.ids.append((actor, event_id))
        signed = self._fact(actor, stream, key, event_id=event_id)
        self._try("append", signed)
        return signed

    @rule(target=envelopes, actor=actors, stream=streams, count=st.integers(2, 5))
    def batch(self, actor: str, stream: int, count: int) -> Any:
        signed = [self._fact(actor, stream) for _ in range(count)]
        self._try("batch", *signed)
        return multiple(*signed)

    @rule(old=envelopes, actor=actors, twice=st.booleans())
    def batch_with_a_retry(self, old: bytes, actor: str, twice: bool) -> None:
        new = self._fact(actor, 0)
        self._try("batch with a retry", new, old, *([new] if twice else []))

    @rule(old=envelopes)
    def retry(self, old: bytes) -> None:
        self._try("retry", old)

    @rule(choice=st.integers(0, 100))
    def same_id_with_other_content(self, choice: int) -> None:
        if self.ids:
            actor, event_id = self.ids[choice % len(self.ids)]
            self._try("same id, other content", self._fact(actor, 3, event_id=event_id))

    @rule(actor=actors, back=st.integers(0, 5))
    def used_sequence_number(self, actor: str, back: int) -> None:
        self._try("used number", self._fact(actor, 1, sequence=max(1, self.numbers - back)))

    @rule(actor=actors, stream=streams, off=st.integers(-1, 1))
    def expectation(self, actor: str, stream: int, off: int) -> None:
        revision = self.reference.revision(f"external:n{stream}") + off
        self._try("expectation", self._fact(actor, stream), expect={f"external:n{stream}": revision})

    @rule(actor=actors)
    def wrong_signer(self, actor: str) -> None:
        stranger = seeded_key(9999)
        signed = self._event(actor, [stranger], "external.observed", "external:n0", {"system": "machine"})
        self._try("wrong signer", signed)

    @rule(actor=actors)
    def rotate_key(self, actor: str) -> None:
        old = self.keys[actor][-1]
        new = self._new_key(actor)
        body = {"key": format_public_key(new.public)}
        self._try("new key", self._event("p-admin", [self.admin, new], "key.enrolled", f"actor:{actor}", body))
        body = {"keyid": old.public.keyid, "reason": "rotated"}
        self._try("old key ends", self._event("p-admin", [self.admin], "key.revoked", f"actor:{actor}", body))

    @rule()
    def actor_ends(self) -> None:
        body = {"reason": "retired"}
        self._try("actor ends", self._event("p-admin", [self.admin], "actor.revoked", "actor:w2", body))

    @rule(step=st.sampled_from((0, 1, 1_000_000, 86_400_000_000, -900_000)))
    def time_passes(self, step: int) -> None:
        self.now += step

    @rule()
    def checkpoint(self) -> None:
        self.signed = self.sign_heads()
        self.reached["heads", "signed"] += 1

    @rule()
    def reopen(self) -> None:
        self.open_again()
        self.reached["stores", "opened again"] += 1

    @rule(target=envelopes, actor=st.sampled_from(("w0", "w1")), point=st.sampled_from(sorted(_CRASHES)))
    def crash(self, actor: str, point: str) -> bytes:
        """Another process dies in its append, on both backends alike."""
        signed = self._fact(actor, 2)
        for url in self.urls:
            # In PostgreSQL the append is one statement: it has begun, or it is committed.
            here = point if _CRASHES[point] or url.startswith("sqlite") else "append.begun"
            with child("send_at", url, signed, self.now, point=here) as process:
                assert process.end() == -signal.SIGKILL, process.said
        self.reached[f"crash at {point}", "recorded" if _CRASHES[point] else "not recorded"] += 1
        if _CRASHES[point]:
            self.reference.append([signed], self.now)
        return signed

    @rule(which=st.integers(0, 1), choice=st.integers(0, 1000))
    def tamper(self, which: int, choice: int) -> None:
        """Somebody who owns the store changes a byte; it is found where it is; then he puts it back."""
        index = choice % len(self.reference.rows)
        ledger = self.ledgers[which]
        with raw(self.urls[which]) as store, _unprotected(store):
            ((payload,),) = store.run("SELECT payload FROM $content WHERE position = ?", (index + 1,))
            other = bytes(payload)[:-1] + bytes([bytes(payload)[-1] ^ 1])
            store.run("UPDATE $content SET payload = ? WHERE position = ?", (other, index + 1))
            report = verify_log(ledger.recorder)
            store.run("UPDATE $content SET payload = ? WHERE position = ?", (bytes(payload), index + 1))
        assert not report.ok
        assert report.findings[0].index == index
        assert verify_log(ledger.recorder).ok
        self.reached["damage", "found"] += 1

    # -- what always holds -----------------------------------------------------------------------

    @invariant()
    def agree(self) -> None:
        """The new entries are the same, column for column, and so are the heads."""
        self.compare()


class _unprotected:  # noqa: N801 - used as a block
    """Take the triggers off a store, and put them back."""

    def __init__(self, store: Raw) -> None:
        self._store = store
        self._triggers: list[str] = []

    def __enter__(self) -> None:
        if self._store.sqlite:
            self._triggers = [sql for (sql,) in self._store.run("SELECT sql FROM sqlite_master WHERE type = 'trigger'")]
        self._store.unprotect()

    def __exit__(self, *_: object) -> None:
        for sql in self._triggers:
            self._store.run_as_it_is(sql)
        if not self._store.sqlite:
            for table in ("entry", "content", "log", "head", "tile", "checkpoint"):
                self._store.run(f"ALTER TABLE ${table} ENABLE TRIGGER USER")


def machine_on(
    postgres_url: Callable[[], str], reference: type[ReferenceLedger] = ReferenceLedger
) -> type[LedgerMachine]:
    """The machine, whose PostgreSQL stores have these URLs.

    Args:
        postgres_url: gives the URL of a schema that is not there yet.
        reference: what the stores are compared with.
    """
    return type(
        "LedgerMachineHere",
        (LedgerMachine,),
        {"postgres_url": staticmethod(postgres_url), "new_reference": reference},
    )


def agreement(postgres_url: Callable[[], str], examples: int, steps: int, seed: int, *, every: bool = False) -> Result:
    """Live so many random lives.

    Args:
        postgres_url: see `machine_on`.
        examples: how many lives.
        steps: rules in each, at most.
        seed: of Hypothesis.
        every: whether there are so many lives that everything in `REACHED` must come about.
    """
    appended: list[int] = []
    reached: Counter[tuple[str, str]] = Counter()

    def ended(life: LedgerMachine) -> None:
        appended.append(len(life.reference.rows))
        reached.update(life.reached)

    result = live(machine_on(postgres_url), ended, examples, steps, seed, shrink=True)
    result.figures = {"events": sum(appended), "reached": {": ".join(pair): n for pair, n in sorted(reached.items())}}
    result.zeros["not reached"] = 0
    missed = sorted(": ".join(pair) for pair in REACHED - set(reached))
    if missed and every:
        result.failed("not reached", ", ".join(missed), len(missed))
    return result
