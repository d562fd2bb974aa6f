"""The failure modes: what each is, the types of events that show it, and the query that finds it.

`docs/reference/failure_modes.yaml` is made from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from projections.failures import governed, running
from projections.failures.looking import Found, Look

__all__ = ["MODES", "Mode", "find_failures"]

_SERVING: Final = ("canary.aborted", "canary.stage_entered", "deployment.completed", "deployment.promoted",
                   "rollback.completed")  # fmt: skip
_TEST: Final = "tests/projections/test_failure_modes.py"


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to fail.

    Attributes:
        id: its name.
        title: in words.
        query: finds it.
        events: types of events that the query reads.
        see: commands that look closer.
    """

    id: str
    title: str
    query: Callable[[Look], Iterable[Found]]
    events: tuple[str, ...]
    see: tuple[str, ...]

    @property
    def what(self) -> str:
        """What the query finds."""
        return (self.query.__doc__ or "").strip()

    @property
    def command(self) -> str:
        """The command line that finds it."""
        return f"muniment failure-modes find {self.id}"

    @property
    def test(self) -> str:
        """The test in which the fault is planted."""
        return f"{_TEST}::test_a_planted_fault_is_found_and_nothing_else[{self.id}]"

    def describe(self) -> dict[str, Any]:
        """For machines, and for the file."""
        return {
            "id": self.id, "title": self.title, "what": self.what, "events": list(self.events), "query": self.command,
            "see": list(self.see), "test": self.test,
        }  # fmt: skip


MODES: Final = (
    Mode("silent-drift", "Silent drift", running.silent_drift,
         ("monitor.signal", "monitor.window", "evaluation.completed", "evaluation.invalidated", "slo.defined",
          "retrain.requested", "incident.opened", "incident.linked", "deployment.held", "rollback.authorised",
          "quarantine.placed", "version.retired", "model.decommissioned", *_SERVING),
         ("muniment slo check", "muniment timeline INCIDENT")),
    Mode("schema-mismatch", "Schema mismatch", governed.schema_mismatch, ("contract.defined", *_SERVING),
         ("muniment state DEPLOYMENT",)),
    Mode("unauthorised-access", "Unauthorised access", governed.unauthorised_access,
         ("access.denied", "deployment.authorised", "rollback.authorised", "emergency.reviewed", *_SERVING),
         ("muniment log SUBJECT", "muniment state DEPLOYMENT", "muniment report generate control-assessment")),
    Mode("canary-bloat", "Canary bloat", running.canary_bloat, ("serving.snapshot", *_SERVING),
         ("muniment state DEPLOYMENT",)),
    Mode("bias-regression", "Bias regression", governed.bias_regression,
         ("evaluation.completed", "evaluation.invalidated", *_SERVING),
         ("muniment diff MODEL@VERSION MODEL@VERSION",)),
    Mode("latency-regression", "Latency regression", running.latency_regression, ("performance.tested", *_SERVING),
         ("muniment slo check",)),
    Mode("poisoning", "Data poisoning", governed.poisoning,
         ("quarantine.placed", "quarantine.released", "artifact.verified", "artifact.scanned", "dataset.registered",
          "dataset.versioned", "featureset.defined", "run.started", "run.completed", "run.attached",
          "version.registered", "version.composed", "evaluation.completed", "evaluation.invalidated", *_SERVING),
         ("muniment impact DATASET", "muniment lineage MODEL@VERSION --up")),
    Mode("secret-expiry", "Secret expiry", governed.secret_expiry, ("credential.rotated", "credential.expired"),
         ("muniment due",)),
    Mode("version-confusion", "Version confusion", running.version_confusion,
         ("serving.snapshot", "version.registered", "version.retired", "model.decommissioned", "version.aliased",
          "version.unaliased", "version.promoted", "deployment.authorised", "rollback.authorised", *_SERVING),
         ("muniment serving check", "muniment why MODEL@VERSION")),
    Mode("overfitting-in-production", "Overfitting in production", running.overfitting,
         ("evaluation.completed", "evaluation.invalidated", "labels.arrived", "monitor.signal", *_SERVING),
         ("muniment history MODEL@VERSION",)),
)  # fmt: skip


def find_failures(look: Look, names: Sequence[str] = ()) -> dict[str, list[Found]]:
    """Run queries.

    Args:
        look: the ledger and the time.
        names: ids of modes; all when empty.

    Returns:
        What was found, by mode, in the order of the table.
    """
    return {mode.id: list(mode.query(look)) for mode in MODES if not names or mode.id in names}
