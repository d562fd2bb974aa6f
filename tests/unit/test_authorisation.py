"""Every role and every event type: no wrong cell (`tests/unit/authorisation.py` is the table)."""

from __future__ import annotations

from typing import Any

import click
import pytest

from cli.main import cli
from ledger.domain import Verdict, judge
from ledger.domain.signed import ROOT_ACTOR
from ledger.entry import format_time
from ledger.errors import AuthenticationError, NotAllowedError, PolicyError
from ledger.events import Category, all_event_types, find_event_type
from ledger.events import actors as catalogue
from ledger.keys import format_public_key
from ledger.note import TYPE_ED25519, VerifierKey, format_vkey
from tests.unit.authorisation import COMMANDS, EVENTS, OWN, ROLES, WITHOUT_ACTOR, allowed
from tests.unit.bodies import filled, prepare
from tests.unit.rings import Ring, keyid
from tests.unit.story import LEDGERID, NOW, key_of

#: Who else tries: the rule for each is in `expected`.
OTHERS = ("expired", "out of reach", "unanswered", "revoked", "offboarded", "stranger")
TARGET = "target"


class Matrix(Ring):
    """A world with an actor of each column, and something of each kind to act upon."""

    def __init__(self) -> None:
        super().__init__()
        self.people().version()
        self.actors = {role: f"only-{role}" for role in ROLES if role not in ("admin", "root")}
        for role, name in self.actors.items():
            self.enrol(name, [role])
        self.enrol("only-admin", ["admin"], by=ROOT_ACTOR)
        self.ids = prepare(self)
        self.actors |= {"admin": "only-admin", "root": ROOT_ACTOR}
        self.enrol("p-boss", ["owner"])
        for name in ("expired", "out-of-reach", "unanswered", "revoked", "offboarded"):
            self.enrol(
                name,
                ["incident-commander"],
                kind="service",
                responsible="p-boss" if name == "unanswered" else "p-second",
            )
            bounds: dict[str, Any] = {"until": format_time(NOW)} if name == "expired" else {}
            bounds = {"subjects": ["nothing:*"]} if name == "out-of-reach" else bounds
            for role in catalogue.ROLES:
                self.grant(name, role, by=ROOT_ACTOR, **bounds)
            self.actors[name.replace("-", " ")] = name
        self.tell("p-admin", "actor.revoked", "actor:p-boss", {"reason": "left"})
        self.tell(ROOT_ACTOR, "actor.revoked", "actor:revoked", {"reason": "x"})
        self.tell(ROOT_ACTOR, "actor.offboarded", "actor:offboarded", {"reason": "x"})
        self.actors["stranger"] = "stranger"
        self.enrol(TARGET, ["emitter"], kind="service", responsible="p-author")
        self.enrol("stolen", ["emitter"], kind="service", responsible="p-author")
        self.suspect = self.tell("stolen", "run.started", "run:s").index
        self.new_key("stolen", "stolen-2")
        self.compromise("stolen", self.suspect)
        held = {"subjects": ["nothing:*"], "matter": "m", "reason": "x"}
        self.hold = self.tell("p-admin", "hold.placed", f"ledger:{LEDGERID}", held).payload.id

    def about_actors(self, kind: str, target: str) -> tuple[str, dict[str, Any], list[str]]:
        """Subject, body and further keys of an authority event about an actor."""
        new = format_public_key(key_of("new").public)
        key, why = keyid(target), {"reason": "x"}
        found: dict[str, tuple[dict[str, Any], list[str]]] = {
            "actor.enrolled": ({"kind": "person", "roles": ["emitter"], "key": new}, ["new"]),
            "actor.offboarded": (why, []),
            "actor.responsible_changed": ({"responsible": "p-deployer", **why}, []),
            "actor.revoked": (why, []),
            "entry.reaffirmed": (
                {"index": self.suspect, "leaf_hash": self.view.leaves[self.suspect].hex(), **why}, [],
            ),
            "key.compromised": ({"keyid": key, "since": 0, **why}, []),
            "key.enrolled": ({"key": new}, ["new"]),
            "key.revoked": ({"keyid": key, **why}, []),
            "key.rotated": ({"keyid": key, "key": new, "until": 0}, ["new"]),
            "approval.delegated": ({"until": "2099-01-01T00:00:00.000000Z", **why}, []),
            "role.granted": ({"role": "owner"}, []),
            "role.revoked": ({"role": "emitter", **why}, []),
        }  # fmt: skip
        body, keys = found[kind]
        return "actor:newcomer" if kind == "actor.enrolled" else f"actor:{target}", body, keys

    def about_ledger(self, kind: str) -> tuple[dict[str, Any], list[str]]:
        new, why = key_of("new").public, {"reason": "x"}
        vkey = format_vkey(VerifierKey("ledger.example/unit", TYPE_ED25519, new.raw))
        roots, size = [format_public_key(new)], len(self.view.leaves)
        rules = {"name": "x", "rules": [{"environment": "*", "tier": "*", "authorisation": False, "approvals": 0,
                                          "evaluation": False}]}  # fmt: skip
        found: dict[str, tuple[dict[str, Any], list[str]]] = {
            "hold.placed": ({"subjects": ["nothing:*"], "matter": "m", **why}, []),
            "hold.released": ({"hold": self.hold, **why}, []),
            "subject.erased": ({"subject": "person:p-x", "basis": "b", **why}, []),
            "ledger.checkpoint_key_changed": ({"vkey": vkey, **why}, ["new"]),
            "ledger.created": (
                {"ledgerid": LEDGERID, "origin": "ledger.example/unit", "vkey": vkey, "roots": roots, "threshold": 1,
                 "rules": rules}, [],
            ),
            "ledger.entry_acknowledged": ({"index": 0, "leaf_hash": self.view.leaves[0].hex(), **why}, []),
            "ledger.restored": (
                {"size": size, "root": (self.world.root_hash(size) or b"").hex(), "lost_from": size,
                 "lost_to": size + 1,
                 "known": {"size": size + 1, "root": "ab" * 32, "note": "cd" * 32}, **why}, [],
            ),
            "ledger.rules_changed": ({"rules": rules, **why}, []),
            "ledger.roots_changed": ({"roots": roots, "threshold": 1, **why}, ["new"]),
        }  # fmt: skip
        return found[kind]

    def attempt(self, actor: str, kind: str, *, target: str = TARGET, own: str | None = None) -> Verdict:
        """What an actor's event of a type would be; ``own`` is the key it signs with."""
        if kind in OWN:
            # Entries are reaffirmed whose key was stolen, and approving is handed on to persons only.
            about = {"entry.reaffirmed": "stolen", "approval.delegated": "p-deployer"}.get(kind, target)
            subject, body, more = self.about_actors(kind, about)
        elif find_event_type(kind).kinds == ("ledger",):
            (body, more), subject = self.about_ledger(kind), f"ledger:{LEDGERID}"
        else:
            subject, body = filled(kind, self.ids)
            more = []
        roots = [root.public.keyid for root in self.roots]
        signers = roots if actor == ROOT_ACTOR else [keyid(own or actor)]
        return judge(self.world, self.event(actor, kind, subject, body, keys=sorted([*signers, *map(keyid, more)])))


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return Matrix()


