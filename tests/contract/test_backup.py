"""Backups: consistent under load, verified, never half-made under their name, and recognised as old."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from ledger.application import Ledger
from ledger.backup import backup_name, create_backup, restore_backup
from ledger.backupcheck import verify_backup
from ledger.checkpoint import verify_checkpoint
from ledger.errors import (
    ConfigurationError,
    InputError,
    LedgerError,
    NothingToVerifyError,
    StorageError,
    VerificationError,
)
from ledger.findings import Anchor
from ledger.recorders import open_recorder
from ledger.stored import LogIdentity
from ledger.transfer import LedgerCopy, Outside
from ledger.verify import verify_log
from tests.contract.support import Cast, audit, life_of_a_model, make_cast, raw
from tests.fork_server import quick_python

KINDS = ("sqlite", "postgres")
TABLES = ("entry", "content", "head", "tile", "checkpoint", "tracking", "signed_head", "attestation")
NewStore = Callable[[str], str]


def outside(cast: Cast) -> Outside:
    """What a machine knows that has just seen the ledger's head."""
    head = verify_checkpoint(cast.admin.checkpoint(), cast.new.trust.vkeys)
    return Outside(cast.new.trust, (Anchor("the test", head),))


def everything(url: str) -> dict[str, list[tuple]]:
    with raw(url) as store:
        return {table: sorted(store.run(f"SELECT * FROM ${table}")) for table in TABLES}


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def in_process(
    code: str, *arguments: object, point: str = "", file_size: int | None = None
) -> subprocess.CompletedProcess:
    """Run Python in a process of its own, killed at a named place or with files no larger than so many bytes."""
    environment = {**os.environ, **({"MUNIMENT_CRASHPOINT": point} if point else {})}
    if file_size is not None:
        code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({file_size}, {file_size}))\n{code}"
    command = [str(quick_python()), "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, check=False, timeout=60, capture_output=True, text=True)


CREATE = """
import sys
from pathlib import Path
from ledger.backup import create_backup
from ledger.errors import StorageError
from ledger.recorders import open_recorder
from ledger.transfer import Outside
try:
    create_backup(open_recorder(sys.argv[1]), Path(sys.argv[2]), Outside(None))
except StorageError as error:
    print(error.message)
    sys.exit(6)
"""
RESTORE = """
import sys
from pathlib import Path
from ledger.backup import restore_backup
from ledger.transfer import Outside
restore_backup(Path(sys.argv[1]), sys.argv[2], Outside(None))
"""


@pytest.fixture(params=KINDS)
def cast(request: pytest.FixtureRequest, new_store: NewStore) -> Cast:
    cast = make_cast(new_store(request.param))
    life_of_a_model(cast)
    cast.recorder.add_attestation(2, "published", "somewhere", b"that it was")
    return cast


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """A folder for backups."""
    folder = tmp_path / "vault"
    folder.mkdir()
    return folder


@pytest.fixture
def saved(new_store: NewStore, vault: Path) -> tuple[Cast, Path]:
    """A ledger on SQLite and a backup of it."""
    cast = make_cast(new_store("sqlite"))
    life_of_a_model(cast)
    return cast, create_backup(cast.recorder, vault / "one.backup", outside(cast))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_restores_to_the_same_ledger(kind: str, cast: Cast, vault: Path, new_store: NewStore):
    observed = {"system": "s", "content": {}}
    cast["trainer"].emit_all([("external.observed", f"external:n{number}", observed) for number in range(600)])
    known = outside(cast)
    path, manifest = create_backup(cast.recorder, vault, known)
    assert left_in(vault) == [backup_name(cast.admin.origin, manifest.size)], "one file, nothing beside it"
    assert path.stat().st_mode & 0o777 == 0o600
    found = verify_backup(path, known)
    assert found.log.ok
    assert (found.missing, found.known, found.known_by) == (0, manifest.size, "the test")
    url = new_store(kind)
    assert not restore_backup(path, url, known).existing
    assert everything(url) == everything(cast.url)
    with Ledger.open(url, actor="p-author", signers=[cast.keys["p-author"]]) as ledger:
        assert verify_log(ledger.recorder, cast.new.trust).ok
        ledger.emit("external.observed", "external:on", system="s", content={})
    assert restore_backup(path, url, known).existing, "again does nothing"


def test_a_backup_taken_under_load_stands_at_one_head(cast: Cast, vault: Path, new_store: NewStore):
    stop = threading.Event()

    def write() -> None:
        with Ledger.open(cast.url, actor="trainer", signers=[cast.keys["trainer"]]) as ledger:
            number = 0
            while not stop.is_set():
                number += 1
                ledger.emit("external.observed", f"external:n{number}", system="s", content={})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        paths = [create_backup(cast.recorder, vault / f"{n}.backup", outside(cast)) for n in range(3)]
    finally:
        stop.set()
        writer.join(60)
    assert paths[0][1].size < paths[2][1].size, "the writer did write meanwhile"
    for number, (path, manifest) in enumerate(paths):
        url = new_store(KINDS[number % 2])
        restore_backup(path, url, Outside(cast.new.trust))
        assert len(audit(url)) == manifest.size


def test_a_backup_is_no_store(saved: tuple[Cast, Path]):
    _, path = saved
    with pytest.raises(ConfigurationError, match="is a backup"):
        Ledger.open(f"sqlite:///{path}")


def test_a_backup_holds_no_private_key(saved: tuple[Cast, Path]):
    cast, path = saved
    data = path.read_bytes()
    for signer in (cast.new.root, cast.new.checkpoint, cast.new.admin_key):
        private = base64.b64decode(b"".join(signer.to_pem(None).splitlines()[1:-1]))[-32:]
        for form in (private, private.hex().encode(), base64.b64encode(private)):
            assert form not in data
    assert b"PRIVATE KEY" not in data


def test_a_head_signed_after_the_backup_over_the_same_entries_is_compared(cast: Cast, vault: Path):
    path, manifest = create_backup(cast.recorder, vault / "x.backup", Outside(cast.new.trust))
    known = outside(cast)
    assert manifest.checkpoint.splitlines()[1] == "12", "its last entries were not signed yet"
    found = verify_backup(path, known)
    assert found.log.ok
    assert (found.log.anchored_size, found.missing) == (manifest.size, 0)
    forged = Anchor("another", replace(known.anchors[0].checkpoint, root=bytes(32)))
    assert [item.fault for item in verify_backup(path, Outside(None, (forged,))).log.findings] == ["anchor"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_backup_is_recognised(kind: str, cast: Cast, vault: Path, new_store: NewStore):
    path, manifest = create_backup(cast.recorder, vault, outside(cast))
    for number in range(3):
        cast["trainer"].emit("external.observed", f"external:n{number}", system="s", content={})
    known = outside(cast)
    found = verify_backup(path, known)
    assert found.log.ok, "being old is no fault of a backup"
    assert (found.missing, found.known) == (3, manifest.size + 3)
    url = new_store(kind)
    with pytest.raises(VerificationError, match="3 would be lost") as caught:
        restore_backup(path, url, known)
    assert caught.value.fault == "anchor"
    assert "--older" in caught.value.hint
    assert not open_recorder(url).exists(), "nothing was begun"
    assert restore_backup(path, url, known, older=True).check.missing == 3
    # The log shrank, and everybody who remembers more goes on saying so.
    report = verify_log(open_recorder(url), cast.new.trust, known.anchors)
    assert any(finding.fault == "anchor" and "shrank" in finding.message for finding in report.findings)


def test_a_rewritten_log_is_not_backed_up_as_this_one(cast: Cast, vault: Path):
    known = outside(cast)
    with raw(cast.url) as store:
        store.unprotect()
        store.run("UPDATE $content SET payload = ? WHERE position = 4", (b"{}",))
    with pytest.raises(VerificationError, match="does not verify"):
        create_backup(cast.recorder, vault / "bad.backup", known)
    assert left_in(vault) == []
    path, _ = create_backup(cast.recorder, vault / "bad.backup", known, verified=False)
    found = verify_backup(path, known)
    first = found.log.findings[0]
    assert (first.fault, first.index) == ("payload", 3)
    with pytest.raises(VerificationError):
        restore_backup(path, f"sqlite:///{vault / 'restored.db'}", known)
    assert left_in(vault) == ["bad.backup"]


def test_a_damaged_head_row_and_missing_rows_are_kept_when_asked_for(cast: Cast, vault: Path):
    with raw(cast.url) as store:
        store.unprotect()
        store.run("DELETE FROM $entry WHERE position = 4")
        store.run("UPDATE $head SET peaks = ?", (b"short",))
    with pytest.raises(LedgerError):
        create_backup(cast.recorder, vault / "bad.backup", Outside(cast.new.trust))
    assert left_in(vault) == []
    path, manifest = create_backup(cast.recorder, vault / "bad.backup", Outside(cast.new.trust), verified=False)
    assert manifest.root == ""
    assert not verify_backup(path, Outside(cast.new.trust)).log.ok


def test_a_flipped_bit_is_found_or_changes_nothing(saved: tuple[Cast, Path], vault: Path):
    """Over the whole file: what a flip leaves readable and good is, row for row, what was backed up."""
    cast, path = saved
    good, rows = path.read_bytes(), everything(f"sqlite:///{path}")
    flipped, found = vault / "flipped.backup", 0
    places = range(0, len(good), len(good) // 60)
    for place in places:
        flipped.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        try:
            good_still = verify_backup(flipped, outside(cast)).log.ok
        except LedgerError:
            good_still = False
        if good_still:
            kept = everything(f"sqlite:///{flipped}")
            assert kept == rows, f"byte {place} changed a row unseen"
        found += not good_still
    assert found > len(places) // 4, "much of a file is content"


@pytest.mark.parametrize("keep", [0, 10, 100, 4096, 0.5, 0.99])
def test_a_truncated_backup_is_refused(keep: float, saved: tuple[Cast, Path], vault: Path):
    cast, path = saved
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises((InputError, VerificationError)):
        verify_backup(path, outside(cast)).log.raise_if_bad()
    with pytest.raises((InputError, VerificationError)):
        restore_backup(path, f"sqlite:///{vault / 'restored.db'}", outside(cast))
    assert left_in(vault) == ["one.backup"]


def test_what_is_no_backup_is_said_to_be_none(saved: tuple[Cast, Path], vault: Path):
    cast, _ = saved
    text, store, other = vault / "text", Path(cast.url.removeprefix("sqlite:///")), vault / "other.db"
    text.write_text("hello")
    apsw.Connection(str(other)).execute("CREATE TABLE t (x)")
    for path in (text, store, other, vault, vault / "missing"):
        with pytest.raises(InputError) as caught:
            verify_backup(path, outside(cast))
        assert str(path) in caught.value.message


def test_a_backup_of_another_ledger_is_refused(saved: tuple[Cast, Path], new_store: NewStore, vault: Path):
    _, path = saved
    other = make_cast(new_store("sqlite"), actors=())
    found = verify_backup(path, Outside(other.new.trust))
    assert {finding.fault for finding in found.log.findings} == {"anchor"}
    with pytest.raises(VerificationError):
        restore_backup(path, new_store("sqlite"), Outside(other.new.trust))


def test_a_manifest_that_does_not_fit_is_found(saved: tuple[Cast, Path]):
    cast, path = saved
    before = path.read_bytes()
    with raw(f"sqlite:///{path}") as store:
        store.unprotect()
        ((manifest,),) = store.run("SELECT manifest FROM transfer")
        for old, new in ((b'"size":', b'"size":9'), (b'"root":"', b'"root":"00'), (b"{", b"{ "), (b"checkpoint", b"x")):
            store.run("UPDATE transfer SET manifest = ?", (bytes(manifest).replace(old, new, 1),))
            with pytest.raises(VerificationError, match="manifest"):
                verify_backup(path, outside(cast))
    assert path.read_bytes() != before


def test_nothing_is_overwritten(saved: tuple[Cast, Path], new_store: NewStore):
    cast, path = saved
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="already exists"):
        create_backup(cast.recorder, path, outside(cast))
    assert path.read_bytes() == before
    with pytest.raises(ConfigurationError, match="already holds something else"):
        restore_backup(path, cast.url, outside(cast))


def test_an_empty_log_and_a_moved_one_are_not_backed_up(new_store: NewStore, vault: Path):
    empty = open_recorder(new_store("sqlite"))
    empty.create(LogIdentity("ab" * 16, "ledger.example/empty"))
    with pytest.raises(NothingToVerifyError):
        create_backup(empty, vault / "x.backup", Outside(None))
    cast = make_cast(new_store("sqlite"), actors=())
    LedgerCopy(cast.admin, new_store("sqlite"), outside(cast)).run([cast.new.checkpoint])
    with pytest.raises(ConfigurationError, match="has moved to"):
        create_backup(cast.recorder, vault / "x.backup", Outside(None))
    assert left_in(vault) == []


def test_killed_while_creating_there_is_no_file_of_that_name(cast: Cast, vault: Path):
    for point in ("copy.page_stored", "backup.copied"):
        assert in_process(CREATE, cast.url, vault / "x.backup", point=point).returncode == -9
        assert not (vault / "x.backup").exists()
    assert in_process(CREATE, cast.url, vault / "x.backup", point="backup.renamed").returncode == -9
    assert verify_backup(vault / "x.backup", outside(cast)).log.ok


@pytest.mark.parametrize(
    "point", ["copy.created", "copy.page_stored", "copy.verified", "copy.before_open", "copy.opened"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_restoring_it_is_closed_or_whole(
    point: str, kind: str, saved: tuple[Cast, Path], new_store: NewStore
):
    cast, path = saved
    url = new_store(kind)
    assert in_process(RESTORE, path, url, point=point).returncode == -9
    if point == "copy.opened":
        assert everything(url) == everything(cast.url)
    else:
        with pytest.raises(ConfigurationError, match="being restored"):
            Ledger.open(url)
    assert restore_backup(path, url, outside(cast)).existing == (point == "copy.opened")
    assert everything(url) == everything(cast.url)


def test_another_backup_does_not_go_on_with_a_half_restore(saved: tuple[Cast, Path], new_store: NewStore, vault: Path):
    cast, path = saved
    url = new_store("sqlite")
    assert in_process(RESTORE, path, url, point="copy.page_stored").returncode == -9
    other, _ = create_backup(cast.recorder, vault / "two.backup", outside(cast))
    with pytest.raises(ConfigurationError, match="another backup is being restored"):
        restore_backup(other, url, outside(cast))


@pytest.mark.parametrize("room", [4096, 40_960, 100_000])
def test_without_room_there_is_an_error_and_no_file(room: int, cast: Cast, vault: Path):
    done = in_process(CREATE, cast.url, vault / "x.backup", file_size=room)
    assert done.returncode == 6, done.stderr
    assert done.stdout.strip()
    assert left_in(vault) == []
    create_backup(cast.recorder, vault / "x.backup", outside(cast))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root; file sizes are limited above instead")
def test_a_full_disk_is_named(cast: Cast, vault: Path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", vault], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        with pytest.raises(StorageError, match="disk is full"):
            create_backup(cast.recorder, vault / "x.backup", outside(cast))
        assert left_in(vault) == []
    finally:
        subprocess.run(["umount", vault], check=True)


def test_a_folder_that_is_not_there_is_an_error(cast: Cast, vault: Path):
    with pytest.raises(StorageError):
        create_backup(cast.recorder, vault / "missing" / "x.backup", outside(cast))


def test_the_name_in_a_folder_is_a_plain_one():
    assert backup_name("ledger.example/a:b/c", 7) == "ledger.example_a_b_c-7.backup"
