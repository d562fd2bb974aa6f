"""`muniment completion`, and what a shell asks for when it completes a line.

Names of commands come from the table in `cli.main`; nothing of the ledger is imported for them.
"""

from __future__ import annotations

import os
from typing import Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from cli.app import App, common_options, pass_app

__all__ = ["EVENT_TYPES", "complete_values", "completion"]

#: The catalogue's short names; reading them from the catalogue would take a quarter of a second at every key.
EVENT_TYPES: Final = (
    "access.denied", "actor.enrolled", "actor.offboarded", "actor.responsible_changed", "actor.revoked",
    "approval.changes_requested", "approval.condition_met", "approval.delegated", "approval.escalated",
    "approval.expired", "approval.granted", "approval.rejected", "approval.requested", "approval.revoked",
    "approval.withdrawn", "artifact.produced", "artifact.scanned", "artifact.signed", "artifact.verified",
    "bom.attached", "canary.aborted", "canary.analysed", "canary.paused", "canary.stage_entered",
    "configuration.changed", "contract.defined", "credential.expired", "credential.rotated", "dataset.consent_changed",
    "dataset.deleted", "dataset.deprecated", "dataset.license_changed", "dataset.quality_assessed",
    "dataset.registered", "dataset.versioned", "decision.refused", "deployment.authorised", "deployment.completed",
    "deployment.denied", "deployment.failed", "deployment.held", "deployment.promoted", "deployment.requested",
    "deployment.started", "documentation.attached", "drill.conducted", "emergency.reviewed", "emitter.closed",
    "emitter.heartbeat", "entry.reaffirmed", "erasure.requested", "erasure.resolved", "errorbudget.consumed",
    "errorbudget.reset", "evaluation.completed", "evaluation.invalidated", "evidence.preserved", "experiment.completed",
    "experiment.started", "external.observed", "featureset.changed", "featureset.defined", "featureset.materialized",
    "feed.interrupted", "finding.disposed", "gap.declared", "gate.evaluated", "hold.placed", "hold.released",
    "incident.action_item_assigned", "incident.action_item_completed", "incident.action_item_created",
    "incident.action_item_verified", "incident.closed", "incident.contributing_factor_recorded", "incident.linked",
    "incident.mitigated", "incident.noted", "incident.opened", "incident.reopened", "incident.resolved",
    "incident.role_assigned", "incident.root_cause_recorded", "incident.severity_changed", "key.compromised",
    "key.enrolled", "key.revoked", "key.rotated", "labels.arrived", "ledger.checkpoint_key_changed", "ledger.created",
    "ledger.entry_acknowledged", "ledger.restored", "ledger.roots_changed", "ledger.rules_changed",
    "model.decommissioned", "model.described", "model.on_call_assigned", "model.owner_changed", "model.registered",
    "modelcard.published", "modelcard.revised", "monitor.signal", "monitor.window", "notification.failed",
    "notification.sent", "performance.tested", "policy.defined", "policy.retired", "postmortem.published",
    "quarantine.placed", "quarantine.released", "retrain.requested", "retrain.resolved", "risk.classified",
    "role.granted", "role.revoked", "rollback.authorised", "rollback.completed", "rollback.requested", "run.aborted",
    "run.attached", "run.completed", "run.failed", "run.started", "serving.snapshot", "slo.breached", "slo.defined",
    "slo.recovered", "subject.erased", "thirdparty.registered", "validation.assigned", "validation.completed",
    "validation.withdrawn", "version.aliased", "version.composed", "version.demoted", "version.promoted",
    "version.registered", "version.retired", "version.tagged", "version.unaliased", "waiver.denied", "waiver.expired",
    "waiver.granted", "waiver.requested", "waiver.revoked", "waiver.used",
)  # fmt: skip
#: Parameter: what the ledger is asked for.
_ASKED: Final = {
    "subject": "subject", "before": "subject:model:", "after": "subject:model:", "model": "subject:model:",
    "deployment": "subject:deployment:", "dataset": "subject:dataset:", "run": "subject:run:", "actor": "actor",
    "signer": "actor", "on_behalf_of": "actor", "responsible": "actor", "owner": "actor", "successor": "actor",
    "event": "index", "index": "index",
}  # fmt: skip


class _Known(click.types.StringParamType):
    """Text with suggestions."""

    def __init__(self, what: str) -> None:
        self._what = what

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """What the ledger that is found here holds; nothing on any trouble."""
        if self._what == "type":
            return [CompletionItem(name) for name in EVENT_TYPES if name.startswith(incomplete)]
        from cli.candidates import candidates

        ledger = ctx.meta.get("muniment.ledger") or ctx.find_root().params.get("ledger")
        kind, _, start = self._what.partition(":")
        wanted = start if start.startswith(incomplete) else incomplete
        found = [name for name in candidates(ledger, kind, wanted) if name.startswith(start)]
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def complete_values(command: click.Command, group: str = "") -> None:
    """Give a command's parameters suggestions from the ledger, by their names.

    Args:
        command: a command, or a group with all its commands.
        group: name of the group it is in.
    """
    if isinstance(command, click.Group):
        for child in command.commands.values():
            complete_values(child, command.name or "")
    for parameter in command.params:
        name = parameter.name or ""
        if command.name == "emit" and name == "type":
            parameter.type = _Known("type")
        elif name == "incident" or (name == "subject" and group == "incident"):
            parameter.type = _Known("subject:incident:")
        elif name in _ASKED and isinstance(parameter.type, click.types.StringParamType | click.IntRange):
            parameter.type = _Known(_ASKED[name])


class _Bash(BashComplete):
    """Bash parts words at colons and at signs, of which our names are made; so it is given the whole line instead."""

    name = "bash"
    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' line response
    response=$(env MUNIMENT_LINE="${COMP_LINE:0:COMP_POINT}" MUNIMENT_BREAKS="$COMP_WORDBREAKS" \
%(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()
    for line in $response; do
        case "$line" in
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
            *) COMPREPLY+=("${line#*,}") ;;
        esac
    done
}
%(complete_func)s_setup() {
    complete -o nosort -F %(complete_func)s %(prog_name)s
}
%(complete_func)s_setup;
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and the one it is in."""
        line = os.environ.get("MUNIMENT_LINE", "")
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """A reply without the part of the word that bash has parted off."""
        _, word = self.get_completion_args()
        breaks = os.environ.get("MUNIMENT_BREAKS", "")
        parted = max((word.rfind(mark) for mark in breaks if not mark.isspace()), default=-1) + 1
        value = str(item.value)
        return f"{item.type},{value[parted:] if value.startswith(word[:parted]) else value}"


add_completion_class(_Bash)


@click.command(short_help="Print what makes the shell complete commands.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common_options
@pass_app
def completion(app: App, /, shell: str) -> None:
    """Print a script for SHELL that completes commands, options, event types, and names from the ledger found.

    \b
    To install it, once:
      bash: muniment completion bash > ~/.local/share/bash-completion/completions/muniment
      zsh:  muniment completion zsh > ~/.zfunc/_muniment   (with fpath+=~/.zfunc before compinit in ~/.zshrc)
      fish: muniment completion fish > ~/.config/fish/completions/muniment.fish
    Or for this shell only: eval "$(muniment completion bash)"

    Names are read from a ledger in a SQLite file; nothing is written, and no passphrase is asked for.
    """
    from cli.main import COMPLETE_VARIABLE, cli
    from cli.output import print_record

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"This click cannot complete for {shell}.")
    script = kind(cli, {}, "muniment", COMPLETE_VARIABLE).source()
    print_record(app, {"shell": shell, "script": script}, script.rstrip("\n"))
