"""What may be typed in a random life at the command line: for every command that signs as an actor, its words.

Things are drawn from few names, so that commands meet each other; some of what is drawn is wrong. ``{…}`` stands for
what only one ledger knows: ``{hold.placed}`` for the id of the last such event, ``{key}`` for the last key, ``{id:7}``,
``{key:7}``, ``{subject:7}`` and ``{at:7}`` for what entry 7 has, brought in or is about, and when it was recorded,
``{ago:60}`` for a minute ago.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from tests.cli.support import digest

MODELS = ("model:m@1", "model:m@1", "model:m@2", "model:n@1")
DEPLOYMENTS = ("deployment:prod/m", "deployment:prod/m", "deployment:dev/m", "deployment:stage/n")
ENVIRONMENTS = ("prod", "prod", "prod", "stage", "dev")
DATA = ("dataset:d@1", "dataset:d", "dataset:raw@1", "featureset:f")
INCIDENTS = ("incident:1", "incident:2")
WAIVERS = ("waiver:a", "waiver:b")
POLICIES = ("policy:p@1", "policy:p@2")
EMITTERS = ("019b0000-0000-7000-8000-0000000000e1", "019b0000-0000-7000-8000-0000000000e2")
#: Actor: how it is enrolled, and by whom.
PEOPLE: Mapping[str, tuple[str, ...]] = {
    "p-author": ("--kind", "person", "--role", "owner", "--role", "emitter", "--role", "approver"),
    "trainer": ("--kind", "service", "--role", "emitter", "--responsible", "p-author"),
    "p-approver": ("--kind", "person", "--role", "approver", "--role", "validator"),
    "p-second": ("--kind", "person", "--role", "approver", "--role", "owner", "--role", "eraser"),
    "p-deployer": ("--kind", "person", "--role", "deployer", "--role", "emitter", "--role", "auditor"),
    "bot": ("--kind", "service", "--role", "deployer", "--role", "emitter", "--responsible", "p-deployer"),
}
ACTORS = (*PEOPLE, "p-new")
ROLES = ("emitter", "owner", "approver", "deployer", "validator", "auditor")
WHY = ("--reason", "x")
RATIONALE = ("--rationale", "x")
Words = tuple[object, ...]


class Typist:
    """Draws the words of commands.

    Args:
        chance: what is drawn from.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def one(self, *of: str) -> str:
        return self._chance.choice(of)

    def some(self, share: float, *words: object) -> Words:
        """These words, or none."""
        return words if self._chance.random() < share else ()

    def number(self, most: int) -> int:
        return self._chance.randrange(most)

    def model(self) -> str:
        return self.one(*MODELS)

    def env(self) -> Words:
        return "--env", self.one(*ENVIRONMENTS)

    def actor(self) -> str:
        return self.one(*ACTORS)

    def deployed(self) -> Words:
        return self.one(*DEPLOYMENTS), "--model", self.model()

    def span(self) -> str:
        return self.one("9d", "9d", "40d", "900d")

    def canary(self) -> Words:
        stage = ("--stage", 1 + self.number(3), "--traffic", 0.1)
        return self._chance.choice((stage, stage, ("--promoted",), ("--aborted", "x")))

    def window(self, place: str, start: str, model: str, *, well: bool = False) -> Words:
        """What a monitor measured by now: too few good events, or enough, above all where all is well again."""
        end, of = self.one(*("{ago:0}",) * 9, "{ago:-600}"), self.one(*("",) * 4, "pod-1", "pod-2")
        seen = ((1000, 990), (50_000, 49_000), (1000, 500), (1000, 0))
        count, good = self._chance.choice((*seen, seen[1], seen[1], seen[1]) if well else seen)
        said = {"metric": "ms", "start": start, "end": end, "count": count, "good": good, "deployment": place}
        said |= ({"source": of} if of else {}) | ({"model": model} if self._chance.random() < 0.7 else {})
        return "monitor.window", "monitor:m", *(f"-d{name}={value}" for name, value in said.items())

    def promise(self, place: str, back: Sequence[str] = MODELS) -> Words:
        """That nine in ten are good, and what is done by rule when more than twice, or four times, as many are bad."""
        end = self.one("hold", "rollback", "rollback")
        rules = ("--rule", f"2:2h:1h:{self.one('hold', end)}", *self.some(0.5, "--rule", f"4:2h:1h:{end}"))
        more = (*self.some(0.3, "--within", "1h"), *self.some(0.3, "--on-breach", end))
        more = (*more, *self.some(0.4, "--fallback", self.one(*back)))
        return place, "ms", "--monitor", "monitor:m", "--indicator", "ms", "--objective", "0.9", *rules, *more

    def said(self) -> Words:
        """A fact; some about persons, in the clear or sealed, some that a monitor or somebody else measured."""
        person, sealed = self.one("person:a", "person:b"), ("--personal", "note=Jo called", "--about")
        return self._chance.choice((
            ("run.completed", self.one("run:r", "run:s")),
            ("external.observed", person, "-d", "system=crm"),
            ("incident.noted", self.one(*INCIDENTS), *sealed, person),
            self.window(self.one(*DEPLOYMENTS), "{ago:3600}", self.model()),
            ("slo.breached", self.one(*DEPLOYMENTS), "-d", "slo=ms"),
        ))  # fmt: skip

    def version(self) -> Words:
        model = self.model()
        said = digest("another" if self.number(8) == 0 else model)
        return model, "--digest", said, "--tier", self.one("low", "medium", "high"), *self.some(0.7, "--run", "run:r")


