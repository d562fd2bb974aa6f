"""`verify.py` beside `judge`: every judgement in the tests of the keyring, made again by the script's own rules.

The script knows keys and roles and no rules of decisions, so it may take what these refuse, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

import ledger.standalone as script
from ledger.domain import RecordedEvent, Verdict, World, judge
from ledger.entry import format_time
from ledger.errors import AuthenticationError, NotAllowedError
from tests.unit import test_judge, test_keyring
from tests.unit.test_judge import Story
from tests.unit.test_keyring import *  # noqa: F403 - its tests are run again here, with the script looking on

#: What the script refuses too; that the last admin stays, and whom a decision needs, it leaves to us.
_KNOWN = re.compile("key|enrolled|left|role|answers|admin|root|may not")

# About time, and the script's keyring is copied for every judgement here.
del test_many_rotations_by_the_key_before  # noqa: F821


class Mirror:
    """The script's keyring of one world; signatures are taken to be good, since nothing is signed there."""

    def __init__(self) -> None:
        self.keyring = script.Keyring()
        self.counts: Counter[bool] = Counter()

    @staticmethod
    def record(event: RecordedEvent) -> tuple[dict[str, Any], dict[str, Any]]:
        payload, kind = event.payload, event.payload.type.removeprefix("muniment.")
        body = json.loads(json.dumps(payload.data))
        environment = event.subject.namespace if event.subject.kind == "deployment" else None
        environment = body.get("environment") if kind.startswith("approval.") else environment
        return {
            "actor": event.actor, "id": payload.id, "index": event.index, "keys": list(event.keys),
            "ledgerid": payload.ledgerid, "recorded_at": format_time(event.recorded_at), "stream": event.stream,
            "subject": payload.subject, "type": kind, "environment": environment,
        }, body  # fmt: skip

    def refuses(self, keyring: script.Keyring, event: RecordedEvent) -> str | None:
        """Why the script takes an event for void, None when it does not; the keyring goes on behind it."""
        record, body = self.record(event)
        try:
            keyring.check_signatures(record, body, b"", dict.fromkeys(event.keys, b""))
            keyring.check_roles(record, body)
            if record["type"] in script.AUTHORITY:
                keyring.check_place(record, body)
                keyring.apply(record, body)
        except script.Bad as bad:
            return f"{bad.fault}: {bad}"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return f"schema: {error!r}"
        keyring.records[event.index] = record
        return None

    def compare(self, event: RecordedEvent, verdict: Verdict) -> None:
        words = self.refuses(deepcopy(self.keyring), event)
        self.counts[words is None] += 1
        if verdict.kind == "valid":
            assert words is None, (words, event)
        elif isinstance(verdict.error, AuthenticationError | NotAllowedError) and _KNOWN.search(verdict.error.message):
            assert words is not None, (verdict.error, event)


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
        for module in (test_judge, test_keyring):
            patch.setattr(module, "judge", judged)
        yield
    assert not mirrors or sum(sum(mirror.counts.values()) for mirror in mirrors.values()) > 2
