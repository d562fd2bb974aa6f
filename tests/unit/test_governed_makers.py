"""Who made a version, and who is shown to be somebody else."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain.independence import makers_of
from ledger.domain.lifecycle import version_of
from ledger.domain.waiving import waiver_of, waiver_trouble
from ledger.errors import NotAllowedError, PolicyError
from tests.unit.bodies import WAIVER
from tests.unit.governing import AUTHORISE, approve, authorised, ready, rules
from tests.unit.story import DIGEST, MODEL, OTHER, Story, hint_of, refused

STEM = MODEL.partition("@")[0]


def test_nothing_is_asked_for_where_nothing_is_ruled():
    story = ready(rules(environment="prod"))
    body = {"environment": "dev", "digest": DIGEST}
    told = story.judge("p-author", "approval.requested", MODEL, body)
    refused(told, PolicyError, "legality")
    assert "no rule covers" in str(told.error)
    assert story.judge("p-author", "approval.requested", MODEL, {**body, "environment": "prod"}).kind == "valid"


def test_where_the_run_of_a_version_is_not_known_nobody_is_shown_to_be_another_person():
    story = Story().people()
    registered = {"digest": DIGEST, "owner": "p-author", "tier": "high", "run": "run:lost"}
    story.tell("trainer", "version.registered", MODEL, registered)
    story.tell("trainer", "evaluation.completed", MODEL, {"metrics": {"auc": 0.9}, "verdict": "pass", "digest": DIGEST})
    told = story.judge("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    refused(told, NotAllowedError, "legality")
    assert "who is behind this version cannot be resolved" in str(told.error)
    hint = "Is the run recorded that it names, and that it made these bytes? muniment log run:lost"
    assert hint_of(told) == hint


def test_whoever_composes_a_version_is_one_of_its_makers():
    story = ready()
    story.enrol("p-both", ["approver", "emitter"])
    request = story.request()
    grant = ("p-both", "approval.granted", MODEL, story.grant(request))
    assert story.judge(*grant).kind == "valid"
    story.tell("p-both", "version.composed", MODEL, {"parents": [{"role": "teacher", "subject": "model:t@1"}]})
    refused(story.judge(*grant), NotAllowedError, "legality")


def test_whoever_registers_a_version_again_is_one_of_its_makers():
    """Else whoever made it would let somebody register it first, and approve it."""
    story = ready()
    story.enrol("p-both", ["approver", "emitter"])
    grant = ("p-both", "approval.granted", MODEL, story.grant(story.request()))
    assert story.judge(*grant).kind == "valid"
    story.tell("p-both", "version.registered", "model:other@1", {"digest": OTHER, "owner": "p-owner", "tier": "high"})
    assert story.judge(*grant).kind == "valid", "that is another one"
    again = {"digest": DIGEST, "owner": "p-author", "tier": "high", "run": "run:r"}
    story.tell("p-both", "version.registered", MODEL, again)
    refused(story.judge(*grant), NotAllowedError, "legality")


@pytest.mark.parametrize("says", [True, False])
def test_who_made_the_bytes_made_them_under_another_name_of_the_model_too(says: bool):
    """Else whoever ran it would let somebody register it once more, without its run, and approve that."""
    story = Story().people()
    story.enrol("p-both", ["approver", "emitter"])
    for number, by in (("1", "trainer"), ("2", "p-both")):
        said = says_made(f"{STEM}@{number}", DIGEST) if says else {}
        story.tell(by, "run.completed", f"run:{number}", said)
    body = {"digest": DIGEST, "owner": "p-author", "tier": "high"}
    for number, run in (("1", {}), ("2", {"run": "run:2"}), ("3", {})):
        story.tell("p-author", "version.registered", f"{STEM}@{number}", {**body, **run})
    made = [makers_of(story.world, version_of(story.world, f"{STEM}@{number}"), ()) for number in "123"]
    assert made == [frozenset({"p-author"}), *[frozenset({"p-author", "p-both"})] * 2]
    story.tell("p-author", "version.registered", f"{STEM}@4", {**body, "digest": OTHER})
    assert makers_of(story.world, version_of(story.world, f"{STEM}@4"), ()) == frozenset({"p-author"})


@pytest.mark.parametrize(
    ("made", "counts"),
    [
        ([], True),  # it says of nothing that it made it
        ([(MODEL, None)], True),
        ([(MODEL, DIGEST)], True),
        ([("artifact:weights", DIGEST)], True),
        ([("model:other@1", OTHER), (MODEL, None)], True),
        ([("model:other@1", OTHER)], False),
        ([("model:other@1", None)], False),
        ([(MODEL, OTHER)], False),
    ],
)
def test_a_version_does_not_hide_its_makers_behind_the_run_of_something_else(
    made: list[tuple[str, str | None]], counts: bool
):
    story = Story().people()
    outputs = [{"role": "output", "subject": subject, "digest": digest} for subject, digest in made]
    story.tell("trainer", "run.completed", "run:r", {"outputs": outputs})
    story.version()
    grant = ("p-approver", "approval.granted", MODEL, story.grant(story.request()))
    if counts:
        assert story.judge(*grant).kind == "valid"
    else:
        refused(story.judge(*grant), NotAllowedError, "legality")
        story.tell("trainer", "run.attached", "run:r", {"reason": "left out", "outputs": [
            {"role": "output", "subject": MODEL, "digest": DIGEST}]})  # fmt: skip
        assert story.judge(*grant).kind == "valid", "until it says that it made this, too"


def says_made(subject: str, made: str, **more: Any) -> dict[str, Any]:
    """What a run says that it made."""
    return {"outputs": [{"role": "output", "subject": subject, "digest": made}], **more}


@pytest.mark.parametrize("said", [{}, says_made(MODEL, DIGEST)], ids=["nothing", "this"])
@pytest.mark.parametrize(
    ("kind", "more"),
    [("run.attached", {"reason": "left out"}), ("run.completed", {}), ("run.attached", {"reason": "x"})],
)
def test_outputs_that_others_add_take_no_version_away_from_its_run(
    said: dict[str, Any], kind: str, more: dict[str, Any]
):
    story = Story().people()
    story.enrol("bot", ["emitter"], kind="service", responsible="p-second")
    story.tell("trainer", "run.completed", "run:r", said)
    story.version()
    approve(story)
    assert authorised(story)
    story.tell("bot", kind, "run:r", says_made("model:other@1", OTHER, **more))
    assert authorised(story), "whoever comes later cannot make an approval fall"
    makers = makers_of(story.world, version_of(story.world, MODEL), ())
    assert makers == frozenset({"trainer", "bot"}), "and is one of the makers"
    story.tell("trainer", "run.completed", "run:r", says_made("model:more@1", OTHER))
    assert authorised(story) == bool(said), "whoever recorded it first may say that it made nothing but that"


def test_who_a_run_was_recorded_for_recorded_it_first_too():
    story = Story().people()
    story.enrol("bot", ["emitter"], kind="service", responsible="p-second")
    story.tell("trainer", "run.started", "run:r", on_behalf_of="p-author")
    story.version()
    approve(story)
    story.tell("bot", "run.attached", "run:r", says_made("model:o@1", OTHER, reason="x"), on_behalf_of="trainer")
    assert authorised(story), "it is the author that counts, and not for whom"
    story.tell("p-author", "run.attached", "run:r", says_made("model:other@1", OTHER, reason="it is another one"))
    assert not authorised(story)


def test_where_a_run_made_other_things_the_entry_that_says_so_is_named_and_the_way_out():
    story = ready()
    approve(story)
    waiver = ("p-approver", "waiver.granted", "waiver:w", {"rationale": "for now"})
    story.tell("p-author", "waiver.requested", "waiver:w", WAIVER)
    index = story.tell("trainer", "run.completed", "run:r", says_made("model:other@1", OTHER)).index
    why = f"entry {index} says that run:r made other things than {MODEL}"
    how = f"If it made this too, say so: muniment record run run:r --makes {MODEL}={DIGEST}; else register"
    for deed in (("p-second", "approval.granted", MODEL, story.grant(story.request())), waiver):
        told = story.judge(*deed)
        refused(told, NotAllowedError, "legality")
        assert why in str(told.error)
        assert hint_of(told).startswith(how)
    told = story.judge(*AUTHORISE)
    refused(told, PolicyError, "legality")
    assert f"another person than whoever made it: {why}. {how}" in str(told.error)
    story.tell("trainer", "run.completed", "run:r", says_made(MODEL, DIGEST))
    assert authorised(story)
    story.tell(*waiver)
    index = story.tell("trainer", "run.completed", "run:z", says_made("model:other@1", OTHER)).index
    more = {"digest": OTHER.replace("cd", "ef"), "owner": "p-author", "tier": "high", "run": "run:z"}
    story.tell("trainer", "version.registered", "model:m@2", more)
    waived = waiver_of(story.world, "waiver:w")
    assert waived is not None
    trouble = waiver_trouble(story.world, waived, story.now, "model:m@2")
    assert trouble is not None
    assert f"made or owns the model: entry {index} says that run:z made other things than model:m@2. If" in trouble
