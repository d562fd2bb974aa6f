"""`verify.py` beside `judge`: every judgement in the tests of the keyring, made again by the script's own rules.

About what changes keys, roles, holds and the ledger itself it must say the same. It knows no rules of decisions, so of
other events it may take what these refuse, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

import ledger.standalone as script
from ledger.domain import RecordedEvent, Verdict, World, judge
from ledger.domain.signing import ROOT_ACTOR
from ledger.entry import format_time
from ledger.errors import AuthenticationError, NotAllowedError, fault_of
from ledger.events import Category
from tests.unit import rings, story, test_judge, test_judge_decisions, test_keyring_ledger, test_keyring_stolen
from tests.unit.story import LEDGERID, Story
from tests.unit.test_judge import *  # noqa: F403 - their tests are run again here, with the script looking on
from tests.unit.test_judge_catalogue import *  # noqa: F403
from tests.unit.test_judge_decisions import *  # noqa: F403
from tests.unit.test_judge_states import *  # noqa: F403
from tests.unit.test_keyring_answering import *  # noqa: F403
from tests.unit.test_keyring_bounds import *  # noqa: F403
from tests.unit.test_keyring_keys import *  # noqa: F403
from tests.unit.test_keyring_last_admin import *  # noqa: F403
from tests.unit.test_keyring_ledger import *  # noqa: F403
from tests.unit.test_keyring_reaffirmed import *  # noqa: F403
from tests.unit.test_keyring_rests import *  # noqa: F403
from tests.unit.test_keyring_roles import *  # noqa: F403
from tests.unit.test_keyring_stolen import *  # noqa: F403
from tests.unit.test_ledger_events import *  # noqa: F403
from tests.unit.test_stages import test_only_decisions_are_stopped_and_none_for_ever  # noqa: F401

#: What the script refuses too of what is no authority; whom a decision needs it leaves to us.
_KNOWN = re.compile("key|enrolled|left|role|answers|admin|root|may not")

#: Whoever asks `judge` by its name.
_ASKING = (story, rings, test_judge, test_judge_decisions, test_keyring_ledger, test_keyring_stolen)

# About time, and the script's keyring is copied for every judgement here.
del test_many_rotations_by_the_key_before  # noqa: F821
# The script judges in order, and nothing that was refused goes into its keyring.
del test_a_revoked_actor_signs_nothing_from_there_on, test_where_no_admin_is_left_things_go_on  # noqa: F821


class Mirror:
    """The script's keyring of one world; signatures are taken to be good, since nothing is signed there."""

    def __init__(self) -> None:
        self.keyring = script.Keyring()

    @staticmethod
    def refuses(keyring: script.Keyring, event: RecordedEvent) -> str | None:
        """Why the script takes an event for void, None when it does not; the keyring goes on behind it."""
        payload, behalf = event.payload, event.payload.on_behalf_of
        entry = {
            "actor": event.actor, "id": payload.id, "index": event.index, "keys": list(event.keys),
            "ledgerid": payload.ledgerid, "recorded_at": format_time(event.recorded_at), "stream": event.stream,
            "subject": payload.subject, "type": payload.type,
        }  # fmt: skip
        body = json.loads(json.dumps(payload.data))
        signed: dict[str, Any] = {"data": body, **({} if behalf is None else {"onbehalfof": f"urn:muniment:{behalf}"})}
        try:
            keyring.judge(script.make_record(entry, signed), body, b"", dict.fromkeys(event.keys, b""))
        except script.Bad as bad:
            return f"{bad.fault}: {bad}"
        return None

    def compare(self, event: RecordedEvent, verdict: Verdict) -> None:
        if event.payload.ledgerid != LEDGERID:
            return  # an entry of another ledger is not of the chain, for both
        words = self.refuses(deepcopy(self.keyring), event)
        error = verdict.error
        if error is None:
            assert words is None, (words, event)
        elif event.kind is not None and event.kind.category is Category.AUTHORITY:
            assert words is not None, (error, event)
            assert words.partition(":")[0] == fault_of(error), (words, error)
        elif isinstance(error, AuthenticationError | NotAllowedError) and _KNOWN.search(error.message):
            assert words is not None, (error, event)


@pytest.fixture(autouse=True)
def looking_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    mirrors: dict[int, Mirror] = {}
    fold = Story.fold

    def judged(world: World, event: RecordedEvent) -> Verdict:
        verdict = judge(world, event)
        if id(world) in mirrors or event.index == 0:
            mirrors.setdefault(id(world), Mirror()).compare(event, verdict)
        return verdict

    def folded(self: Story, event: RecordedEvent) -> RecordedEvent:
        keyring = mirrors[id(self.world)].keyring
        found = fold(self, event)
        assert (event.kind is None) or mirrors[id(self.world)].refuses(keyring, event) is None
        keyring.leaves[event.index] = self.view.leaves[event.index].hex()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Story, "fold", folded)
        patch.setattr(script, "signed_by", lambda raw, signature, message: True)
        for module in _ASKING:
            patch.setattr(module, "judge", judged)
        yield


_HOLD = {"subjects": ["model:*"], "matter": "m", "reason": "x"}


@pytest.mark.parametrize(
    ("rule", "act", "keys"),
    [
        ("check_signatures", ("p-admin", "hold.placed", f"ledger:{LEDGERID}", _HOLD), ["ab" * 32]),
        ("check_roles", ("p-author", "hold.placed", f"ledger:{LEDGERID}", _HOLD), None),
        ("check_place", (ROOT_ACTOR, "key.revoked", "actor:trainer", {"keyid": "ab" * 32, "reason": "x"}), None),
        ("lasts", (ROOT_ACTOR, "actor.revoked", "actor:p-admin", {"reason": "x"}), None),
    ],
)
def test_a_script_that_forgets_a_rule_is_noticed(
    rule: str, act: tuple[Any, ...], keys: list[str] | None, monkeypatch: pytest.MonkeyPatch
):
    story = Story().people()
    monkeypatch.setattr(script.Keyring, "apply", lambda self, record, body: None)
    monkeypatch.setattr(script.Keyring, rule, lambda self, *args: False)
    with pytest.raises(AssertionError):
        story.judge(*act, keys=keys)


@pytest.mark.parametrize(
    ("kind", "stream", "data", "environment"),
    [
        ("gate.evaluated", "model:m", {"environment": "prod"}, "prod"),
        ("waiver.used", "waiver:w", {"deployment": "deployment:prod/x", "model": "model:m@1"}, "prod"),
        ("waiver.used", "waiver:w", {"deployment": 7}, None),
        ("waiver.granted", "waiver:w", {"environment": "prod"}, "prod"),
        ("waiver.granted", "waiver:w", {}, None),
        ("approval.changes_requested", "model:m", {"environment": "prod"}, "prod"),
        ("approval.escalated", "model:m", {"environment": "prod"}, "prod"),
        ("version.demoted", "model:m", {"environment": "prod"}, "prod"),
        ("version.promoted", "model:m", {"environment": "prod"}, "prod"),
        ("run.started", "run:x", {"environment": "prod"}, None),
        ("deployment.authorised", "deployment:prod/x", {}, "prod"),
    ],
)
def test_a_role_for_an_environment_reaches_what_names_it(
    kind: str, stream: str, data: dict[str, object], environment: str | None
):
    entry = {"type": f"muniment.{kind}.v1", "stream": stream}
    assert script.make_record(entry, {"data": data})["environment"] == environment
