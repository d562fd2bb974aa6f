"""Whether names that a person typed are of things that are recorded, and which are much like them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cli.app import App
    from ledger.application import Ledger

__all__ = ["is_known", "near", "near_environments", "require", "say_strange", "strange", "with_near"]

_LIMIT: Final = 2_000  # names that are compared
#: What may be said of a name without anything being there.
_SAYS_NOTHING: Final = ("muniment.quarantine.", "muniment.decision.refused.")


def is_known(ledger: Ledger, subject: str) -> bool:
    """Whether something is recorded of a subject but quarantines and refusals; of a version, that it is registered."""
    from ledger.domain.deployed import DeploymentState
    from ledger.domain.states import DatasetState, IncidentState, ModelState
    from ledger.names import parse_name, stream_of

    version, stream = parse_name(subject).version, stream_of(subject)
    size = ledger.world.refresh()
    state = ledger.world.at(size).state(stream)
    if version is not None and isinstance(state, ModelState | DatasetState) and version in state.versions:
        return True
    if isinstance(state, IncidentState) or (isinstance(state, DeploymentState) and state != DeploymentState()):
        return True  # judging has it at hand: a long stream is not read again
    rows = ledger.recorder.stream_rows(stream, 0, size)
    said = [row for row in rows if not row.entry.type.startswith(_SAYS_NOTHING)]
    return bool(said) and (version is None or any(row.entry.subject == subject for row in said))


def near(ledger: Ledger, subject: str) -> list[str]:
    """Up to three names of things of the same kind that are much like the name of a subject, the best one first."""
    kind, stream = subject.partition(":")[0], subject.partition("@")[0]
    names = ledger.recorder.streams(f"{kind}:", f"{kind};", _LIMIT)
    return get_close_matches(stream, [name for name in names if name != stream], n=3, cutoff=0.75)


def near_environments(ledger: Ledger, environment: str) -> list[str]:
    """Environments in use that are much like one that is not: a rule for all of them takes any name.

    Those are in use that a rule names, or that something was to be deployed to.
    """
    from ledger.domain.lifecycle import rules_of

    used = {
        name.partition(":")[2].partition("/")[0]
        for name in ledger.recorder.streams("deployment:", "deployment;", _LIMIT)
    }
    used |= {rule.environment for rule in rules_of(ledger.world.at(ledger.world.refresh()))}
    folded = {name.casefold(): name for name in used - {"*"}}
    found = [] if environment in used else get_close_matches(environment.casefold(), folded, n=2, cutoff=0.88)
    return [folded[name] for name in found]


def with_near(ledger: Ledger, subject: str, hint: str) -> str:
    """A hint, behind a question for names that are much like the one that was typed."""
    found = near(ledger, subject) if ":" in subject else []
    return f"Did you mean {' or '.join(found)}? {hint}" if found else hint


def strange(ledger: Ledger, *names: str | None) -> list[str]:
    """Those of some names of which nothing is recorded, to be told by `say_strange`; asked before anything is."""
    return [name for name in names if name is not None and not is_known(ledger, name)]


def say_strange(app: App, ledger: Ledger, names: list[str], hint: str) -> None:
    """Warn of names of which nothing was recorded, where what was recorded with them is never refused.

    Args:
        app: where it is said.
        ledger: the ledger.
        names: see `strange`.
        hint: what to do where a name is wrong.
    """
    for name in names:
        app.note(f"Warning: nothing else is recorded of {name}. {with_near(ledger, name, hint)}")


def require(ledger: Ledger, subject: str, hint: str) -> None:
    """Refuse to go on about something of which nothing is recorded: nothing can be taken out of a log again.

    Args:
        ledger: the ledger.
        subject: what was typed.
        hint: what to do where the name is right.

    Raises:
        UnknownThingError: nothing is recorded of it.
    """
    from ledger.errors import UnknownThingError

    if not is_known(ledger, subject):
        raise UnknownThingError(f"nothing is recorded of {subject}", subject, hint=with_near(ledger, subject, hint))
