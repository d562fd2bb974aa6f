"""Approving that is handed on: for a while, within bounds, and to nobody's second vote."""

from __future__ import annotations

import pytest

from ledger.domain.independence import how_many
from ledger.domain.signing import ROOT_ACTOR
from ledger.entry import format_time
from ledger.errors import InputError, NotAllowedError
from tests.unit.governing import AUTHORISE, DAY, HOUR, approve, authorised, delegate, ends_at, ready, rules
from tests.unit.story import MODEL, NOW, refused


def test_an_approver_hands_on_approving_for_a_while():
    story = ready()
    story.enrol("p-deputy", ["owner"])
    grant = story.grant(story.request())
    refused(story.judge("p-deputy", "approval.granted", MODEL, grant), NotAllowedError, "legality")
    story.tell("p-approver", "approval.delegated", "actor:p-deputy", delegate(NOW + DAY))
    verdict = story.judge("p-deputy", "approval.granted", MODEL, grant)
    assert (verdict.kind, verdict.until) == ("valid", NOW + DAY)
    onward = story.judge("p-deputy", "approval.delegated", "actor:p-author", delegate(NOW + DAY))
    refused(onward, NotAllowedError, "legality")
    ends_at(story, NOW + DAY, "p-deputy", "approval.granted", MODEL, grant)
    story.now = NOW + DAY
    refused(story.judge("p-deputy", "approval.granted", MODEL, grant), NotAllowedError, "legality")


def test_who_hands_on_stands_behind_what_is_decided():
    story = ready()
    story.enrol("p-both", ["approver"], person="p-author", by=ROOT_ACTOR)
    story.enrol("p-deputy", ["owner"])
    story.tell("p-both", "approval.delegated", "actor:p-deputy", delegate(NOW + DAY))
    grant = story.grant(story.request())
    refused(story.judge("p-deputy", "approval.granted", MODEL, grant), NotAllowedError, "legality")


def test_an_approver_to_whom_a_maker_handed_on_decides_by_its_own_role():
    story = ready()
    story.enrol("p-both", ["approver"], person="p-author", by=ROOT_ACTOR)
    story.tell("p-both", "approval.delegated", "actor:p-second", delegate(NOW + DAY))
    approve(story, by="p-second")
    assert authorised(story)


def test_who_hands_on_and_who_decides_in_their_place_count_once():
    story = ready(rules(approvals=2))
    story.enrol("p-deputy", ["owner"])
    story.tell("p-approver", "approval.delegated", "actor:p-deputy", delegate(NOW + DAY))
    approve(story, by="p-deputy")
    approve(story, by="p-approver")
    assert not authorised(story)
    approve(story, by="p-second")
    assert authorised(story)


def test_a_deputy_of_two_takes_no_approval_from_either():
    story = ready(rules(approvals=2))
    story.enrol("p-deputy", ["owner"])
    for by in ("p-approver", "p-second"):
        story.tell(by, "approval.delegated", "actor:p-deputy", delegate(NOW + DAY))
    approve(story, by="p-deputy")
    approve(story, by="p-approver", expires_at=format_time(NOW + DAY))
    assert not authorised(story)
    approve(story, by="p-second")
    assert story.judge(*AUTHORISE).until == NOW + DAY
    ends_at(story, NOW + DAY)


@pytest.mark.parametrize(
    ("sides", "count"),
    [
        ((), 0), (("",), 0), (("a", "a", "b"), 2), (("a", "ab", "b"), 2), (("da", "ea"), 1), (("da", "eb"), 2),
        (("ab", "bc", "cd"), 2), (("bc", "ab", "cd", "de"), 2), (("ab", "bc", "cd", "de", "ef"), 3),
        (("abc", "ad", "be", "cf"), 3),
    ],
)  # fmt: skip
def test_how_many_of_which_no_two_have_a_person_in_common(sides: tuple[str, ...], count: int):
    assert how_many(map(frozenset, sides)) == count


def test_nobody_hands_on_more_than_they_have():
    story = ready()
    story.enrol("p-deputy", ["owner"])
    story.enrol("p-short", ["owner"])
    story.tell("p-admin", "role.granted", "actor:p-short", {"role": "approver", "until": format_time(NOW + DAY)})
    longer = story.judge("p-short", "approval.delegated", "actor:p-deputy", delegate(NOW + 2 * DAY))
    refused(longer, NotAllowedError, "legality")
    for by in ("p-short", "p-second", "p-approver"):  # of the last two one has no other role, and one has
        assert story.judge(by, "approval.delegated", "actor:p-deputy", delegate(NOW + DAY)).kind == "valid"
    for target in ("trainer", "p-short"):
        refused(story.judge("p-short", "approval.delegated", f"actor:{target}", delegate(NOW + DAY)), NotAllowedError,
                "legality")  # fmt: skip
    ends_at(story, NOW + HOUR, "p-approver", "approval.delegated", "actor:p-deputy", delegate(NOW + HOUR))
    story.now = NOW + HOUR
    past = story.judge("p-approver", "approval.delegated", "actor:p-deputy", delegate(NOW))
    refused(past, InputError, "schema")