def expected(kind: str, column: str) -> bool:
    """The table, and for the others: what ended or does not reach is as if it were not there."""
    row, category = EVENTS[kind], find_event_type(kind).category
    if column in ROLES:
        return allowed(row, column)
    if column in ("expired", "out of reach"):
        return allowed(row, "incident-commander")  # the role they were enrolled in, which has no bounds
    if column == "unanswered":  # it has all roles, and nobody answers for it
        named = any(allowed(row, role) for role in catalogue.ROLES)
        return named and category in (Category.FACT, Category.PROTECTION)
    return False


def test_every_type_has_a_row():
    types = {kind.name for kind in all_event_types()}
    assert types == set(EVENTS), "give a new event type a row in tests/unit/authorisation.py"
    assert {kind for kind in types if "actor" in find_event_type(kind).kinds} == set(OWN)
    assert (*catalogue.ROLES, "root") == ROLES


@pytest.mark.parametrize("column", [*ROLES, *OTHERS])
@pytest.mark.parametrize("kind", EVENTS)
def test_every_cell(matrix: Matrix, kind: str, column: str):
    verdict = matrix.attempt(matrix.actors[column], kind)
    if expected(kind, column):
        assert verdict.kind == "valid", f"{column} may not author {kind}: {verdict.error}"
        return
    assert verdict.kind == "void", f"{column} may author {kind}"
    refusal = AuthenticationError if column in ("revoked", "offboarded", "stranger") else NotAllowedError
    if kind == "ledger.created":
        refusal = AuthenticationError | PolicyError  # type: ignore[assignment]
    assert isinstance(verdict.error, refusal), verdict.error


