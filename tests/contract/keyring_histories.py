"""Random histories in which keys are rotated and stolen, roles granted and ended, and actors leave."""

from __future__ import annotations

from typing import Any

from ledger.application import Ledger, Receipt
from ledger.creation import enrol_actor
from ledger.entry import format_time
from ledger.keys import Ed25519Signer, format_public_key
from tests.contract.histories import History

_ACTORS = ("trainer", "deploy-bot", "p-author", "p-second", "p-approver", "p-deployer", "p-chief", "p-admin")
#: Admins too: what they may do with a service of their own is less.
_PERSONS = ("p-author", "p-second", "p-admin", "p-chief")


class KeyringHistory(History):
    """As `History`, with a second admin."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(url, seed)
        key = Ed25519Signer.generate()
        enrol_actor(self.cast.root, "p-chief", key, kind="person", roles=["admin", "owner"])
        self._use("p-chief", key)

    def _admin(self) -> Ledger:
        return self.chance.choice((self.cast["p-admin"], self.cast["p-chief"], self.cast.root))

    def _actor(self) -> str:
        return self.chance.choice(_ACTORS)

    def _use(self, actor: str, key: Ed25519Signer) -> None:
        self.cast.keys[actor] = key
        self.cast.ledgers[actor] = Ledger(self.cast.recorder, actor=actor, signers=[key])

    def _index(self) -> int:
        return self.chance.randrange(self.cast.recorder.head().size)

    def do_rotate(self) -> Receipt:
        actor, key = self._actor(), Ed25519Signer.generate()
        by = self.cast[actor] if self.chance.random() < 0.7 else self._admin()
        body = {"keyid": self.cast.keys[actor].public.keyid, "key": format_public_key(key.public)}
        until = self.cast.recorder.head().size + self.chance.choice((-5, 0, 3, 30))
        receipt = by.emit("key.rotated", f"actor:{actor}", body, until=max(until, 0), also_sign=[key])
        if self.chance.random() < 0.8:
            self._use(actor, key)
        return receipt

    def do_compromise(self) -> list[Receipt]:
        if self.chance.random() < 0.5:
            return [self.do_signal()]
        actor = self._actor()
        found, old = [], self.cast.keys[actor]
        if self.chance.random() < 0.7:  # a new one first
            new = Ed25519Signer.generate()
            enrol = self._admin().emit
            found.append(enrol("key.enrolled", f"actor:{actor}", key=format_public_key(new.public), also_sign=[new]))
            self._use(actor, new)
        body = {"keyid": old.public.keyid, "since": self._index(), "reason": "stolen"}
        return [*found, self._admin().emit("key.compromised", f"actor:{actor}", body)]

    def do_reaffirm(self) -> Receipt:
        index = self._index()
        row = self.cast.recorder.rows(index, 1)[0]
        by = self.chance.choice((self.cast.ledgers.get(row.entry.actor, self.cast.root), self._admin()))
        body = {"index": index, "leaf_hash": row.leaf_hash.hex(), "reason": "ours"}
        return by.emit("entry.reaffirmed", f"actor:{row.entry.actor}", body)

    def do_reaffirm_again(self) -> Receipt:
        return self.do_reaffirm()

    def do_grant(self) -> Receipt:
        body: dict[str, Any] = {"role": self.chance.choice(("emitter", "owner", "approver", "deployer", "admin"))}
        if self.chance.random() < 0.5:
            body["until"] = format_time(self.now + self.chance.choice((1, 10**6, 10**11)))
        if self.chance.random() < 0.3:
            body["subjects"] = self.chance.choice((["model:*"], ["model:*/*"], ["deployment:prod/*", "run:*"]))
        if self.chance.random() < 0.2:
            body["environments"] = ["prod"]
        if self.chance.random() < 0.2:
            body["types"] = ["run.*", "approval.granted"]
        return self._admin().emit("role.granted", f"actor:{self._actor()}", body)

    def do_ungrant(self) -> Receipt:
        if self.chance.random() < 0.6:
            return self.do_signal()
        role = self.chance.choice(("emitter", "owner", "approver", "deployer", "admin"))
        return self._admin().emit("role.revoked", f"actor:{self._actor()}", role=role, reason="over")

    def do_responsible(self) -> Receipt:
        service, person = self.chance.choice(("trainer", "deploy-bot")), self.chance.choice(_PERSONS)
        body = {"responsible": person, "reason": "moved"}
        return self._admin().emit("actor.responsible_changed", f"actor:{service}", body)

    def do_offboard(self) -> Receipt:
        if self.chance.random() < 0.3:
            return self.do_signal()
        body = {"successor": self.chance.choice((None, "p-second", "p-author")), "reason": "left"}
        return self._admin().emit("actor.offboarded", f"actor:{self._actor()}", body)