# fmt: off
#: The words of each command, behind its name.
TYPED: Mapping[str, Callable[[Typist], Words]] = {
    "actor delegate": lambda t: (t.actor(), "--until", t.span(), *WHY),
    "actor enrol": lambda t: (t.one("p-new", "p-new", "p-author"), "--kind", "person", "--role", t.one(*ROLES)),
    "actor grant": lambda t: (t.actor(), t.one(*ROLES), *t.some(0.3, "--until", t.span())),
    "actor offboard": lambda t: (t.one("p-new", "bot", "p-second"), *t.some(0.8, "--successor", t.actor()), *WHY),
    "actor responsible": lambda t: (t.one("trainer", "bot"), t.actor(), *WHY),
    "actor revoke": lambda t: (t.one("p-new", "bot"), *WHY),
    "actor ungrant": lambda t: (t.actor(), t.one(*ROLES), *WHY),
    "admin acknowledge": lambda t: (t.number(60), *WHY),
    "admin rules change": lambda t: (t.one("rules.json", "gated.json"), *WHY),
    "approve": lambda t: (t.model(), *RATIONALE, *t.some(0.5, *t.env()), *t.some(0.2, "--condition", "c"),
                          *t.some(0.2, "--expires", t.span())),
    "authorise": lambda t: (*t.deployed(), *t.some(0.15, "--emergency", *WHY)),
    "classify": lambda t: (t.one("model:m", "model:n", "model:m@1"), t.one("--affects-people", "--no-affects-people"),
                           t.one("--personal-data", "--no-personal-data"), "--no-money-or-law", "--no-shared",
                           *RATIONALE),
    "condition": lambda t: (t.model(), t.number(2)),
    "emit": lambda t: t.said(),
    "emitter close": lambda t: (t.one(*EMITTERS), "--last", t.number(5)),
    "emitter gap": lambda t: (t.one(*EMITTERS), "--first", 1 + t.number(3), "--last", 2 + t.number(3), *WHY),
    "emitter heartbeat": lambda t: (t.one(*EMITTERS), "--last", t.number(5), "--interval", 60),
    "entry reaffirm": lambda t: (t.number(60), *WHY),
    "gate check": lambda t: (t.model(), *t.env(), *t.some(0.7, "--policy", "policy:p")),
    "hold place": lambda t: (t.one("person:*", "dataset:*", "nobody:*"), "--matter", "m", *WHY),
    "hold release": lambda t: ("{hold.placed}", *WHY),
    "import inventory": lambda t: ("models.csv", "--waivers-until", "9d", "--control", "x"),
    "incident action": lambda t: (t.one(*INCIDENTS), "--title", "x"),
    "incident cause": lambda t: (t.one(*INCIDENTS), "--category", "data", "--statement", "x"),
    "incident close": lambda t: (t.one(*INCIDENTS), "--summary", "x"),
    "incident mitigate": lambda t: (t.one(*INCIDENTS),),
    "incident note": lambda t: (t.one(*INCIDENTS), "x"),
    "incident open": lambda t: (t.one(*INCIDENTS), "--title", "x", *t.some(0.7, "--deployment", t.one(*DEPLOYMENTS))),
    "key compromised": lambda t: ("{key}", "--since", t.number(60), *WHY),
    "key enrol": lambda t: (t.actor(),),
    "key revoke": lambda t: ("{key}", *WHY),
    "key rotate": lambda t: (t.actor(),),
    "policy define": lambda t: (t.one(*POLICIES), t.one("policy.yaml", "strict.yaml")),
    "policy retire": lambda t: (t.one(*POLICIES), *WHY),
    "quarantine": lambda t: (t.one(*DATA, *MODELS, "model:m"), *WHY),
    "record canary": lambda t: (*t.deployed(), *t.canary()),
    "record dataset": lambda t: (t.one("dataset:d@1", "dataset:raw@1"), "--digest", digest(t.one("d", "d", "e"))),
    "record deployment": lambda t: t.deployed(),
    "record evaluation": lambda t: (t.model(), "--metric", "auc=0.9", "--verdict",
                                    t.one("pass", "pass", "fail", "uncertain"),
                                    *t.some(0.3, "--suite", t.one("drift", "fairness"))),
    "record late": lambda t: ("late.json", *WHY),
    "record rollback": lambda t: t.deployed(),
    "record run": lambda t: (t.one("run:r", "run:s"), *t.some(0.5, "--input", t.one(*DATA))),
    "record signal": lambda t: ("monitor:m", "--metric", "psi", "--value", 0.5),
    "record snapshot": lambda t: (t.one(*DEPLOYMENTS), "--loaded", f"pod={digest(t.model())}"),
    "record version": lambda t: t.version(),
    "reject": lambda t: (t.model(), *RATIONALE, *t.some(0.5, *t.env())),
    "release": lambda t: (t.one(*DATA, *MODELS, "model:m"), *RATIONALE),
    "request": lambda t: (t.model(), *t.env()),
    "request-changes": lambda t: (t.model(), "--change", "x", *t.some(0.5, *t.env())),
    "escalate": lambda t: (t.model(), *RATIONALE, "--to-role", "validator", *t.some(0.5, *t.env())),
    "retire": lambda t: (t.one(*MODELS, *MODELS, *MODELS, "model:n"), *WHY),
    "demote": lambda t: (t.model(), "--from", t.one("prod", "dev"), *WHY),
    "review": lambda t: (t.one(*DEPLOYMENTS), "--verdict", t.one("justified", "unjustified"), *RATIONALE),
    "revoke": lambda t: (t.model(), *RATIONALE, *t.some(0.5, *t.env())),
    "rollback": lambda t: (t.one(*DEPLOYMENTS), "--to", t.model()),
    "slo define": lambda t: t.promise(t.one(*DEPLOYMENTS)),
    "subject erase": lambda t: (t.one("person:a", "person:b"), "--basis", "b", *WHY),
    "waiver deny": lambda t: (t.one(*WAIVERS), *RATIONALE),
    "waiver grant": lambda t: (t.one(*WAIVERS), *RATIONALE),
    "waiver request": lambda t: (t.one("tested", "known"), "--model", t.one("model:m", *MODELS), *t.env(),
                                 "--owner", t.actor(), *WHY, "--control", "x", "--expires", t.span(),
                                 "--waiver", t.one(*WAIVERS), *t.some(0.2, "--single-use"),
                                 *t.some(0.2, "--max-uses", t.one("1", "2"))),
    "waiver revoke": lambda t: (t.one(*WAIVERS), *WHY),
    "watch": lambda t: (*t.some(0.7, t.one(*DEPLOYMENTS)), *t.some(0.3, "--exec", t.one("true", "true", "false"))),
    "withdraw": lambda t: (t.model(), *t.some(0.5, *t.env())),
}
# fmt: on

#: Who may, for each role of the authorisation matrix; the admin signs where nobody is named.
HOLDERS: Mapping[str, str | None] = {
    "emitter": "p-author", "owner": "p-second", "validator": "p-approver", "approver": "p-approver",
    "deployer": "p-deployer", "auditor": "p-deployer", "eraser": "p-second", "admin": None, "root": "root",
    "anybody": "trainer",
}  # fmt: skip
