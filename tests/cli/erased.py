"""A ledger in which something was said about a person, and what is left of it when that is erased."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import DIGEST, Shop, run
from tests.contract.support import raw

WHO = "person:p-7f3a"
SECRET, MAIL = "Jo Doe of Testerton called", "jo@doe.example"
ERASE = ("subject", "erase", WHO, "--basis", "GDPR Art. 17", "--reason", "asked for", "--as", "p-eraser")


def tell(shop: Shop) -> None:
    shop.enrol("p-eraser", "eraser")
    sealed = ("--about", WHO)
    run("emit", "incident.opened", "incident:1", "--personal", f"title={SECRET}", *sealed).good()
    run("emit", "incident.noted", "incident:1", "-d", "note=nothing about anybody").good()
    run("emit", "external.observed", WHO, "-d", "system=crm", "-d", f"content.email={MAIL}").good()
    run("emit", "deployment.failed", "deployment:prod/x", "-d", "model=model:m@1", "-d", f"digest={DIGEST}",
        "--personal", f"reason={SECRET}", *sealed).good()  # fmt: skip


def files_with(folder: Path, *needles: bytes) -> list[str]:
    return [
        f"{path.name}: {needle!r}"
        for path in folder.rglob("*")
        if path.is_file()
        for needle in needles
        if needle in path.read_bytes()
    ]


def stored(shop: Shop) -> bytes:
    """Everything in the tables of the store, beside it too."""
    with raw(shop.url) as store:
        return repr([store.run("SELECT * FROM $content"), store.run("SELECT * FROM $entry")]).encode()


EVERY_WAY = ((), ("--all",), ("--all", "--jobs", "2"), ("--level", "hash"), ("--tail",))


def all_good(*withheld: int, ways: tuple[tuple[str, ...], ...] = (("--all",),)) -> None:
    """Verifying is good and says what was withheld, in each of these ways."""
    for options in ways:
        found = run("verify", "log", *options, "-o", "json").good().json
        if options != ("--tail",):
            assert [item["index"] for item in found["withheld"]] == list(withheld), options
        assert found["erasure_unfinished"] == []
