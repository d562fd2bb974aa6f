"""What people would type next in a life at the command line, by how far things are: random words seldom get there.

Who does a step here mostly may; `commanded` puts others and other words in a part of the time.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ledger.stored import Row
from tests.cli.support import digest
from tests.faults.commandwords import (
    ENVIRONMENTS,
    INCIDENTS,
    MODELS,
    RATIONALE,
    TYPED,
    WHY,
    Typist,
    Words,
)
from tests.faults.pastdeeds import Deed
from tests.faults.stages import Stages

#: What lets the reference look on no longer, or changes who may do what.
UNSETTLING = frozenset(
    {
        "actor grant", "actor offboard", "actor responsible", "actor ungrant", "admin acknowledge", "entry reaffirm",
        "key compromised", "key rotate", "subject erase",
    }
)  # fmt: skip

_SERVED = ("deployment.completed", "rollback.completed", "canary.stage_entered")


@dataclass(frozen=True)
class Step:
    """A command that may come next.

    Attributes:
        weight: how often, against others.
        command: its name.
        words: what stands behind it.
        who: signs; the admin where it is None.
    """

    weight: float
    command: str
    words: Words
    who: str | None = None


@dataclass(frozen=True)
class Scene:
    """Where a life stands, and what a step is to be about.

    Attributes:
        rows: what is recorded.
        stages: how far things are.
        typist: draws what is free.
        voids: entries put in that nobody has acknowledged.
    """

    rows: Sequence[Row]
    stages: Stages
    typist: Typist
    voids: Sequence[int] = ()


def _service(environment: str, model: str) -> str:
    return f"deployment:{environment}/{model.partition(':')[2].partition('@')[0]}"


def towards_release(scene: Scene) -> Iterator[Step]:
    """A version on its way to where it is live, and what happens there."""
    at, t = scene.stages, scene.typist
    model, env = t.one(*MODELS), t.one(*ENVIRONMENTS)
    place = _service(env, model)
    if model not in at.registered:
        words = (model, "--digest", digest(model), "--tier", t.one("low", "low", "medium", "high"))
        yield Step(8, "record version", (*words, *t.some(0.7, "--run", "run:r")), t.one("p-author", "trainer"))
        return
    if not at.passed(model):
        yield Step(8, "record evaluation", (model, "--metric", "auc=0.9", "--verdict", "pass"), "trainer")
    if not at.decided(model, env, at.requests):
        yield Step(6, "request", (model, "--env", env), t.one("p-author", "trainer", "bot"))
    for request in at.undecided:
        more = (*t.some(0.4, "--condition", "c"), *t.some(0.1, "--expires", "9d"))
        words = (request.subject, *RATIONALE, "--env", request.data["environment"], *more)
        yield Step(8, "approve", words, t.one("p-approver", "p-approver", "p-second"))
    for approval, number in at.unmet:
        met: Words = (approval.subject, number, "--env", approval.data["environment"])
        yield Step(6, "condition", met, t.one("p-approver", "p-second"))
    if at.decided(model, env, at.approvals):
        lift = ("--lift-hold", "x") if at.of("deployment.held", subject=place) else ()
        yield Step(6, "authorise", (place, "--model", model, *lift), t.one("p-deployer", "bot"))
    else:
        yield Step(1, "authorise", (place, "--model", model, "--emergency", *WHY), t.one("p-deployer", "bot"))
    yield Step(1, "gate check", (model, "--env", env, *t.some(0.5, "--policy", "policy:p")), "p-deployer")
    yield from _where_it_is_live(at, t, place)


def _where_it_is_live(at: Stages, t: Typist, place: str) -> Iterator[Step]:
    given = at.of("deployment.authorised", subject=place)
    if not given:
        return
    words = (place, "--model", given[-1].data["model"])
    yield Step(4, "record deployment", words, "p-deployer")
    yield Step(2, "record canary", (*words, *t.canary()), "p-deployer")
    yield Step(1, "record snapshot", (place, "--loaded", f"pod={digest(given[-1].data['model'])}"), "bot")
    if at.of("deployment.completed", subject=place):
        other = t.one(*sorted(at.registered))
        yield Step(2, "rollback", (place, "--to", other), t.one("p-deployer", "p-author"))
        yield Step(2, "record rollback", (place, "--model", other), "p-deployer")
        yield from _measured(at, t, place)


def watching(scene: Scene) -> Iterator[Step]:
    """What is live is measured against a promise, watched, and changed as was decided, or otherwise."""
    at, t = scene.stages, scene.typist
    places = sorted({deed.subject for deed in at.of(*_SERVED)})
    for place in places:
        yield from _measured(at, t, place)
    if not places or len(at.registered) < 2:
        yield from towards_release(scene)


def _measured(at: Stages, t: Typist, place: str) -> Iterator[Step]:
    """Windows since the last one or since something went live, and what watching them leads to."""
    promises, served = at.of("slo.defined", subject=place), at.of(*_SERVED, subject=place)
    yield Step(0.3 if promises else 8, "slo define", t.promise(place, sorted(at.registered) or MODELS), "p-deployer")
    if not promises or not served:
        return
    said = at.of("slo.breached", "slo.recovered", subject=place)
    well = bool(said) and said[-1].kind == "slo.breached"
    begun, windows = served[-1], [one for one in at.of("monitor.window") if one.data["deployment"] == place]
    since = max([begun, *windows[-1:]], key=lambda one: one.index)
    yield Step(9, "emit", t.window(place, f"{{at:{since.index}}}", begun.data["model"], well=well), "trainer")
    yield Step(1, "emit", t.window(place, f"{{at:{begun.index}}}", t.one(*sorted(at.registered))), "trainer")
    yield Step(0.5, "emit", ("slo.breached", place, "-d", "slo=ms"), "trainer")
    seen = at.of("slo.breached", "slo.recovered", "deployment.held", "rollback.authorised", subject=place)
    new = bool(windows) and windows[-1].index > max((one.index for one in seen), default=0)
    yield Step(20 if new else 1, "watch", (place, *t.some(0.3, "--exec", t.one("true", "false"))), "trainer")
    others = sorted(at.registered - {one.data["model"] for one in served})
    if others:
        yield Step(6, "record deployment", (place, "--model", t.one(*others)), "p-deployer")
        yield Step(3, "record canary", (place, "--model", t.one(*others), "--stage", 1, "--traffic", 0.1), "p-deployer")
    for decided in at.of("rollback.authorised", "deployment.held", subject=place)[-1:]:
        named = decided.data["model"]
        yield Step(2, "record rollback", (place, "--model", named), "p-deployer")
        yield Step(1, "record canary", (place, "--model", named, "--aborted", "x"), "p-deployer")
        yield Step(1, "incident open", (INCIDENTS[0], "--title", "x", "--deployment", place), "trainer")


def taking_back(scene: Scene) -> Iterator[Step]:
    """What ends, stops or judges what was decided."""
    at, t = scene.stages, scene.typist
    for request in at.requests:
        env = ("--env", request.data["environment"])
        yield Step(2, "withdraw", (request.subject, *env), request.actor)
        yield Step(1, "reject", (request.subject, *RATIONALE, *env), t.one("p-approver", "p-second"))
        yield Step(1, "request-changes", (request.subject, "--change", "x", *env), t.one("p-approver", "p-second"))
        to = ("--to-role", "validator", *env)
        yield Step(1, "escalate", (request.subject, *RATIONALE, *to), t.one("p-approver", "p-second"))
    for approval in at.approvals:
        env = ("--env", approval.data["environment"])
        yield Step(2, "revoke", (approval.subject, *RATIONALE, *env), t.one("p-approver", "p-second"))
    for urgent in at.unreviewed:
        words = (urgent.subject, "--verdict", t.one("justified", "unjustified"), *RATIONALE)
        yield Step(4, "review", words, t.one("p-approver", "p-second"))
    for placed in at.quarantines:
        yield Step(4, "release", (placed.subject, *RATIONALE), t.one("p-approver", "p-second"))
    for asked in at.waivers_asked:
        command = t.one("waiver grant", "waiver grant", "waiver deny")
        yield Step(3, command, (f"{{subject:{asked.index}}}", *RATIONALE), t.one("p-approver", "p-second"))
    for granted in at.waivers_granted:
        yield Step(1, "waiver revoke", (f"{{subject:{granted.index}}}", *WHY), "p-approver")
    for hold in at.holds:
        yield Step(3, "hold release", (f"{{id:{hold.index}}}", *WHY), "p-deployer")
    for model in sorted(at.registered - at.retired):
        yield Step(0.3, "demote", (model, "--from", t.one(*ENVIRONMENTS), *WHY), t.one("p-second", "bot"))
        yield Step(0.2, "retire", (model, *WHY), "p-second")
        yield Step(0.5, "quarantine", (t.one(model, "dataset:raw@1"), *WHY), "trainer")
    yield from _drawn(t, ("waiver request", "p-author"), ("policy define", "p-approver"), ("classify", "p-approver"))
    yield from _drawn(t, ("policy retire", "p-approver"), ("admin rules change", "root"), ("hold place", "p-deployer"))


def _drawn(t: Typist, *commands: tuple[str, str | None]) -> Iterator[Step]:
    """Commands whose words need to know of nothing."""
    for command, who in commands:
        yield Step(1, command, TYPED[command](t), who)


def people_and_keys(scene: Scene) -> Iterator[Step]:
    """Who may do what changes; keys are lost; things are said about persons, and erased."""
    at, t = scene.stages, scene.typist
    people = [deed.subject.partition(":")[2] for deed in at.of("actor.enrolled")]
    if "p-new" not in people:
        yield Step(3, "actor enrol", ("p-new", "--kind", "person", "--role", "owner"))
    for deed in at.of("actor.enrolled", "role.granted")[-3:]:
        role = deed.data.get("role") or deed.data["roles"][0]
        yield Step(1, "actor ungrant", (deed.subject.partition(":")[2], role, *WHY))
    yield from _drawn(t, ("actor grant", None), ("actor delegate", "p-approver"), ("actor responsible", None))
    yield from _drawn(t, ("actor revoke", None), ("import inventory", "p-author"))
    yield Step(4, "actor offboard", TYPED["actor offboard"](t))  # a life may end before anybody may leave
    yield from _drawn(t, ("emitter close", "trainer"), ("emitter gap", "bot"), ("emitter heartbeat", "trainer"))
    for incident in INCIDENTS:
        yield from _about_an_incident(at, t, incident)
    said = at.of("external.observed", "incident.noted")
    yield Step(3, "emit", TYPED["emit"](t), "p-author")
    for person in sorted({deed.subject for deed in said if deed.subject.startswith("person:")}):
        yield Step(8, "subject erase", (person, "--basis", "b", *WHY), "p-second")
    for index in scene.voids:
        yield Step(6, "admin acknowledge", (index, *WHY))
    yield from _keys(scene)


def _about_an_incident(at: Stages, t: Typist, incident: str) -> Iterator[Step]:
    if not at.of("incident.opened", subject=incident):
        yield Step(1, "incident open", (incident, *TYPED["incident open"](t)[1:]), "trainer")
        return
    for command in ("incident action", "incident cause", "incident mitigate", "incident note", "incident close"):
        yield Step(0.5, command, (incident, *TYPED[command](t)[1:]), "p-author")


def _keyid(deed: Deed) -> str:
    return hashlib.sha256(base64.b64decode(deed.data["key"].removeprefix("ed25519:"))).hexdigest()


def _keys(scene: Scene) -> Iterator[Step]:
    """Keys that may be lost, actors without one, and what was signed with stolen ones."""
    at, t = scene.stages, scene.typist
    stolen = at.of("key.compromised")
    ended = {deed.data["keyid"] for deed in (*at.of("key.revoked", "key.rotated"), *stolen)}
    for actor in ("trainer", "bot"):
        keys = at.of("actor.enrolled", "key.enrolled", "key.rotated", subject=f"actor:{actor}")
        if actor == "trainer" and _keyid(keys[0]) in ended:
            yield Step(2, "record late", ("late.json", *WHY), "p-deployer")
        if _keyid(keys[-1]) in ended:
            yield Step(3, "key enrol", (actor,), t.one("root", "root", "p-author"))
            continue
        key, since = f"{{key:{keys[-1].index}}}", max(0, len(scene.rows) - t.number(60))
        yield Step(2, "key compromised", (key, "--since", since, *WHY))
        yield Step(0.5, "key revoke", (key, *WHY))
        yield Step(1, "key rotate", (actor,), t.one(actor, "root"))
    done = {deed.data["index"] for deed in at.of("entry.reaffirmed")}
    for theft in stolen:
        signed = [row.entry for row in scene.rows[theft.data["since"] : theft.index] if _signed(row, theft)]
        for entry in [one for one in signed if one.index not in done][:3]:
            yield Step(4, "entry reaffirm", (entry.index, *WHY))


def _signed(row: Row, theft: Deed) -> bool:
    return theft.data["keyid"] in row.entry.keys


#: What a life may be about for a while.
MOODS: Mapping[str, tuple[Callable[[Scene], Iterator[Step]], ...]] = {
    "release": (towards_release,),
    "second thoughts": (towards_release, taking_back),
    "watching": (watching,),
    "people": (people_and_keys,),
}


def next_step(
    scene: Scene, mood: str, chance: random.Random, done: Callable[[str], int], may_come: Callable[[str], bool]
) -> Step:
    """One of the steps that may come next; what was done often in this life comes less often.

    Args:
        scene: where it stands.
        mood: see `MOODS`.
        chance: what is drawn from.
        done: how often a command succeeded in this life.
        may_come: whether a command may come now.
    """
    steps = [step for source in MOODS[mood] for step in source(scene) if may_come(step.command)]
    return chance.choices(steps, [step.weight / (1 + done(step.command)) for step in steps])[0]
