"""What the commands about ceremony files share: showing one, and reading a public key from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.app import App
from cli.output import print_record

if TYPE_CHECKING:
    from ledger.ceremony import Ceremony
    from ledger.domain import LedgerState
    from ledger.keys import PublicKey
    from ledger.screen import Screening

__all__ = ["as_data", "read_public", "screening_of", "show_ceremony", "state_of"]


def read_public(path: Path) -> PublicKey:
    """A public key from a file that holds one line.

    Raises:
        InputError: it holds something else.
    """
    from ledger.errors import InputError
    from ledger.keys import parse_public_key
    from ledger.statefile import MAX_STATE_FILE, read_named_file

    try:
        text = read_named_file(path, MAX_STATE_FILE).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} cannot be read as a public key") from error
    if "PRIVATE KEY" in text:
        raise InputError(f"{path} holds a PRIVATE key", hint="Give the .pub file; a private key stays where it is.")
    try:
        return parse_public_key(text.removesuffix("\n"))
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint="It holds one line, ed25519:<base64>.") from error


def as_data(ceremony: Ceremony) -> dict[str, Any]:
    """A ceremony for machines."""
    return {
        "ledgerid": ceremony.ledgerid,
        "origin": ceremony.origin,
        "author": ceremony.author,
        "threshold": ceremony.threshold,
        "code": ceremony.code,
        "request_code": ceremony.request_code,
        "events": [
            {
                "type": item.event.payload.type,
                "subject": item.event.payload.subject,
                "data": item.event.payload.data,
                "signed": sorted(item.signed),
                "missing": ceremony.missing(item),
            }
            for item in ceremony.items
        ],
    }


def state_of(app: App, /, ceremony: Ceremony) -> LedgerState | None:
    """What the log says of the ledger that a ceremony by the root keys is for; None where that is not set up here."""
    from ledger.restoring import is_restore

    if ceremony.founds or not ceremony.roots or app.trust_of(ceremony.ledgerid) is None:
        return None
    with app.reader(checked=not is_restore(ceremony)) as ledger:  # a restore is for a store that shrank
        return ledger.ledger_state()


def screening_of(app: App, /, ceremony: Ceremony) -> Screening:
    """What is done here about secrets in a ceremony: the ledger's settings say so where it is set up."""
    from ledger.config import secrets_elsewhere
    from ledger.screen import Screening

    here = not ceremony.founds and app.trust_of(ceremony.ledgerid) is not None
    found = app.home.screening() if here else Screening(*secrets_elsewhere())
    found.notify = app.note
    return found


def show_ceremony(
    app: App, /, ceremony: Ceremony, path: Path | None = None, *, state: LedgerState | None = None
) -> None:
    """Print what a ceremony says and how far it is; ``state`` is the log's own, to compare with."""
    from ledger.ceremony import describe

    data = {**({} if path is None else {"file": str(path)}), **as_data(ceremony)}
    print_record(app, data, "\n".join(describe(ceremony, state)))
