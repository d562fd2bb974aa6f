"""Types of events that say the same kind of thing to every view."""

from __future__ import annotations

from typing import Final

__all__ = ["DATA", "DEPLOYED", "ENDED", "RUNS", "SIGNALS", "WENT_LIVE"]

#: A data set version exists, and has this digest.
DATA: Final = ("dataset.registered", "dataset.versioned")
#: A run ended, or is put on record when it had ended.
ENDED: Final = ("run.aborted", "run.attached", "run.completed", "run.failed")
RUNS: Final = ("run.started", *ENDED)
#: A monitor says something of a deployment or a version, in its own stream; windows are but numbers to add up.
SIGNALS: Final = ("monitor.signal", "slo.breached", "slo.recovered", "errorbudget.consumed")
#: A version is live in a deployment, brought there by deploying.
DEPLOYED: Final = ("deployment.completed", "deployment.promoted")
#: A version is live in a deployment.
WENT_LIVE: Final = (*DEPLOYED, "rollback.completed")
