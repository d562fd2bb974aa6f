"""What a verification says of a damaged store, word for word, at every level and after a mark: `reports.json`.

The other tests ask whether a damage is found and where. Here the whole report is compared with the one that was read
and found right, so that nothing in it changes unnoticed. ``python -m tests.contract.test_reports`` writes the file
anew, after a change that is wanted; what is different then is to be read.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ledger.checkpoint import Checkpoint, sign_checkpoint
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import LedgerError
from ledger.findings import LogVerification
from ledger.segment import LEVELS
from ledger.verify import Since, verify_log
from tests.contract.bundles import erased
from tests.contract.support import ORIGIN, Cast, raw
from tests.contract.tampering import Forger, Victim, acknowledge, remembered, self_approval, sixteen, victim

FILE = Path(__file__).with_name("reports.json")
WAYS = (*LEVELS, "hashed", "not read")

#: Index of each entry that something is done to: plain ones, one of authority, a void one, one that nobody knows, one
#: that was erased, and the last one.
PLAIN, ACTOR, NOTED, UNKNOWN, VOID, GONE, LATE = 8, 3, 15, 21, 22, 23, 26

#: Hashes below and above all others, so that what is taken for less or for more than it should be shows.
LEAST, MOST = "zeroblob(32)", f"x'{'ff' * 32}'"

#: What is done, in SQL; ``{n}`` is a place, ``?`` a head of size 20 that nobody should have signed.
DAMAGES: dict[str, list[str]] = {
    "nothing": [],
    **{
        f"{what} of {name}": [f"UPDATE $entry SET {change} WHERE position = {index + 1}"]
        for name, index in (("plain", PLAIN), ("late", LATE))
        for what, change in {
            "leaf hash, less": f"leaf_hash = {LEAST}", "leaf hash, more": f"leaf_hash = {MOST}",
            "prev, less": f"prev = {LEAST}", "prev, more": f"prev = {MOST}",
            "time": "recorded_at = recorded_at - 99999999999", "revision": "revision = revision + 7",
            "subject": "subject = 'run:other'", "sequence": "sequence = sequence + 9",
        }.items()
    },
    "odd subject": [f"UPDATE $entry SET subject = '' WHERE position = {PLAIN + 1}"],
    "first entry altered": ["UPDATE $entry SET subject = 'ledger:x' WHERE position = 1"],
    "first content gone": ["DELETE FROM $content WHERE position = 1"],
    "actor altered": [f"UPDATE $content SET payload = signatures WHERE position = {ACTOR + 1}"],
    **{
        f"row {name} gone": [f"DELETE FROM $entry WHERE position = {index + 1}"]
        for name, index in (("0", 0), ("plain", PLAIN), ("late", LATE), ("last", 28))
    },
    "tail gone": ["DELETE FROM $entry WHERE position > 24", "DELETE FROM $content WHERE position > 24"],
    **{
        f"content of {index} {what}": [f"{how} WHERE position = {index + 1}"]
        for index in (PLAIN, NOTED, VOID)
        for what, how in (
            ("gone", "DELETE FROM $content"), ("altered", "UPDATE $content SET payload = signatures"),
            ("unsigned", "UPDATE $content SET signatures = payload"),
        )
    },
    "content of 21 gone": ["DELETE FROM $content WHERE position = 22"],
    "content of 26 gone": ["DELETE FROM $content WHERE position = 27"],
    "void entry altered": [
        f"UPDATE $entry SET subject = 'model:x@1' WHERE position = {VOID + 1}",
        f"UPDATE $entry SET leaf_hash = payload WHERE position = {VOID + 1}",
    ],
    "contents too many": ["INSERT INTO $content SELECT 99, payload, signatures FROM $content WHERE position = 1"],
    "rows too many": ["UPDATE $entry SET position = 99 WHERE position = 29"],
    "rows moved on": [
        "UPDATE $entry SET position = position + 1 WHERE position > 20",
        "UPDATE $content SET position = position + 1 WHERE position > 20",
    ],
    "row moved on by a half": ["UPDATE $entry SET position = 9.5 WHERE position = 9"],
    "tiles too many": ["INSERT INTO $tile VALUES (0, 0, zeroblob(8192), zeroblob(32))"],
    "number repeated": [f"UPDATE $entry SET sequence = 1 WHERE position = {LATE + 1}"],
    "id repeated": ["UPDATE $entry SET id = (SELECT id FROM $entry WHERE position = 9) WHERE position = 10"],
    **{
        f"head {what}": [f"UPDATE $head SET {what}"]
        for what in (
            "size = size + 1", "size = size - 1", "recorded_at = recorded_at + 1", "recorded_at = 0",
            "authority = authority + 1", "authority = 0", f"authority = {VOID}", f"authority = {UNKNOWN}",
            "peaks = last_leaf", f"last_leaf = {LEAST}", f"last_leaf = {MOST}",
        )
    },
    **{f"signed head {size} gone": [f"DELETE FROM $checkpoint WHERE size = {size}"] for size in (2, 16, 19, 29)},
    **{
        f"signed head {size} altered": [f"UPDATE $checkpoint SET note = zeroblob(9) WHERE size = {size}"]
        for size in (2, 19, 29)
    },
    "signed heads exchanged": [
        "UPDATE $checkpoint SET note = (SELECT note FROM $checkpoint WHERE size = 12) WHERE size = 16",
    ],
    "signed heads gone": ["DELETE FROM $checkpoint"],
    "head of size 20": ["INSERT INTO $checkpoint VALUES (20, ?)"],
    "head of size 40": ["INSERT INTO $checkpoint VALUES (40, ?)"],
    "row of the last head gone": ["DELETE FROM $signed_head"],
    "row of the last head": ["UPDATE $signed_head SET size = size - 1"],
    "root of the last head, less": [f"UPDATE $signed_head SET root = {LEAST}"],
    "root of the last head, more": [f"UPDATE $signed_head SET root = {MOST}"],
    "other origin": ["UPDATE $log SET origin = 'other.example'"],
    "other ledger": ["UPDATE $log SET ledgerid = 'abababababababababababababababab'"],
    "damaged twice": [
        "UPDATE $content SET payload = signatures WHERE position IN (5, 9)",
        "UPDATE $entry SET revision = 99 WHERE position = 9",
        "UPDATE $head SET size = size + 1",
        "DELETE FROM $checkpoint WHERE size = 16",
    ],
}  # fmt: skip


def strange(cast: Cast, number: int) -> bytes:
    """An event of a type that nobody knows yet."""
    payload, _ = build_payload(
        type="external.observed", subject="external:x0", data={"system": "s"}, actor="trainer",
        ledgerid=cast.admin.ledgerid, emitter="019b0000-0000-7000-8000-0000000000aa", sequence=number,
    )  # fmt: skip
    unknown = payload.replace(b"muniment.external.observed", b"muniment.external.dreamt")
    return format_envelope(sign_payload(unknown, [cast.keys["trainer"]]))


def made(url: str) -> tuple[Cast, Since]:
    """A ledger that has one of everything, and the mark of a verification of its first half."""
    cast, _ = sixteen(url)
    cast.enrol("p-eraser", "person", ["eraser"])
    erased(cast, NOTED)  # its content is still there
    cast["trainer"].emit("external.observed", "external:x0", system="s")
    cast.admin.checkpoint()
    good = verify_log(cast.recorder, cast.new.trust)
    assert (good.ok, good.size) == (True, 19)
    for number in (1, 2):
        cast["trainer"].emit("external.observed", f"external:x{number}", system="s")
    with raw(url) as store:
        store.unprotect()
        forger = Forger(store)
        assert forger.add(strange(cast, 1)) == UNKNOWN
        assert forger.add(self_approval(cast, "00000000-0000-4000-8000-000000000001")) == VOID
        forger.write()
    acknowledge(cast.admin, VOID, "an intrusion")
    late = cast["p-author"].emit("incident.noted", "incident:1", note="a name")
    assert late.index == GONE + 1
    erased(cast, late.index)
    cast["trainer"].emit("external.observed", "external:x3", system="s")
    seen = cast["trainer"].emit("external.observed", "external:x4", system="s").index
    body = {"keyid": cast.keys["trainer"].public.keyid, "since": seen, "reason": "stolen"}
    cast.admin.emit("key.compromised", "actor:trainer", body)
    cast.admin.checkpoint()
    with raw(url) as store:
        store.run("DELETE FROM $content WHERE position = ?", (late.index + 1,))
    return cast, Since(good.signed_size, good.signed_root, good.heads, good.authority)


def shown(found: LogVerification) -> list[str]:
    """A report in lines, but for what is another in each ledger."""
    items = {
        "level": found.level, "size": found.size, "rooted": bool(found.root), "pinned": found.pinned,
        "heads": f"{found.checkpoints} to {found.signed_size}", "authority": found.authority,
        "anchored": f"{found.anchored_size} {found.anchored_by}", "opaque": found.opaque,
        "from": f"{found.verified_from} {found.earlier}", "acknowledged": found.acknowledged,
        "withheld": [(index, record.record) for index, record in found.withheld], "unfinished": found.unfinished,
        "missing": [count for _, _, count in found.missing], "suspects": found.suspects.count,
        "signed": bool(found.signed_root),
    }  # fmt: skip
    lines = [*(f"{name} {value}" for name, value in items.items()), *(item.text for item in found.findings)]
    lines += [f"  between {item.sizes}" for item in found.findings if item.sizes]
    return [re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{16,}", "…", line) for line in lines]


def reports(store: Victim, name: str, mark: Since, note: bytes) -> dict[str, list[str]]:
    """What is said of one damage, by way."""
    found: dict[str, list[str]] = {}
    with store.trial():
        for statement in DAMAGES[name]:
            store.run(statement, (note,) if "?" in statement else ())
        for way in WAYS:
            store.recorder._identity = None
            level = way if way in LEVELS else "full"
            since = None if way in LEVELS else replace(mark, reread=way == "hashed")
            try:
                lines = shown(verify_log(store.recorder, store.trust, store.anchors, level=level, since=since))
            except LedgerError as error:
                lines = [f"{type(error).__name__}: {error.message}"]
            found[way] = lines
    return found


def opened(folder: Path) -> Iterator[tuple[Victim, Since, bytes]]:
    """A store to do damage to, the mark, and a head of another log that its key has signed."""
    cast, mark = made(f"sqlite:///{folder / 'ledger.db'}")
    other = sign_checkpoint(Checkpoint(ORIGIN, 20, bytes(32)), cast.new.checkpoint)
    with victim(cast, [remembered(cast)]) as store:
        yield store, mark, other


def every_report(folder: Path) -> dict[str, dict[str, list[str]]]:
    """All that is said, of a damage only what is not said of the store without one."""
    for store, mark, other in opened(folder):
        said = {name: reports(store, name, mark, other) for name in DAMAGES}
    good = said["nothing"]
    rest = {
        name: {way: [line for line in lines if line not in good[way]] for way, lines in found.items()}
        for name, found in said.items()
        if name != "nothing"
    }
    return {"nothing": good, **rest}


def test_every_report_is_the_one_that_was_read(memory_path: Path, memory: None):
    expected = json.loads(FILE.read_text(encoding="utf-8"))
    found = every_report(memory_path)
    assert list(found) == list(expected)
    for name, said in found.items():
        assert said == expected[name], name


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        written = every_report(Path(place))
    parts = []
    for name, found in written.items():
        lines = [f"  {json.dumps(way)}: {json.dumps(said, ensure_ascii=False)}" for way, said in found.items()]
        parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
