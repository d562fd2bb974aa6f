"""What a gate may rest on: valid entries without what a stolen key signed, findings, and who may still decide."""

from __future__ import annotations

from typing import Any, Final

from ledger.domain.actors import RoleGrant
from ledger.domain.scopes import covers_stream, covers_type
from ledger.domain.suspicion import suspicion
from ledger.domain.world import World, actor_of
from ledger.names import parse_name
from projections.journal import JournalRow
from projections.known import Known
from projections.suspension import Stamped

__all__ = ["GateRows", "people", "says_of"]

#: They can only stop something, so nobody has to have meant them for them to be looked at.
_WARNINGS: Final = frozenset({"incident.opened", "incident.reopened", "dataset.deprecated", "dataset.deleted"})


def _warns(row: JournalRow) -> bool:
    """Whether an entry speaks against a version, or against what it was made from or runs in."""
    data = row["data"]
    said = (data.get("verdict"), data.get("outcome"), data.get("status"))
    return row["type"] in _WARNINGS or "fail" in said or "withdrawn" in said


class GateRows:
    """Reads valid entries as a gate does.

    Args:
        known: the ledger, as it was known at a size.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self.suspect = Stamped(known.ledger, known.size).suspect

    def __call__(self, *where: tuple[str, str, Any]) -> list[JournalRow]:
        """Valid entries; one that is suspect speaks for nothing, but what it warns of is not passed over."""
        return [row for row in self.all(*where) if _warns(row) or not self.suspect(row)]

    def all(self, *where: tuple[str, str, Any]) -> list[JournalRow]:
        """Valid entries, those that are suspect too."""
        return self._known.rows(*where)


def says_of(row: JournalRow, digest: str) -> bool:
    """Whether an entry is about these bytes; one that names none is about whatever its subject is."""
    return digest == "" or row["data"].get("digest") in (None, digest)


#: What a role is counted for: the type of the decision.
_DECISIONS: Final = {
    "approver": "approval.granted.v1", "deployer": "deployment.authorised.v1", "validator": "validation.completed.v1",
}  # fmt: skip


def people(world: World, rows: GateRows, place: tuple[str, str], model: str, now: int) -> dict[str, int]:
    """How many persons may decide what a gate asks about.

    Args:
        world: states as they were known.
        rows: valid entries.
        place: environment and deployment, which is empty when it is not known: then any in it counts.
        model: the stream of the model.
        now: a role that has ended by then does not count, microseconds since the Unix epoch.
    """
    persons: dict[str, set[str]] = {role: set() for role in _DECISIONS}
    environment, deployment = place

    def reaches(grant: RoleGrant) -> bool:
        about = deployment if grant.role == "deployer" else model
        there = not grant.environments or environment in grant.environments
        there = there and (not about or covers_stream(grant.subjects, about))
        return there and covers_type(grant.types, _DECISIONS[grant.role])

    def stands(grant: RoleGrant) -> bool:
        return grant.ended is None and now < grant.until and reaches(grant) and suspicion(world, grant.signed) is None

    for row in rows(("type", "=", "actor.enrolled")):
        state = actor_of(world, parse_name(row["subject"]).name)
        if state is None or state.revoked is not None or state.person is None:
            continue
        for grant in state.grants:
            if grant.role in persons and stands(grant):
                persons[grant.role].add(state.person)
    return {f"{role}s": len(found) for role, found in persons.items()}
