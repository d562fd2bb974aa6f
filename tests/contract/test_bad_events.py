"""Events that must be refused: outside the catalogue and the grammar, or against what is recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger import commands
from ledger.errors import (
    ConflictError,
    InputError,
)
from tests.contract.attempts import Attempt, encode, refused, seal, still_good
from tests.contract.support import MODEL, Cast, digest, make_cast, register


@pytest.fixture
def cast(quick_url: str) -> Cast:
    return make_cast(quick_url)


# -- what ------------------------------------------------------------------------------------------


def test_types_and_bodies_outside_the_catalogue(cast: Cast):
    trainer = cast["trainer"]
    good = {"digest": digest("d")}
    unknown = encode(cast, type="muniment.dataset.imagined.v1")
    newer = encode(cast, type="muniment.dataset.registered.v2")
    cases: list[tuple[str, Attempt, str, bool]] = [
        ("unknown type", lambda: trainer.emit("dataset.imagined", "dataset:d", good), "no event type", True),
        ("misspelt type", lambda: trainer.emit("dataset.registred", "dataset:d", good), "no event type", True),
        ("unknown topic", lambda: cast.admin.append(seal(unknown, cast.keys["trainer"])), "no event type", True),
        ("newer version", lambda: cast.admin.append(seal(newer, cast.keys["trainer"])), "no event type", True),
        ("a field is missing", lambda: trainer.emit("dataset.registered", "dataset:d"), "digest", True),
        ("a field is malformed", lambda: trainer.emit("dataset.registered", "dataset:d", digest="md5:1"),
         "digest", True),
        ("a field of another type", lambda: trainer.emit("dataset.registered", "dataset:d", good, row_count="3"),
         "row_count", True),
        ("a number below its range", lambda: trainer.emit("dataset.registered", "dataset:d", good, row_count=-1),
         "row_count", True),
        ("NaN", lambda: trainer.emit("evaluation.completed", MODEL, metrics={"auc": float("nan")}), "NaN", False),
        ("an object that is no JSON", lambda: trainer.emit("external.observed", "external:x", system="s",
                                                          content={"x": object()}), "JSON", False),
        ("a decision with an unknown field", lambda: cast["p-author"].emit(
            "approval.requested", MODEL, environment="prod", digest=digest("d"), hurry=True), "hurry", True),
        ("a control character", lambda: trainer.emit("external.observed", "external:x", system="a\x1bb"),
         "system", True),
        ("another kind of subject", lambda: trainer.emit("dataset.registered", "model:d@1", good), "dataset", False),
        ("no version", lambda: trainer.emit("evaluation.completed", "model:m", metrics={}), "version", False),
        ("a version too much", lambda: trainer.emit("run.started", "run:r@1"), "version", False),
        ("no environment", lambda: cast["p-deployer"].emit(
            "deployment.completed", "deployment:x", model=MODEL, digest=digest("d")), "environment", False),
        ("a time without a zone", lambda: trainer.emit("run.started", "run:r", occurred_at="2026-01-02T03:04:05"),
         "time zone", True),
        ("no time", lambda: trainer.emit("run.started", "run:r", occurred_at="yesterday"), "not a time", True),
        ("an event id that is none", lambda: trainer.emit("run.started", "run:r", event_id="job 7"), "'id'", False),
        ("a strength", lambda: trainer.emit("run.started", "run:r", strength="certain"), "evidencestrength", False),
    ]  # fmt: skip
    for what, attempt, words, hint in cases:
        with refused(cast, what, InputError, words, hint=hint):
            attempt()
    still_good(cast)


NAMES = (
    "", "d", ":d", "dataset:", "Dataset:d", "dataset:d@", "dataset:@1", "dataset:a/b/c", "dataset:/d", "dataset:d ",
    " dataset:d", "dataset:d\n", "dataset:dä", "dataset:d\u200b", "dataset:.d", "dataset:d@1@2", "dataset:-d",
    "dataset:a b", "dataset:a%2fb", "dataset:../x", "dataset:d/", "1dataset:d", "dataset:d@ü", "dataset:\uff44",
    "dataset:" + "d" * 200,
)  # fmt: skip


def test_names_outside_the_grammar(cast: Cast):
    for name in NAMES:
        with refused(cast, repr(name), InputError, ""):
            cast["trainer"].emit("dataset.registered", name, digest=digest("d"))
        with refused(cast, f"signed: {name!r}", InputError, ""):
            cast.admin.append(seal(encode(cast, subject=name), cast.keys["trainer"]))
    with refused(cast, "hint", InputError, "is not a name", hint=True):
        cast["trainer"].emit("dataset.registered", "tx", digest=digest("d"))
    for name in ("model", "model:m", "run:r", "dataset:d@1"):
        with refused(cast, name, InputError, "model version"):
            commands.request_approval(cast["p-author"], name if ":" in name else "run:x", "prod")
    still_good(cast)


# -- when ------------------------------------------------------------------------------------------


def test_what_contradicts_what_is_recorded(cast: Cast):
    register(cast)
    trainer = cast["trainer"]
    first = trainer.emit("external.observed", "external:x", system="one")
    used = json.loads(cast.recorder.rows(first.index, 1)[0].payload or b"")
    same_id = encode(cast, id=first.id)
    same_number = encode(cast, emitter=used["emitter"], sequence=used["sequence"])
    head = cast.recorder.head()
    leaf = cast.recorder.leaf_hashes(3, 4)[0].hex()
    request = {"environment": "prod", "digest": digest(MODEL)}

    def ask(**more: Any) -> Attempt:
        return lambda: cast["p-author"].emit("approval.requested", MODEL, {**request, **more})

    cases: list[tuple[str, Attempt, str, bool]] = [
        ("same id", lambda: cast.admin.append(seal(same_id, cast.keys["trainer"])), f"index {first.index}", True),
        ("same id through emit", lambda: trainer.emit("external.observed", "external:x", system="two",
                                                     event_id=first.id), f"index {first.index}", True),
        ("same number", lambda: cast.admin.append(seal(same_number, cast.keys["trainer"])), "sequence number", True),
        ("stale", lambda: trainer.emit("run.failed", "run:credit-scoring-1", reason="x",
                                       expect={"run:credit-scoring-1": 0}), "moved on", True),
        ("a stream that does not exist", lambda: trainer.emit("run.failed", "run:r", reason="x", expect={"run:q": 1}),
         "run:q", True),
        ("other bytes of a data set", lambda: trainer.emit(
            "dataset.registered", "dataset:credit-scoring-1@1", digest=digest("x")), "already registered", True),
        ("other bytes of a version", lambda: trainer.emit(
            "version.registered", MODEL, digest=digest("x"), owner="p-author", tier="high"),
         "already registered", True),
        ("another tier of a version", lambda: trainer.emit(
            "version.registered", MODEL, digest=digest(MODEL), owner="p-author", tier="low",
            run="run:credit-scoring-1"), "already registered with tier high", True),
        ("another history", ask(seen={"size": head.size, "root": "0" * 64}), "another history", False),
        ("a future", ask(seen={"size": head.size + 1, "root": head.root().hex()}), "another history", False),
        ("other evidence", ask(evidence=[{"index": 4, "leaf_hash": leaf}]), "index 4", False),
        ("evidence to come", ask(evidence=[{"index": head.size, "leaf_hash": leaf}]), f"index {head.size}", False),
    ]  # fmt: skip
    for what, attempt, words, hint in cases:
        with refused(cast, what, ConflictError, words, hint=hint):
            attempt()
    assert ask(seen={"size": head.size, "root": head.root().hex()}, evidence=[{"index": 3, "leaf_hash": leaf}])()
    same = {"digest": digest(MODEL), "owner": "p-author", "tier": "high", "run": "run:credit-scoring-1"}
    assert trainer.emit("version.registered", MODEL, same).index
    still_good(cast)
