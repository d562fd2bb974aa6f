"""The data behind a version, for gates: what it was trained on, however far up, and whether it was measured on that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ledger.domain.ancestry import Step, digests_of, made_from
from ledger.domain.grounds import Word, last_word
from ledger.domain.states import DatasetState, Read
from ledger.domain.world import World
from ledger.names import parse_name, stream_of
from projections.gaterows import GateRows, says_of
from projections.groups import DATA
from projections.journal import JournalRow

__all__ = ["GateData"]


class GateData:
    """Walks up from a version as quarantines do (`ledger.domain.ancestry`).

    Args:
        world: states as they were known.
        rows: valid entries.
        subject: the version.
        digest: its digest.
    """

    def __init__(self, world: World, rows: GateRows, subject: str, digest: str) -> None:
        self._world, self._rows = world, rows
        start = [Step((subject,), digest)]
        self._read = dict.fromkeys(self._data(made_from(world, start, derived=False)))
        self._all = dict.fromkeys([*self._read, *self._data(made_from(world, start))])
        # Looked up by every evaluation, so told once: names by their stream, and all bytes.
        self._versions: dict[str, set[str | None]] = {}
        self._bytes = set[str]()
        for name, read in self._all:
            self._versions.setdefault(stream_of(name), set()).add(parse_name(name).version)
            self._bytes |= self._digests(name, read)

    def _data(self, steps: Iterable[Step]) -> Iterator[Read]:
        return ((step.path[-1], step.read) for step in steps if self._is_data(step.path[-1]))

    def _is_data(self, name: str) -> bool:
        """A feature set that names no data stands for itself: what is behind it is not known."""
        if not name.startswith("featureset:"):
            return name.startswith("dataset:")
        state = self._world.state(stream_of(name))
        return not (isinstance(state, DatasetState) and state.inputs_of(parse_name(name).version))

    def datasets(self) -> list[dict[str, Any]]:
        """What training read first, and then what that was made from."""
        return [self._dataset(name, digest) for name, digest in self._all]

    def _dataset(self, subject: str, digest: str) -> dict[str, Any]:
        stream, version = stream_of(subject), parse_name(subject).version
        found: dict[str, Any] = {
            "subject": subject, "digest": digest, "read": (subject, digest) in self._read, "registered": False,
            "quality": "", "deprecated": False, "license": "", "consent": "",
        }  # fmt: skip
        quality, consent = list[Word[JournalRow]](), list[Word[JournalRow]]()
        for row in self._rows(("stream", "=", stream)):
            data = row["data"]
            if row["subject"] not in (subject, stream):
                continue
            if row["type"] in DATA and row["subject"] == subject:
                found["registered"] |= not digest or data["digest"] == digest
                found["license"] = data.get("license") or found["license"]
            elif row["type"] == "dataset.quality_assessed" and says_of(row, digest):
                quality.append((row["occurred_at"], data.get("verdict", "uncertain"), row))
            elif row["type"] == "dataset.license_changed":
                found["license"] = data["license"]
            elif row["type"] == "dataset.consent_changed":
                consent.append((row["occurred_at"], data["status"], row))
            found["deprecated"] |= row["type"] in ("dataset.deprecated", "dataset.deleted")
        for name, said in (("quality", quality), ("consent", consent)):
            last = last_word(said)
            found[name] = "" if last is None else last[1]
        state = self._world.state(stream)
        known = state.quarantines if isinstance(state, DatasetState) else ()
        return found | {"quarantined": any(one.version in ("", version) for one in known)}

    def _digests(self, name: str, said: str) -> set[str]:
        return {said, *digests_of(self._world.state(stream_of(name)), parse_name(name).version)} - {""}

    def measured_on(self, row: JournalRow) -> dict[str, Any]:
        """What an evaluation says of its data: the digest, said or registered, and whether training read that.

        A name without version is any version of it, and the same bytes under another name are the same data.
        """
        name, said = row["data"].get("dataset") or "", row["data"].get("dataset_digest") or ""
        digests = self._digests(name, said) if name else {said} - {""}
        same = self._same(name) or bool(digests & self._bytes)
        return {"dataset_digest": said or next(iter(digests), ""), "trained_on": same}

    def _same(self, name: str) -> bool:
        if not name:
            return False
        versions, version = self._versions.get(stream_of(name), set()), parse_name(name).version
        return bool(versions) and (version is None or not versions.isdisjoint({version, None}))
