"""Stories about keys and roles, for the tests of the keyring and of what rests on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledger.domain import ActorState, Verdict, judge
from ledger.domain.decisions import marks_of
from ledger.domain.signed import ROOT_ACTOR
from ledger.errors import NotAllowedError
from ledger.keys import format_public_key
from tests.unit.story import DIGEST, MODEL, Story, key_of, refused

SECOND = 1_000_000


def keyid(name: str) -> str:
    return key_of(name).public.keyid


def actor(story: Story, name: str) -> ActorState:
    state = story.world.state(f"actor:{name}")
    assert isinstance(state, ActorState)
    return state


class Ring(Story):
    """A story about keys: its admin is ``p-admin``, whose key only the root keys and itself touch."""

    def rotate(
        self, name: str, old: str, new: str, until: int = 0, *, by: str | None = None, keys: Sequence[str] | None = None
    ) -> Verdict:
        signers = [old] if by is None else [by]
        signed = sorted(keyid(one) for one in (*signers, new)) if keys is None else sorted(keys)
        if by == ROOT_ACTOR and keys is None:
            signed = sorted([*(root.public.keyid for root in self.roots), keyid(new)])
        body = {"keyid": keyid(old), "key": format_public_key(key_of(new).public), "until": until}
        event = self.event(by or name, "key.rotated", f"actor:{name}", body, keys=signed)
        verdict = judge(self.world, event)
        if verdict.kind == "valid":
            self.fold(event)
        return verdict

    def compromise(self, name: str, since: int, *, by: str = "p-admin", key: str | None = None) -> int:
        body = {"keyid": keyid(key or name), "since": since, "reason": "laptop stolen"}
        return self.tell(by, "key.compromised", f"actor:{name}", body).index

    def reaffirm(self, name: str, index: int, *, by: str, **options: Any) -> Verdict:
        body = {"index": index, "leaf_hash": self.view.leaves[index].hex(), "reason": "ours"}
        event = self.event(by, "entry.reaffirmed", f"actor:{name}", body, **options)
        verdict = judge(self.world, event)
        if verdict.kind == "valid":
            self.fold(event)
        return verdict

    def new_key(self, name: str, new: str, *, by: str = "p-admin") -> None:
        own = [root.public.keyid for root in self.roots] if by == ROOT_ACTOR else [keyid(by)]
        data = {"key": format_public_key(key_of(new).public)}
        self.tell(by, "key.enrolled", f"actor:{name}", data, keys=sorted([*own, keyid(new)]))

    def grant(self, name: str, role: str, *, by: str = "p-admin", **body: Any) -> Any:  # type: ignore[override]
        return self.tell(by, "role.granted", f"actor:{name}", {"role": role, **body})

    def observe(self, name: str, *keys: str) -> Verdict:
        return self.judge(name, "external.observed", "external:x", {"system": "s"}, keys=sorted(map(keyid, keys)))

    def people(self) -> Ring:
        super().people()
        return self

    def approve(self, request: str, *, by: str = "p-approver", **options: Any) -> Any:
        return self.tell(by, "approval.granted", MODEL, Story.grant(self, request), **options)

    def authorise(self, **options: Any) -> Any:
        body = {"model": MODEL, "digest": DIGEST}
        return self.tell("p-deployer", "deployment.authorised", "deployment:prod/x", body, **options)

    def may_authorise(self) -> Verdict:
        body = {"model": MODEL, "digest": DIGEST}
        return self.judge("p-deployer", "deployment.authorised", "deployment:prod/x", body)

    def marks(self) -> tuple[str, ...]:
        body = {"model": MODEL, "digest": DIGEST}
        return marks_of(self.world, self.event("p-deployer", "deployment.completed", "deployment:prod/x", body))


# -- who may ---------------------------------------------------------------------------------------


def words(verdict: Verdict) -> str:
    refused(verdict, NotAllowedError, "legality")
    assert verdict.error is not None
    return verdict.error.message


# -- compromised -----------------------------------------------------------------------------------


def approved(ring: Ring) -> tuple[str, Any]:
    ring.version()
    request = ring.request()
    return request, ring.approve(request)
