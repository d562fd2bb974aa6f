"""A slow ledger of lists and dicts, written from docs/FORMAT.md, to compare the real ones with.

It shares no code with the recorders, the judge or the parsers: it reads envelopes with `json`, verifies signatures with
`cryptography`, writes entries with the tests' own writer and computes roots from the definition. It knows facts and the
life of actors and keys, and nothing of policies.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.contract.support import entry_of

_TYPE = "application/cloudevents+json"


class Refused(Exception):  # noqa: N818 - an outcome, like a receipt
    """Why an append is refused: ``authentication`` or ``conflict``."""


@dataclass(frozen=True)
class Place:
    """Where an event stands."""

    index: int
    leaf: bytes
    existing: bool


@dataclass
class _Key:
    actor: str
    public: bytes
    revoked: bool = False


@dataclass(frozen=True)
class _Event:
    payload: bytes
    envelope: bytes
    keys: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def actor(self) -> str:
        return str(self.attributes["source"]).removeprefix("urn:muniment:")

    @property
    def stream(self) -> str:
        return str(self.attributes["subject"]).partition("@")[0]

    @property
    def who(self) -> tuple[str, str]:
        return self.actor, self.attributes["id"]

    @property
    def numbered(self) -> tuple[str, str, int]:
        return self.actor, self.attributes["emitter"], int(self.attributes["sequence"])


def _keyid(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()


def _public(text: str) -> bytes:
    return base64.b64decode(text.removeprefix("ed25519:"))


@dataclass
class ReferenceLedger:
    """The whole log in memory.

    Attributes:
        ledgerid: of every event in it.
        rows: the entries, by the names of the columns.
    """

    ledgerid: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    _keys: dict[str, _Key] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)

    @property
    def leaves(self) -> list[bytes]:
        return [row["leaf_hash"] for row in self.rows]

    def believe_root(self, public: bytes) -> None:
        """Take a root key for good that signs entry 0."""
        self._keys[_keyid(public)] = _Key("root", public)

    def revision(self, stream: str) -> int:
        """How many events a stream has."""
        return sum(row["stream"] == stream for row in self.rows)

    def append(self, envelopes: Sequence[bytes], now: int, expect: Mapping[str, int] | None = None) -> list[Place]:
        """All of them or none.

        Raises:
            Refused: why.
        """
        events = [self._parse(envelope) for envelope in envelopes]
        known = [self._known(event) for event in events]
        fresh = [event for event, place in zip(events, known, strict=True) if place is None]
        for event in fresh:
            self._check_signatures(event)
            self._check_ended(event)
        for stream, revision in (expect or {}).items():
            if fresh and self.revision(stream) != revision:
                raise Refused("conflict")
        taken_ids = {(row["actor"], row["id"]) for row in self.rows}
        taken_numbers = {(row["actor"], row["emitter"], row["sequence"]) for row in self.rows}
        for event in fresh:
            if event.who in taken_ids or event.numbered in taken_numbers:
                raise Refused("conflict")
            taken_ids.add(event.who)
            taken_numbers.add(event.numbered)
        places = iter([self._record(event, now) for event in fresh])
        return [place or next(places) for place in known]

    @staticmethod
    def _parse(envelope: bytes) -> _Event:
        outer = json.loads(envelope)
        payload = base64.b64decode(outer["payload"])
        return _Event(payload, envelope, tuple(item["keyid"] for item in outer["signatures"]), json.loads(payload))

    def _known(self, event: _Event) -> Place | None:
        for row in self.rows:
            if (row["actor"], row["id"]) == event.who and row["payload"] == hashlib.sha256(event.payload).digest():
                return Place(row["position"] - 1, row["leaf_hash"], existing=True)
        return None

    def _check_signatures(self, event: _Event) -> None:
        data = event.attributes["data"]
        possession = {}
        if event.attributes["type"] in {"muniment.actor.enrolled.v1", "muniment.key.enrolled.v1"}:
            possession = {_keyid(_public(data["key"])): _public(data["key"])}
        own = {name: key.public for name, key in self._keys.items() if key.actor == event.actor and not key.revoked}
        if event.actor in self._gone:
            raise Refused("authentication")
        if not own.keys() & set(event.keys) or not possession.keys() <= set(event.keys):
            raise Refused("authentication")
        pae = b"DSSEv1 %d %s %d %s" % (len(_TYPE), _TYPE.encode(), len(event.payload), event.payload)
        for item in json.loads(event.envelope)["signatures"]:
            public = {**own, **possession}.get(item["keyid"])
            if public is None:
                raise Refused("authentication")
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(item["sig"]), pae)
            except InvalidSignature as error:
                raise Refused("authentication") from error

    def _check_ended(self, event: _Event) -> None:
        """What ended with an actor does not end again; a key that is brought in later is legal, and signs nothing."""
        name = str(event.attributes["subject"]).partition(":")[2]
        if event.attributes["type"] in {"muniment.key.revoked.v1", "muniment.actor.revoked.v1"} and name in self._gone:
            raise Refused("conflict")

    def _record(self, event: _Event, now: int) -> Place:
        last = self.rows[-1] if self.rows else None
        row: dict[str, Any] = {
            "position": len(self.rows) + 1,
            "stream": event.stream,
            "revision": self.revision(event.stream) + 1,
            "type": event.attributes["type"],
            "actor": event.actor,
            "id": event.attributes["id"],
            "emitter": event.attributes["emitter"],
            "sequence": int(event.attributes["sequence"]),
            "subject": event.attributes["subject"],
            "item": 0,
            "keys": ",".join(event.keys),
            "payload": hashlib.sha256(event.payload).digest(),
            "envelope": hashlib.sha256(event.envelope).digest(),
            "prev": last["leaf_hash"] if last else bytes(32),
            "recorded_at": max(now, last["recorded_at"]) if last else now,
        }
        row["leaf_hash"] = hashlib.sha256(b"\0" + entry_of(row, self.ledgerid)).digest()
        self.rows.append(row)
        self._apply(event)
        return Place(row["position"] - 1, row["leaf_hash"], existing=False)

    def _apply(self, event: _Event) -> None:
        """What an event changes for those behind it."""
        data, name = event.attributes["data"], event.attributes["subject"].partition(":")[2]
        match event.attributes["type"]:
            case "muniment.ledger.created.v1":
                for text in data["roots"]:
                    self._keys[_keyid(_public(text))] = _Key("root", _public(text))
            case "muniment.actor.enrolled.v1" | "muniment.key.enrolled.v1":
                self._keys[_keyid(_public(data["key"]))] = _Key(name, _public(data["key"]))
            case "muniment.key.revoked.v1":
                self._keys[data["keyid"]].revoked = True
            case "muniment.actor.revoked.v1":
                self._gone.add(name)
