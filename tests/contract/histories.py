"""Random histories of a ledger, the same for the same seed (but for keys, ids and nonces)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from ledger import commands
from ledger.application import Ledger, Receipt
from ledger.creation import DEFAULT_RULES
from ledger.emission import build_payload
from ledger.envelope import format_envelope, sign_payload
from ledger.errors import AuthenticationError, ConflictError, InputError, PolicyError
from ledger.events.ledgers import Rule, RuleSet
from ledger.keys import Ed25519Signer, format_public_key
from tests.contract.support import Cast, digest, make_cast

#: What a correct ledger may answer to a random command.
REFUSALS = (PolicyError, ConflictError, AuthenticationError, InputError)
START = 1_790_000_000_000_000

RULES = (
    DEFAULT_RULES,
    RuleSet(
        name="two approvals for high risk",
        rules=(
            Rule(environment="prod", tier="high", authorisation=True, approvals=2, evaluation=True),
            Rule(environment="prod", tier="*", authorisation=True, approvals=1, evaluation=False),
            Rule(environment="stage", tier="*", authorisation=True, approvals=0, evaluation=False),
        ),
    ),
    RuleSet(
        name="anything goes",
        rules=(Rule(environment="*", tier="*", authorisation=False, approvals=0, evaluation=False),),
    ),
)
MODELS = ("model:a@1", "model:a@2", "model:team/b@1", "model:c@7")
PLACES = ("deployment:prod/x", "deployment:prod/y", "deployment:dev/x", "deployment:stage/x")


class History:
    """A ledger and a source of commands.

    Args:
        url: an empty store.
        seed: of everything random here.
    """

    def __init__(self, url: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = self._latest = START
        self.cast: Cast = make_cast(url, rules=self.chance.choice(RULES), clock=lambda: self.now)
        self.cast.enrol("p-second", "person", ["approver", "owner"])
        self.cast.enrol("deploy-bot", "service", ["deployer", "emitter"], "p-deployer")
        self.counts: Counter[str] = Counter()
        self.receipts: list[Receipt] = []
        self._envelopes: list[tuple[bytes, Receipt]] = []
        self._sequences: Counter[str] = Counter()
        self._emitters: dict[str, str] = {}
        self._steps: Sequence[Callable[[], Any]] = [
            value for name in sorted(dir(self)) if name.startswith("do_") and callable(value := getattr(self, name))
        ]

    def run(self, steps: int) -> History:
        """Take random steps; what is refused is refused."""
        for _ in range(steps):
            self.now += self.chance.choice((0, 1, 1_000, 1_000_000, 86_400_000_000, -900_000))
            self._latest = max(self._latest, self.now)
            self.now = max(self.now, self._latest - 4_000_000)  # a clock may be a little behind
            step = self.chance.choice(self._steps)
            self.counts[step.__name__] += 1
            try:
                found = step()
            except REFUSALS as refusal:
                self.counts["refused"] += 1
                self.counts[type(refusal).__name__] += 1
            else:
                self.receipts += [found] if isinstance(found, Receipt) else found or []
                self.counts["marked"] += isinstance(found, Receipt) and bool(found.marks)
        return self

    # -- helpers -----------------------------------------------------------------------------

    def _as(self, *actors: str) -> Ledger:
        return self.cast.ledgers[self.chance.choice(actors or tuple(sorted(self.cast.ledgers)))]

    def _model(self) -> str:
        return self.chance.choice(MODELS)

    def _place(self) -> str:
        return self.chance.choice(PLACES)

    def _options(self) -> dict[str, Any]:
        """Late, on behalf of somebody, correlated: now and then."""
        found: dict[str, Any] = {}
        if self.chance.random() < 0.3:
            found["occurred_at"] = START - self.chance.randrange(10**14)
            found["strength"] = self.chance.choice(("observed", "asserted", "imported", "backfilled"))
        if self.chance.random() < 0.2:
            found["on_behalf_of"] = self.chance.choice(("p-author", "p-second", "p-approver", "nobody"))
        if self.chance.random() < 0.1:
            found["correlation"] = f"job {self.chance.randrange(5)}"
        return found

    def _digest(self, model: str) -> str:
        return digest(model if self.chance.random() < 0.9 else "something else")

    def _envelope(self) -> tuple[str, bytes]:
        """A fact of the trainer's, signed outside the ledger."""
        actor = self.chance.choice(("trainer", "deploy-bot"))
        self._sequences[actor] += 1
        payload, _ = build_payload(
            ledgerid=self.cast.admin.ledgerid, actor=actor, type="monitor.signal", subject="monitor:m",
            data={"metric": "psi", "value": self.chance.random()}, sequence=self._sequences[actor],
            emitter=self._emitters.setdefault(actor, str(uuid4())),
        )  # fmt: skip
        return actor, format_envelope(sign_payload(payload, [self.cast.keys[actor]]))

    # -- facts ---------------------------------------------------------------------------------

    def do_dataset(self) -> Receipt:
        name = f"dataset:d{self.chance.randrange(3)}"
        name += self.chance.choice(("", "@1", "@2"))
        return self._as("trainer", "p-author").emit(
            "dataset.registered", name, digest=self._digest(name), row_count=self.chance.randrange(9), **self._options()
        )

    def do_run(self) -> Receipt:
        kind = self.chance.choice(("run.started", "run.completed", "run.failed"))
        body = {"reason": "out of memory"} if kind == "run.failed" else {"parameters": {"depth": 3, "rate": 0.1}}
        subject = f"run:r{self.chance.randrange(3)}"
        return self._as("trainer", "p-author", "p-approver").emit(kind, subject, body, **self._options())

    def do_version(self) -> Receipt:
        model = self._model()
        run = self.chance.choice((None, "run:r0", "run:r1", "run:never"))
        tier = self.chance.choice(("low", "medium", "high"))
        return self._as("trainer", "p-author", "p-second").emit(
            "version.registered", model, digest=self._digest(model), owner="p-author", tier=tier, run=run,
            **self._options(),
        )  # fmt: skip

    def do_evaluation(self) -> Receipt:
        model = self._model()
        verdict = self.chance.choice(("pass", "pass", "fail", "uncertain"))
        return self._as("trainer", "p-approver").emit(
            "evaluation.completed", model, metrics={"auc": round(self.chance.random(), 3)}, verdict=verdict,
            digest=self.chance.choice((None, self._digest(model))), **self._options(),
        )  # fmt: skip

    def do_signal(self) -> Receipt:
        return self._as().emit("monitor.signal", "monitor:m", metric="psi", value=self.chance.random())

    def do_external(self) -> Receipt:
        return self._as("trainer").emit(
            "external.observed", "external:ci", system="ci", content={"größe": [1, 2.5, None, {"ü": "\u2028"}]},
        )  # fmt: skip

    def do_deployment(self) -> Receipt:
        return commands.record_deployment(
            self._as("p-deployer", "deploy-bot", "trainer"), self._place(), self._model(), **self._options()
        )

    def do_failed_deployment(self) -> Receipt:
        model = self._model()
        return self._as("deploy-bot").emit(
            "deployment.failed", self._place(), model=model, digest=digest(model), reason="did not start"
        )

    # -- decisions --------------------------------------------------------------------------------

    def do_request(self) -> Receipt:
        environment = self.chance.choice(("prod", "dev", "stage"))
        return commands.request_approval(self._as("p-author", "p-second", "trainer"), self._model(), environment)

    def do_approve(self) -> Receipt:
        return commands.approve(self._as("p-approver", "p-second", "p-admin"), self._model(), rationale="fit")

    def do_approve_again(self) -> Receipt:
        return self.do_approve()

    def do_reject(self) -> Receipt:
        return commands.reject(self._as("p-approver", "p-second"), self._model(), rationale="not fit")

    def do_authorise(self) -> Receipt:
        return commands.authorise(self._as("p-deployer", "deploy-bot"), self._place(), self._model())

    def do_ask_to_deploy(self) -> Receipt:
        model = self._model()
        return self._as("p-author").emit("deployment.requested", self._place(), model=model, digest=self._digest(model))

    # -- protection --------------------------------------------------------------------------------

    def do_roll_back(self) -> list[Receipt]:
        place, model = self._place(), self._model()
        first = commands.roll_back(self._as(), place, model, reason="errors")
        return [first, commands.record_rollback(self._as(), place, model, incident="incident:i", **self._options())]

    def do_incident(self) -> Receipt:
        kind, body = self.chance.choice(
            (
                ("incident.opened", {"title": "slow", "severity": "high"}),
                ("incident.noted", {"note": "looking"}),
                ("incident.mitigated", {}),
                ("incident.closed", {"summary": "over"}),
                ("incident.noted", {"note": "what I saw", "seen": {"size": 1, "root": "0" * 64}}),
            )
        )
        return self._as().emit(kind, f"incident:i{self.chance.randrange(2)}", body)

    # -- authority ---------------------------------------------------------------------------------

    def do_enrol(self) -> Receipt:
        actor = f"svc-{self.chance.randrange(4)}"
        ledger = self.cast.enrol(actor, "service", ["emitter"], "p-author")
        return ledger.emit("external.observed", "external:hello", system=actor)

    def do_new_key(self) -> list[Receipt]:
        actor = self.chance.choice(("trainer", "deploy-bot", "p-author", "p-second"))
        key = Ed25519Signer.generate()
        first = self.cast.admin.emit(
            "key.enrolled", f"actor:{actor}", key=format_public_key(key.public), also_sign=[key]
        )
        self.cast.ledgers[actor] = Ledger(self.cast.recorder, actor=actor, signers=[key, self.cast.keys[actor]])
        return [first, self.cast[actor].emit("incident.noted", "incident:i0", note="signed with both keys")]

    def do_revoke_key(self) -> Receipt:
        if self.chance.random() < 0.6:
            return self.do_signal()
        actor = self.chance.choice(("p-second", "svc-0", "svc-1"))
        key = self.cast.keys.get(actor, self.cast.keys["trainer"])
        return self.cast.admin.emit("key.revoked", f"actor:{actor}", keyid=key.public.keyid, reason="lost")

    def do_revoke_actor(self) -> Receipt:
        if self.chance.random() < 0.6:
            return self.do_signal()
        return self.cast.admin.emit("actor.revoked", f"actor:svc-{self.chance.randrange(4)}", reason="gone")

    def do_forbidden_authority(self) -> Receipt:
        return self._as("trainer", "p-approver").emit("actor.revoked", "actor:p-author", reason="I want it")

    # -- the machinery ------------------------------------------------------------------------------

    def do_envelope(self) -> Receipt:
        _, envelope = self._envelope()
        receipt = self.cast.admin.append(envelope)
        self._envelopes.append((envelope, receipt))
        return receipt

    def do_retry(self) -> None:
        if not self._envelopes:
            return
        envelope, first = self.chance.choice(self._envelopes)
        again = self.cast.admin.append(envelope)
        assert again.existing
        assert (again.index, again.leaf_hash) == (first.index, first.leaf_hash)
        self.counts["retried"] += 1

    def do_batch(self) -> list[Receipt]:
        batch = [self._envelope()[1] for _ in range(self.chance.randrange(1, 5))]
        if self._envelopes and self.chance.random() < 0.5:
            batch.insert(self.chance.randrange(len(batch) + 1), self._envelopes[-1][0])
        receipts = self.cast.admin.append_batch(batch)
        self._envelopes += zip(batch, receipts, strict=True)
        return receipts

    def do_checkpoint(self) -> None:
        self.cast.admin.checkpoint()

    def do_reopen(self) -> None:
        """New emitters, empty caches."""
        for actor in self.cast.ledgers:
            if actor != "p-admin":
                self.cast.ledgers[actor] = Ledger(self.cast.recorder, actor=actor, signers=[self.cast.keys[actor]])
