"""Witnesses from the side of a log: the policy, `muniment checkpoint witness`, and what is said of them elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, common_options, pass_app
from cli.evidence import keep_contradictions
from cli.output import print_record, styled
from cli.values import OUT_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from ledger.application import Ledger
    from ledger.bundlecheck import BundleVerification
    from ledger.checkpoint import VerifyHead
    from ledger.findings import Anchor, LogVerification
    from ledger.freshness import Word
    from ledger.witnessing import Asked, Round, Seen
    from ledger.witnesspolicy import Policy, PolicyWitness

__all__ = [
    "POLICY_FILE",
    "age_option",
    "ask_seen",
    "check_policy",
    "describe",
    "examine_witnesses",
    "find_policy",
    "note_witnessed",
    "policy_option",
    "require_option",
    "summary",
    "witness",
    "witnessed_head",
    "witnessed_size",
]

#: Name of the policy beside trust.json.
POLICY_FILE = "witness-policy"

_NO_POLICY = "there is no witness policy here"
_NAME_ONE = "Name one: --policy FILE, or keep it as .muniment/witness-policy (docs/how-to/run-a-witness.md)."

policy_option = click.option(
    "--policy", type=OUT_FILE, metavar="FILE",
    help="Witness policy (C2SP tlog-policy); .muniment/witness-policy by default.",
)  # fmt: skip


def _check_required(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and value != "all" and not (value.isascii() and value.isdecimal() and len(value) < 19):
        raise click.BadParameter("it is a number of entries, or all")
    return value


require_option = click.option(
    "--require-witnesses", "required", is_flag=False, flag_value="all", metavar="[SIZE]", callback=_check_required,
    help="Exit 3 unless enough witnesses of the policy vouch for the first SIZE entries, all of them by default.",
)  # fmt: skip


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    number, unit = value[:-1], value[-1:]
    if not (number.isascii() and number.isdecimal() and len(number) < 10 and unit in _UNITS):
        raise click.BadParameter("it is a number with a unit: 90s, 30m, 12h or 7d")
    return int(number) * _UNITS[unit]


age_option = click.option(
    "--max-age", metavar="DURATION", callback=_seconds,
    help="Exit 3 unless a witness of the policy, or a trusted timestamp, spoke of this log within 30m, 12h, 7d.",
)  # fmt: skip


def find_policy(app: App, path: Path | None) -> Policy | None:
    """Read the policy that is named, or the one beside trust.json; None when there is none.

    Raises:
        ConfigurationError: it cannot be read, or is wrong; the line is named.
        TrustStateError: it is no plain file, or rests on others, who may write it.
    """
    from ledger.errors import ConfigurationError, InputError
    from ledger.statefile import read_state_file
    from ledger.witnesspolicy import parse_policy

    if path is not None:
        data = read_state_file(path)
        if data is None:
            raise ConfigurationError(f"{path} cannot be read: there is no such file")
    elif (folder := app.home.folder) is None or (data := read_state_file(path := folder / POLICY_FILE, folder)) is None:
        return None
    try:
        return parse_policy(data, str(path))
    except InputError as error:
        raise ConfigurationError(error.message, hint="docs/how-to/run-a-witness.md shows a policy.") from error


def head_check(app: App, ledger: Ledger) -> VerifyHead:
    """What checks a signed head of this log: the keys that are pinned here, otherwise those that the log names."""
    return ledger.head_verifier(app.home.trust())


def check_policy(app: App, ledger: Ledger, policy: Policy) -> None:
    """Check that a policy that names logs names this one.

    Raises:
        ConfigurationError: it does not.
    """
    from ledger.witnessing import check_policy_log

    trust = app.home.trust()
    check_policy_log(policy, trust.vkeys if trust is not None else [key.vkey for key in ledger.log_keys().keys])


def shown(name: str) -> str:
    """A name of a policy as it may be printed: its octets need be no text."""
    return name.encode(errors="backslashreplace").decode()


# -- muniment checkpoint witness ---------------------------------------------------------------------


@click.command("witness")
@policy_option
@click.option(
    "--timeout", type=click.FloatRange(0.1, 600), default=10.0, show_default=True, metavar="SECONDS",
    help="How long to wait for one answer of a witness.",
)  # fmt: skip
@click.option(
    "--drop-bad", is_flag=True,
    help="Ask nobody; remove cosignatures and timestamps from the store that do not verify, and say which.",
)  # fmt: skip
@common_options
@pass_app
def witness(app: App, /, policy: Path | None, *, timeout: float, drop_bad: bool) -> int:
    """Have the last signed head cosigned by the witnesses of a policy.

    The present head is signed first when the key is here. Cosignatures are verified and kept in the store; checkpoint
    show, proof inclusion and export tiles carry them.

    A row that does not verify fails every verification. --drop-bad removes such rows, for who owns the store; keep what
    it prints: a cosignature that a witness really made and that does not fit is a sign that the log was rewritten. Run
    verify log --ask-witnesses before.

    \b
    Exit codes:
      0  enough witnesses cosigned this head
      1  a witness saw another history of this log, or a longer one: the store was rewritten,
         put back or forked; what it shows is printed, and kept as evidence
      6  not enough witnesses cosigned: unreachable, slow, or they do not know this log

    \b
    Example:
      muniment checkpoint witness
      muniment checkpoint witness --policy witnesses.txt --timeout 3 -o json
      muniment checkpoint witness --drop-bad -o json > dropped.json
    """
    from ledger.errors import ConfigurationError
    from ledger.witnessing import ask_witnesses

    if drop_bad:
        return _drop_bad(app)
    found = find_policy(app, policy)
    if found is None:
        raise ConfigurationError(_NO_POLICY, hint=_NAME_ONE)
    with app.signer() as ledger:
        check_policy(app, ledger, found)
        note = ledger.signed_head()
        done = ask_witnesses(ledger.recorder, note, head_check(app, ledger), found, seconds=timeout)
    print_record(app, _result(done, found), "\n".join(_lines(done, found)))
    if done.contradicted:
        keep_contradictions(app, [_anchor(item.witness, item.seen) for item in done.asked if item.seen is not None])
        app.note("Keep the store as it is, keep what the witness shows, and run: muniment verify log --ask-witnesses")
        return 1
    return 0 if done.met else 6


def _drop_bad(app: App) -> int:
    from ledger.base64text import encode_base64
    from ledger.outsiders import drop_bad

    with app.signer() as ledger:
        found = drop_bad(ledger.recorder, head_check(app, ledger))
    rows = [
        {
            "number": item.row.number,
            "size": item.row.size,
            "kind": item.row.kind,
            "issuer": item.row.issuer,
            "body": encode_base64(item.row.body),
            "why": item.why,
        }
        for item in found
    ]
    lines = [
        f"dropped {row['kind']} {row['number']} at size {row['size']} of {row['issuer']}: {row['why']}" for row in rows
    ]
    print_record(
        app, {"dropped": rows}, "\n".join(lines or ["every cosignature and timestamp is one: nothing dropped"])
    )
    return 0


def _result(done: Round, policy: Policy) -> dict[str, Any]:
    return {
        "origin": done.checkpoint.origin,
        "size": done.checkpoint.size,
        "root": done.checkpoint.root.hex(),
        "quorum": policy.describe_quorum(),
        "met": done.met,
        "contradicted": done.contradicted,
        "proven": done.proven,
        "new": done.stored,
        "witnesses": [_asked(item) for item in done.asked],
    }


def _asked(item: Asked) -> dict[str, Any]:
    from ledger.note import format_vkey

    return {
        "name": shown(item.witness.name),
        "vkey": format_vkey(item.witness.vkey),
        "outcome": item.outcome,
        "message": item.message,
        "time": None if item.cosignature is None else time_text(item.cosignature.time),
        "shows": None if item.seen is None else item.seen.note.decode(errors="replace"),
    }


def _lines(done: Round, policy: Policy) -> Iterator[str]:
    from ledger.witnessing import CONTRADICTED, COSIGNED

    for item in done.asked:
        sign = {COSIGNED: "✓", CONTRADICTED: "✗"}.get(item.outcome, "?")
        at = "" if item.cosignature is None else f" at {time_text(item.cosignature.time)}"
        yield f"{sign} {shown(item.witness.name)}: {item.message}{at}"
        if item.seen is not None:
            yield "  it shows this head, signed by the key of this log:"
            yield from (f"    {line}" for line in item.seen.note.decode(errors="replace").splitlines())
    size = done.checkpoint.size
    if done.proven:
        yield "✗ THE LOG HERE IS NOT THE ONE THAT WAS WITNESSED: it was rewritten, put back or forked"
    elif done.contradicted:
        yield "✗ A WITNESS CLAIMS ANOTHER HISTORY OF THIS LOG, and shows no signed head that would prove it"
    elif done.met:
        yield f"✓ size {size} is witnessed by {shown(policy.describe_quorum())}"
    else:
        yield f"? size {size} is not witnessed yet: the policy asks for {shown(policy.describe_quorum())}"


def time_text(seconds: int) -> str:
    """A witness's time; it may be any number."""
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return f"second {seconds} since 1970"


