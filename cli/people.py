"""What `muniment doctor` says of who may act: how many admins are left, and which actors nobody answers for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cli.keyring import actor_states

if TYPE_CHECKING:
    from ledger.application import Ledger

__all__ = ["people"]


def people(ledger: Ledger) -> Iterator[tuple[str, str, str, str]]:
    """Name, state, words and hint of each check."""
    from ledger.domain.roles import answers, lasting_admins

    states = actor_states(ledger)
    size = ledger.world.size
    world = ledger.world.at(size)
    admins = lasting_admins(world, size)
    words = f"{len(admins)} who can act without bounds: {', '.join(sorted(admins)) or 'none'}"
    if len(admins) > 1:
        yield "admins", "good", words, ""
    else:
        yield (
            "admins",
            "warning",
            words,
            "Enrol another admin, so that one can be lost: muniment actor enrol … --as root",
        )
    alone = [state.actor for state in states if state.revoked is None and not answers(world, state)]
    if alone:
        yield (
            "responsible persons", "warning", f"nobody answers for {', '.join(alone)}: their decisions are refused",
            "Name somebody: muniment actor responsible SERVICE PERSON --reason …",
        )  # fmt: skip
