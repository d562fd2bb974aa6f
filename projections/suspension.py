"""What of a state is suspended: it rests on entries that were signed with a compromised key, as known at a size."""

from __future__ import annotations

from typing import Any

from ledger.application import Ledger
from ledger.domain.authorising import deployment_doubt
from ledger.suspects import Doubts

__all__ = ["Stamped", "suspend"]

Stamp = dict[str, Any]
_OVER = ("rejected", "withdrawn", "revoked")
_FALLING = ("approved", "approval pending", "deploy authorised")


class Stamped:
    """Asks of entries by their stamps whether they are suspect.

    Args:
        ledger: the log.
        size: log size that is known.
    """

    def __init__(self, ledger: Ledger, size: int) -> None:
        self.world = ledger.world.at(size)
        self._recorder = ledger.recorder
        self._doubts = Doubts(self.world)

    def suspect(self, stamp: Stamp | None) -> bool:
        """Whether the entry of a stamp is suspect; most are not even read."""
        if stamp is None or not self._doubts.may(stamp["actor"], stamp["index"]):
            return False
        return self._doubts.of(self._recorder.rows(stamp["index"], 1)[0]) is not None


def _version(asked: Stamped, version: dict[str, Any]) -> None:
    for approval in version["approvals"]:
        decided = approval["status"] == "approved" and asked.suspect(approval["decided"])
        if decided or (approval["status"] not in _OVER and asked.suspect(approval["requested"])):
            approval["status"] = "suspended"
    granted = [
        approval["status"] for approval in version["approvals"] if approval["status"] in ("approved", "suspended")
    ]
    fallen = version["status"] in _FALLING and set(granted) == {"suspended"}
    if version["status"] != "live" and (fallen or asked.suspect(version["registered"])):
        version["status"] = "suspended"


def suspend(ledger: Ledger, size: int, found: dict[str, Any]) -> dict[str, Any]:
    """Say in a state what is suspended.

    Args:
        ledger: the log.
        size: log size that is known.
        found: what `model_state.state_as_of` gave, which is changed: a suspect approval, and a version that has no
            other, is ``suspended``; a suspect entry of a deployment is marked ``suspect``, and what is live and rests
            on one ``rests-on-suspect``.

    Returns:
        The same.
    """
    asked = Stamped(ledger, size)
    for model in found["models"]:
        for version in model["versions"]:
            _version(asked, version)
    for deployment in found["deployments"]:
        for item in deployment["history"]:
            if asked.suspect(item):
                item["marks"] = [*item["marks"], "suspect"]
        live = deployment["live"]
        if live is not None and deployment_doubt(asked.world, deployment["deployment"], live["model"], live["digest"]):
            live["marks"] = [*live["marks"], "rests-on-suspect"]
    return found
