"""What waits for somebody in a life, seen from what is recorded. It steers random lives; it judges nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.faults.pastdeeds import Deed


class Stages:
    """How far things are.

    Args:
        deeds: all that is recorded, in order.
    """

    def __init__(self, deeds: Sequence[Deed]) -> None:
        self.deeds = deeds

    def of(self, *kinds: str, **wanted: str) -> list[Deed]:
        """Deeds of some kinds, whose attributes are as wanted."""
        return [
            deed for deed in self.deeds
            if deed.kind in kinds and all(getattr(deed, name) == value for name, value in wanted.items())
        ]  # fmt: skip

    def left(self, kind: str, *ends: str, by: str) -> list[Deed]:
        """Deeds of a kind that nothing ended which names their id."""
        gone = {deed.data.get(by) for deed in self.of(*ends)}
        return [deed for deed in self.of(kind) if deed.id not in gone]

    @property
    def requests(self) -> list[Deed]:
        """Requests that were neither rejected, withdrawn nor sent back."""
        ends = ("approval.rejected", "approval.withdrawn", "approval.changes_requested")
        return self.left("approval.requested", *ends, by="request")

    @property
    def sent_back(self) -> list[Deed]:
        """Requests that were sent back and not closed otherwise."""
        back = {deed.data["request"] for deed in self.of("approval.changes_requested")}
        open_ = self.left("approval.requested", "approval.rejected", "approval.withdrawn", by="request")
        return [deed for deed in open_ if deed.id in back]

    @property
    def approvals(self) -> list[Deed]:
        """Approvals that were not revoked."""
        return self.left("approval.granted", "approval.revoked", by="approval")

    @property
    def undecided(self) -> list[Deed]:
        """Requests that nobody approved either."""
        given = {deed.data["request"] for deed in self.approvals}
        return [deed for deed in self.requests if deed.id not in given]

    @property
    def unmet(self) -> list[tuple[Deed, int]]:
        """Conditions of approvals that were not said to be met, by their number."""
        met = {(deed.data["approval"], deed.data["condition"]) for deed in self.of("approval.condition_met")}
        return [
            (deed, number) for deed in self.approvals for number in range(len(deed.data.get("conditions") or ()))
            if (deed.id, number) not in met
        ]  # fmt: skip

    @property
    def unreviewed(self) -> list[Deed]:
        """Authorisations in an emergency that nobody has reviewed."""
        given = self.left("deployment.authorised", "emergency.reviewed", by="decision")
        return [deed for deed in given if deed.data.get("emergency")]

    @property
    def quarantines(self) -> list[Deed]:
        return self.left("quarantine.placed", "quarantine.released", by="quarantine")

    @property
    def holds(self) -> list[Deed]:
        return self.left("hold.placed", "hold.released", by="hold")

    @property
    def waivers_asked(self) -> list[Deed]:
        """Waivers that were neither granted, denied nor revoked."""
        return self._unless("waiver.requested", "waiver.granted", "waiver.denied", "waiver.revoked")

    @property
    def waivers_granted(self) -> list[Deed]:
        return self._unless("waiver.granted", "waiver.revoked")

    def _unless(self, kind: str, *ends: str) -> list[Deed]:
        gone = {deed.subject for deed in self.of(*ends)}
        return [deed for deed in self.of(kind) if deed.subject not in gone]

    @property
    def registered(self) -> set[str]:
        return {deed.subject for deed in self.of("version.registered")}

    @property
    def retired(self) -> set[str]:
        ended = {deed.subject: deed.index for deed in self.of("model.decommissioned")}
        registered = self.of("version.registered")
        whole = {deed.subject for deed in registered if deed.index < ended.get(deed.stream, -1)}
        return whole | {deed.subject for deed in self.of("version.retired")}

    def passed(self, model: str) -> bool:
        """Whether the last evaluation of a version, of whatever suite, passed."""
        said = self.of("evaluation.completed", "evaluation.invalidated", subject=model)
        return bool(said) and said[-1].data.get("verdict") == "pass"

    def decided(self, model: str, environment: str, deeds: Iterable[Deed]) -> list[Deed]:
        """Those of some requests or approvals that are about a version in an environment."""
        return [deed for deed in deeds if (deed.subject, deed.data["environment"]) == (model, environment)]
