"""Whether a check can be waived at all: what the policy says that the rules name.

The judge reads no policies, and whether one lets a check be is for whoever runs it to tell. So a waiver that can have
no effect is refused to whoever asks for it or grants it, and told as such wherever waivers are: no rule of the ledger.
"""

from __future__ import annotations

from ledger.domain.lifecycle import rule_for, versions_meant
from ledger.domain.scopes import matches
from ledger.domain.states import TIER_RANK
from ledger.errors import ConfigurationError, InputError, PolicyError
from ledger.events.ledgers import Rule
from ledger.events.policies import PolicyDefined
from ledger.handle import LogHandle
from ledger.names import stream_of
from ledger.policy import parse_policy

__all__ = ["Waivable"]


class Waivable:
    """Asks policies about their checks; each is read once.

    Args:
        ledger: open.
        size: log size by which the rules and the policies are known.
    """

    def __init__(self, ledger: LogHandle, size: int) -> None:
        self._ledger = ledger
        self._size = size
        self._known: dict[tuple[str, str | None], dict[str, bool] | None] = {}

    def checks(self, rule: Rule) -> dict[str, bool] | None:
        """Ids of the checks of the policy that a rule names, each with whether it can be waived.

        Returns:
            None where the policy is not defined as the rule names it, or cannot be read here.
        """
        key = str(rule.gate), rule.gate_digest
        if key not in self._known:
            self._known[key] = self._read(*key)
        return self._known[key]

    def _read(self, policy: str, digest: str | None) -> dict[str, bool] | None:
        for row in self._ledger.recorder.stream_rows(stream_of(policy), 0, self._size, 0):
            event = self._ledger.world.judge_row(row).event
            if event is not None and isinstance(event.body, PolicyDefined) and event.body.digest == digest:
                try:
                    return {check.id: check.waivable for check in parse_policy(event.body.source).checks}
                except (InputError, ConfigurationError):
                    return None
        return None

    def trouble(self, check: str, model: str, environment: str) -> str | None:
        """Why a waiver would have no effect, in words; None where it may have one, or where that is not known.

        Args:
            check: id of a check, or a pattern.
            model: ``model:<name>`` or one of its versions.
            environment: for example ``prod``.
        """
        world, found = self._ledger.world.at(self._size), None
        for tier in sorted({named.tier for named in versions_meant(world, model)} or TIER_RANK):
            try:
                rule = rule_for(world, environment, tier)
            except PolicyError:
                continue  # what is not ruled asks no policy
            if rule.gate is None:
                continue
            checks = self.checks(rule)
            meant = {name: may for name, may in (checks or {}).items() if matches(check, name)}
            if checks is None or any(meant.values()):
                return None
            if meant:
                found = f"{rule.gate}, which the rules name for {environment}, says that {', '.join(meant)} cannot be"
        return found and f"{found} waived"
