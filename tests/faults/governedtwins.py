"""Deeds under the governed life cycle, done at once on SQLite and PostgreSQL and asked of `lawbook`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ledger.entry import format_time
from ledger.errors import LedgerError
from tests.contract.support import digest
from tests.faults.lawstates import StatedLaw
from tests.faults.pastdeeds import Deed, moment
from tests.faults.reference import Place, ReferenceLedger, Refused
from tests.faults.twins import Outcome, Twins

REFUSED = "refused"


class GovernedReference(ReferenceLedger):
    """The reference, which also asks a lawbook."""

    def __init__(self, ledgerid: str) -> None:
        super().__init__(ledgerid)
        self.law = StatedLaw()
        self._now = 0

    def append(
        self, envelopes: Sequence[bytes], now: int, expect: Mapping[str, int] | None = None
    ) -> list[Place]:  # fmt: skip
        self._now = max(now, self.rows[-1]["recorded_at"]) if self.rows else now
        self.law.leaves = self.leaves
        return super().append(envelopes, now, expect)

    def _check_signatures(self, event: Any) -> None:
        super()._check_signatures(event)
        if not self.law.allows(self._deed(event)):
            raise Refused(REFUSED)

    def _apply(self, event: Any) -> None:
        super()._apply(event)
        self.law.deeds.append(self._deed(event, len(self.rows) - 1))

    def _deed(self, event: Any, index: int | None = None) -> Deed:
        said = event.attributes
        kind = said["type"].removeprefix("muniment.").removesuffix(".v1")
        place = len(self.rows) if index is None else index
        behalf = str(said["onbehalfof"]).removeprefix("urn:muniment:") if "onbehalfof" in said else None
        when = min(moment(said["time"]), self._now)
        return Deed(said["id"], event.actor, kind, said["subject"], said["data"], behalf, place, self._now, when)


class GovernedTwins(Twins):
    """Two stores and a reference with its lawbook, which must be of one mind about every deed."""

    new_reference = GovernedReference
    reference: GovernedReference

    def __init__(self) -> None:
        super().__init__()
        self.ids: dict[str, list[str]] = {}
        self.agreed = False
        self.same_bytes = False
        self.counts: Counter[tuple[str, bool]] = Counter()

    def _append(self, *envelopes: bytes, expect: dict[str, int] | None = None) -> Outcome:
        """Hand the same to all: both backends in the same words, and all of one mind."""
        expected: Outcome
        try:
            expected = self.reference.append(envelopes, self.now, expect)
        except Refused:
            expected = REFUSED
        found: list[list[Place] | str] = []
        for ledger in self.ledgers:
            try:
                receipt = ledger.append(*envelopes, expect=expect)
                found.append([Place(receipt.index, receipt.leaf_hash, receipt.existing)])
            except LedgerError as error:
                found.append(f"{type(error).__name__}: {error}")
        self.agreed = False
        assert found[0] == found[1], "the backends differ"
        plain = REFUSED if isinstance(found[0], str) else found[0]
        assert plain == expected, ("the lawbook and the ledger differ", expected, found[0])
        self.agreed = True
        return expected

    def do(
        self, actor: str, kind: str, subject: str, data: Mapping[str, Any] | None = None, behalf: str | None = None, *,
        late: int = 0,
    ) -> bool:  # fmt: skip
        """One deed, reported so late; whether it was recorded."""
        event_id = str(UUID(int=self.numbers + 1))
        keys = [self.root] if actor == "root" else [self.admin] if actor == "p-admin" else self.keys[actor]
        body = {name: value for name, value in (data or {}).items() if value is not None}
        when = {"occurred_at": self.now - late} if late else {}
        envelope = self._event(actor, keys, kind, subject, body, event_id=event_id, on_behalf_of=behalf, **when)
        done = self._append(envelope) != REFUSED
        self.counts[kind, done] += 1
        if done:
            self.ids.setdefault(kind, []).append(event_id)
        return done

    def pick(self, kind: str, back: int) -> str:
        """The id of an event of a kind, from the last one back; one that nobody has where there is none."""
        found = self.ids.get(kind, [])
        return found[-1 - back] if back < len(found) else str(UUID(int=10**9))

    def bytes_of(self, model: str) -> str:
        """The digest of a version; in some lives two versions of a model have the same bytes."""
        return digest("model:m@1" if self.same_bytes and model == "model:m@2" else model)

    def about(self, event_id: str, other: str, *, right: bool) -> str:
        """What an event of ours is about; something else where it is not to be right, or there is none."""
        found = [deed.subject for deed in self.reference.law.deeds if deed.id == event_id]
        return found[0] if found and right else other

    def later(self, span: int) -> str:
        return format_time(self.now + span)

    def evidence(self, first: int, *, wrong: bool = False) -> list[dict[str, Any]]:
        """Everything behind an entry, as a decision cites it, but what is long ago."""
        leaves = self.reference.leaves
        other = bytes(32).hex()
        return [
            {"index": index, "leaf_hash": other if wrong else leaves[index].hex()}
            for index in range(max(first, len(leaves) - 250), len(leaves))
        ]
