"""The modelled disk: what a power cut may leave, and what a sync saves."""

from __future__ import annotations

import random

import pytest

from tests.faults.disk import SECTOR, Disk, Op, Variant

A, B = "/d/a", "/d/b"
OLD, NEW = b"o" * SECTOR * 3, b"n" * SECTOR * 3


def cut(disk: Disk, variant: Variant, seed: int = 0) -> dict[str, bytes]:
    return disk.cut(variant, random.Random(seed))


def test_a_write_lasts_once_it_is_synced():
    disk = Disk({A: OLD}, [Op("write", A, 0, NEW)])
    assert cut(disk, Variant.DROPPED) == {A: OLD}
    assert cut(disk, Variant.KEPT) == {A: NEW}
    disk.apply(Op("sync", A))
    assert disk.unsynced == (0, 0)
    assert {cut(disk, variant)[A] for variant in Variant} == {NEW}


def test_a_failed_sync_forgets_what_it_should_have_written():
    disk = Disk({A: OLD}, [Op("write", A, 0, NEW), Op("syncfailed", A), Op("sync", A)])
    assert cut(disk, Variant.KEPT) == {A: OLD}


def test_a_torn_write_is_a_prefix_of_whole_sectors():
    disk = Disk({A: OLD}, [Op("write", A, 0, NEW)])
    found = {cut(disk, Variant.TORN, seed)[A] for seed in range(50)}
    assert found == {NEW[: SECTOR * n] + OLD[SECTOR * n :] for n in range(3)}


def test_only_the_last_write_is_torn():
    disk = Disk({A: OLD, B: OLD}, [Op("write", A, 0, NEW), Op("write", B, 0, NEW)])
    for seed in range(20):
        found = cut(disk, Variant.TORN, seed)
        assert found[A] == NEW
        assert found[B] != NEW


def test_mixed_sectors_are_old_or_new():
    disk = Disk({A: OLD}, [Op("write", A, 0, NEW)])
    found = {cut(disk, Variant.MIXED, seed)[A] for seed in range(200)}
    assert len(found) == 8
    assert all(
        image[i * SECTOR : (i + 1) * SECTOR] in {OLD[:SECTOR], NEW[:SECTOR]} for image in found for i in range(3)
    )


def test_what_a_write_does_not_cover_stays_when_it_is_torn_inside_a_sector():
    disk = Disk({A: OLD}, [Op("write", A, 100, b"n" * 10)])
    assert cut(disk, Variant.TORN)[A] == OLD
    assert cut(disk, Variant.KEPT)[A] == OLD[:100] + b"n" * 10 + OLD[110:]


def test_a_write_behind_the_end_leaves_zeros():
    disk = Disk({A: b""}, [Op("write", A, SECTOR * 2, b"n")])
    assert cut(disk, Variant.KEPT)[A] == bytes(SECTOR * 2) + b"n"


def test_a_truncation_waits_for_a_sync_too():
    disk = Disk({A: OLD}, [Op("truncate", A, 10)])
    assert cut(disk, Variant.DROPPED)[A] == OLD
    assert cut(disk, Variant.KEPT)[A] == OLD[:10]


def test_a_new_file_lasts_once_its_folder_is_synced():
    disk = Disk({}, [Op("create", A), Op("write", A, 0, NEW), Op("sync", A)])
    assert cut(disk, Variant.DROPPED) == {}
    disk.apply(Op("syncdir", "/other"))
    assert cut(disk, Variant.DROPPED) == {}
    disk.apply(Op("syncdir", "/d"))
    assert cut(disk, Variant.DROPPED) == {A: NEW}


@pytest.mark.parametrize("variant", list(Variant))
def test_a_rename_is_old_or_new_and_never_neither(variant: Variant):
    ops = [Op("create", B), Op("write", B, 0, NEW), Op("sync", B), Op("rename", B, other=A)]
    disk = Disk({A: OLD}, ops)
    for seed in range(20):
        assert cut(disk, variant, seed)[A] in {OLD, NEW}
    disk.apply(Op("syncdir", "/d"))
    assert cut(disk, variant) == {A: NEW}


def test_a_deletion_may_be_undone():
    disk = Disk({A: OLD}, [Op("delete", A)])
    assert cut(disk, Variant.DROPPED) == {A: OLD}
    assert cut(disk, Variant.KEPT) == {}