def note_witnessed(app: App, ledger: Ledger, note: bytes) -> None:
    """Say on stderr who cosigned a signed head, when there is a policy here."""
    from ledger.checkpoint import parse_checkpoint
    from ledger.checkpoints import cosignatures_of
    from ledger.note import parse_note

    policy = find_policy(app, None)
    if policy is None:
        return
    head = parse_checkpoint(parse_note(note).text)
    found = {item.vkey: item.time for item in cosignatures_of(ledger.recorder, head)}
    by = [f"{shown(item.name)} at {time_text(found[item.vkey])}" for item in policy.witnesses if item.vkey in found]
    words = "is witnessed" if policy.met(list(found)) else "is NOT witnessed"
    asked = f"the policy asks for {shown(policy.describe_quorum())}"
    app.note(f"size {head.size} {words}: cosigned by {', '.join(by) or 'nobody'}; {asked}")


# -- what verify and doctor say ----------------------------------------------------------------------


def summary(found: LogVerification | BundleVerification, policy: Policy | None) -> dict[str, Any]:
    """What is witnessed, for machines.

    Args:
        found: a verification.
        policy: whose cosignatures count; without one nobody's do.
    """
    from ledger.note import format_vkey

    names = {} if policy is None else {item.vkey: shown(item.name) for item in policy.witnesses}
    return {
        "size": witnessed_size(found, policy),
        "quorum": None if policy is None else shown(policy.describe_quorum()),
        "by": [
            {"name": names[vkey], "vkey": format_vkey(vkey), "size": item.size, "time": time_text(item.time)}
            for vkey, item in sorted(found.witnessed.items(), key=lambda pair: names.get(pair[0], ""))
            if vkey in names
        ],
        "unknown": [format_vkey(vkey) for vkey in found.witnessed if vkey not in names],
    }