@pytest.mark.parametrize("kind", OWN)
def test_what_is_ones_own(matrix: Matrix, kind: str):
    """Giving up or renewing what is one's own takes no role, and anything else an admin."""
    actor, key = ("stolen", "stolen-2") if kind == "entry.reaffirmed" else (TARGET, None)
    verdict = matrix.attempt(actor, kind, own=key)
    assert (verdict.kind == "valid") is OWN[kind], verdict.error
    if not OWN[kind]:
        assert isinstance(verdict.error, NotAllowedError)


@pytest.mark.parametrize("kind", OWN)
def test_an_admin_is_touched_by_root_only(matrix: Matrix, kind: str):
    if kind in ("actor.enrolled", "approval.delegated", "entry.reaffirmed", "actor.responsible_changed"):
        return  # about an admin who is enrolled these are another matter: see the tests of the keyring
    body_role = {"role.revoked": "admin"}
    for actor, good in (("only-admin", kind == "role.granted"), (ROOT_ACTOR, True)):
        subject, body, more = matrix.about_actors(kind, "p-admin")
        body = {**body, "role": body_role.get(kind, body.get("role"))} if "role" in body else body
        roots = [root.public.keyid for root in matrix.roots]
        keys = sorted([*(roots if actor == ROOT_ACTOR else [keyid(actor)]), *map(keyid, more)])
        verdict = judge(matrix.world, matrix.event(actor, kind, subject, body, keys=keys))
        assert (verdict.kind == "valid") is good, (actor, verdict.error)


@pytest.mark.parametrize("kind", ["key.enrolled", "key.rotated", "role.granted", "role.revoked", "actor.offboarded"])
def test_nobody_for_their_own_person(kind: str):
    matrix = Matrix()
    matrix.enrol("second", ["emitter"], by=ROOT_ACTOR, person="only-admin")
    verdict = matrix.attempt("only-admin", kind, target="second")
    assert isinstance(verdict.error, NotAllowedError)
    assert matrix.attempt("p-admin", kind, target="second").kind == "valid"


@pytest.mark.parametrize(
    ("kind", "gives"),
    [
        ("key.enrolled", True), ("key.rotated", True), ("role.granted", True), ("role.revoked", False),
        ("key.revoked", False), ("key.compromised", False), ("actor.revoked", False), ("actor.offboarded", False),
    ],
)  # fmt: skip
def test_what_an_admin_may_do_with_a_service_of_their_own(kind: str, gives: bool):
    """Give it no say: but take from it, end it and speak for it."""
    matrix = Matrix()
    matrix.enrol("tool", ["deployer"], by=ROOT_ACTOR, kind="service", responsible="only-admin")
    subject, body, more = matrix.about_actors(kind, "tool")
    body = {**body, "role": "deployer"} if kind == "role.revoked" else body
    for admin in ("only-admin", "p-admin"):
        keys = sorted([keyid(admin), *map(keyid, more)])
        verdict = judge(matrix.world, matrix.event(admin, kind, subject, body, keys=keys))
        assert (verdict.kind == "valid") is (admin == "p-admin" or not gives), (admin, verdict.error)


def test_every_command_has_a_row():
    def leaves(command: click.Command, path: tuple[str, ...], ctx: click.Context) -> list[str]:
        if not isinstance(command, click.Group):
            return [" ".join(path)]
        names = command.list_commands(ctx)
        return [leaf for name in names for leaf in leaves(command.get_command(ctx, name), (*path, name), ctx)]  # type: ignore[arg-type]

    found = set(leaves(cli, (), click.Context(cli)))
    rows = set(COMMANDS) | WITHOUT_ACTOR
    assert found == rows, "give a new command a row in tests/unit/authorisation.py"
    assert not set(COMMANDS) & WITHOUT_ACTOR
