"""Telling a platform what was decided by rule: at least once, again until it was told or is settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from ledger.application import Ledger, Receipt
from ledger.crashpoints import crashpoint
from ledger.entry import format_time
from ledger.strictjson import format_json
from ledger.telling import Channel, Outcome
from projections.journal import JournalRow
from projections.service import Decision, Service
from projections.slo.watching import by_rule

__all__ = ["Told", "message", "tell", "untold"]

#: Seconds until it is tried again after a failure, doubled with each.
_FIRST_PAUSE: Final = 30
_LONGEST_PAUSE: Final = 3600


@dataclass(frozen=True)
class Told:
    """What became of telling a decision by a channel, and where that is recorded."""

    decision: Decision
    channel: str
    recipient: str
    outcome: Outcome
    receipt: Receipt

    def describe(self) -> dict[str, Any]:
        """For machines."""
        outcome = self.outcome
        return {
            "decision": self.decision.id,
            "channel": self.channel,
            "recipient": self.recipient,
            "told": outcome.told,
            "attempts": outcome.attempts,
            "status": outcome.status,
            "reason": outcome.reason or None,
            "index": self.receipt.index,
        }


def message(ledger: Ledger, service: Service, decision: Decision) -> bytes:
    """What is told of a decision: JSON, the same whenever it is told.

    Args:
        ledger: the log.
        service: the deployment.
        decision: the decision.
    """
    data, row = decision.row["data"], decision.row
    breach = next(one for one in service.breaches if one["id"] == data["trigger"])
    told = {
        "schema": "urn:muniment:schema:decision.v1",
        "ledger": {"origin": ledger.origin, "ledgerid": ledger.ledgerid},
        "decision": {"id": decision.id, "index": row["index"], "leaf_hash": row["leaf_hash"], "type": row["type"]},
        "action": decision.action,
        "deployment": service.name,
        "model": data["model"],
        "digest": data["digest"],
        "reason": data.get("reason"),
        "decided_at": format_time(row["recorded_at"]),
        "due_at": data.get("due_at"),
        "slo": breach["data"]["slo"],
        "breach": {"id": breach["id"], "index": breach["index"], "model": breach["data"].get("model")},
        "evidence": data.get("evidence", []),
    }
    return format_json(told)


def _by(row: JournalRow, channel: Channel) -> bool:
    """Whether a notice was to the same recipient, by the same way."""
    return (row["data"].get("channel"), row["data"].get("recipient")) == (channel.name, channel.recipient)


def untold(service: Service, channel: Channel, *, now: int, patient: bool, again: bool = False) -> list[Decision]:
    """Decisions by rule that are open and that the recipient of a channel was not told.

    Args:
        service: the deployment.
        channel: the way, and to whom.
        now: microseconds since the Unix epoch.
        patient: leave out those whose last failure is not long enough ago.
        again: those that it was told, too.
    """
    found = []
    for decision in service.open_decisions():
        if not by_rule(service, decision) or (not again and any(_by(one, channel) for one in decision.told)):
            continue
        failed = [one for one in decision.failed if _by(one, channel)]
        pause = min(_FIRST_PAUSE * 2 ** min(len(failed) - 1, 20), _LONGEST_PAUSE) * 1_000_000 if failed else 0
        if not patient or not failed or failed[-1]["recorded_at"] + pause <= now:
            found.append(decision)
    return found


def tell(
    ledger: Ledger, service: Service, channels: Sequence[Channel], *, now: int, patient: bool = False,
    again: bool = False,
) -> list[Told]:  # fmt: skip
    """Tell what was not told, and record what became of it.

    Args:
        ledger: open, signing as the watcher.
        service: the deployment as it is known now.
        channels: ways to tell.
        now: microseconds since the Unix epoch.
        patient: wait longer after each failure.
        again: tell what was told, too, as long as it is open.

    Raises:
        LedgerError: what became of it could not be recorded; it will be told again.
    """
    found = []
    for channel in channels:
        for decision in untold(service, channel, now=now, patient=patient, again=again):
            body = message(ledger, service, decision)
            outcome = channel.tell(decision.id, body)
            crashpoint("watch.told")
            about = {
                "recipient_class": "platform",
                "recipient": channel.recipient,
                "about": decision.id,
                "channel": channel.name,
                "digest": "sha256:" + sha256(body).hexdigest(),
                "attempts": outcome.attempts,
                "status": outcome.status,
                "reason": outcome.reason or None,
            }
            kind = "notification.sent" if outcome.told else "notification.failed"
            receipt = ledger.emit(kind, service.name, about, causation=decision.id)
            found.append(Told(decision, channel.name, channel.recipient, outcome, receipt))
    return found