def witnessed_size(found: LogVerification | BundleVerification, policy: Policy | None) -> int:
    """Up to which size the witnesses that a policy asks for vouch for the log."""
    if policy is None:
        return 0
    return policy.met_up_to({vkey: item.size for vkey, item in found.witnessed.items()})


def describe(out: Console, found: LogVerification, policy: Policy | None) -> None:
    """Say what is witnessed, to people; what is not is among the gaps."""
    said = summary(found, policy)
    for item in said["by"]:
        out.print(styled(f"  {item['name']} cosigned up to size {item['size']}, at {item['time']}"))
    if said["size"]:
        out.print(styled(f"  witnessed up to size {said['size']} by {said['quorum']}"))


def witnessed_head(app: App, ledger: Ledger, path: Path | None, index: int) -> bytes:
    """The last signed head that covers an entry and that enough witnesses cosigned.

    Raises:
        ConfigurationError: there is no policy here.
        NothingToVerifyError: there is no such head.
    """
    from ledger.errors import ConfigurationError, NothingToVerifyError
    from ledger.witnessed import last_met

    policy = find_policy(app, path)
    if policy is None:
        raise ConfigurationError(_NO_POLICY, hint=_NAME_ONE)
    check_policy(app, ledger, policy)
    found = last_met(ledger.recorder, head_check(app, ledger), policy, index)
    if found is None:
        words = f"no head that covers entry {index} is cosigned by {shown(policy.describe_quorum())}"
        raise NothingToVerifyError(words, hint="muniment checkpoint witness")
    return found


def examine_witnesses(app: App, ledger: Ledger) -> Iterator[tuple[str, str, str, str]]:
    """What `doctor` says of witnesses: (name, state, words, hint)."""
    from ledger.witnessed import last_witnessed

    policy = find_policy(app, None)
    if policy is None:
        hint = "docs/how-to/run-a-witness.md; keep a policy as .muniment/witness-policy"
        yield "witnesses", "warning", "no policy names a witness: nobody outside vouches for the log", hint
        return
    found = last_witnessed(ledger.recorder)
    for item in policy.witnesses:
        name, last = f"witness {shown(item.name)}", found.get(item.vkey)
        if last is None:
            yield name, "warning", "it cosigned nothing that this log holds", "muniment checkpoint witness"
        else:
            yield name, "good", f"cosigned up to size {last.size}, at {time_text(last.time)}", ""
    last_signed = ledger.recorder.last_checkpoint()
    signed = 0 if last_signed is None else last_signed.size
    size = policy.met_up_to({vkey: item.size for vkey, item in found.items()})
    words = f"up to size {size} of {signed} signed, by {shown(policy.describe_quorum())}"
    if size < signed and policy.witnesses:
        yield "witnessed", "warning", words, "muniment checkpoint witness"
    else:
        yield "witnessed", "good", words, ""


def _anchor(item: PolicyWitness, seen: Seen) -> Anchor:
    from ledger.verify import Anchor

    return Anchor(f"the witness {shown(item.name)} ({time_text(seen.time)})", seen.checkpoint, seen.note)


def ask_seen(app: App, ledger: Ledger, policy: Policy) -> list[tuple[Anchor, Word]]:
    """Ask the witnesses of a policy what they saw last; a head that one shows is an anchor, and says when.

    Those that show nothing are named on stderr.
    """
    from ledger.freshness import Word
    from ledger.witnessing import ask_latest

    found = []
    for item, seen in ask_latest(ledger.origin, head_check(app, ledger), policy):
        if isinstance(seen, str):
            app.note(f"the witness {shown(item.name)} shows no head of this log: {seen}")
        else:
            found.append((_anchor(item, seen), Word(f"the witness {shown(item.name)}", seen.time)))
    return found
