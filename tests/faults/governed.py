"""Random lives under the governed life cycle, on SQLite, on PostgreSQL and judged by `lawbook`: all three must agree.

What the lawbook allows must be recorded, and what it does not allow must be refused, by both backends in the same
words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from ledger.domain.ancestry import held_by
from ledger.domain.lifecycle import side_states, version_of
from ledger.domain.moves import STATES
from ledger.domain.stages import Place, stages_of
from ledger.worlds import WorldAt
from projections.asof import resolve_as_of
from projections.catalogue import open_runner
from projections.impact import impact
from projections.model_state import state_as_of
from projections.suspension import suspend
from tests.faults.governeddeeds import GovernedDeeds
from tests.faults.governedpeople import (
    DAY,
    ENVIRONMENTS,
    HOUR,
    NEXT,
    WAIVERS,
    evaluation_of,
)
from tests.faults.pastdeeds import ROLES
from tests.faults.scorecard import Result, count_each
from tests.faults.twins import live
from tests.projections.support import Reader

#: What questions about a time are about.
ASKED = ("model:m", "model:m@1", "dataset:d@1", "deployment:prod/x", "incident:i")


class GovernedMachine(GovernedDeeds):
    """All rules; a subclass knows a PostgreSQL."""

    models, environments, spans = GovernedDeeds.models, GovernedDeeds.environments, GovernedDeeds.spans

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[tuple[str, int], str] = {}
        self.recalled = 0

    # -- several at once, so that lives go deep ---------------------------------------------------

    seeds, counts_of = st.integers(0, 2**32), st.integers(5, 20)

    def _go_on(self, number: int, count: int, *, back: bool) -> None:
        chance = self.chance(number, self.numbers)
        if not self.said or chance.random() < 0.1:
            self.read(subject=chance.choice(ASKED), back=0)
        for _ in range(count):
            self.do_next(chance, back=back)

    @rule(number=seeds, count=counts_of)
    def what_comes_next(self, number: int, count: int) -> None:
        self._go_on(number, count, back=False)

    @rule(number=seeds, count=counts_of)
    def what_is_taken_back(self, number: int, count: int) -> None:
        self._go_on(number, count, back=True)

    @rule(model=models, environment=environments, waiver=st.sampled_from((None, None, *WAIVERS)),
          uses=st.sampled_from((1, 2)), again=st.integers(0, 2))  # fmt: skip
    def go_the_usual_way(
        self, *, model: str, environment: str, waiver: str | None, uses: int = 1, again: int = 0
    ) -> None:
        """What people do to deploy; each step is judged, and may be refused."""
        self.request(model, environment, "p-author", None, False)
        for actor in ("p-approver", "p-second"):
            self.approve(model=model, back=0, actor=actor)
        if waiver is not None:
            self.ask_for_waiver(
                waiver=waiver, model="model:m", environment=environment, span=DAY, single=False, owner="p-author",
                uses=uses,
            )  # fmt: skip
            self.grant_waiver(waiver, "p-approver", None)
            self.use_waiver(waiver, model, environment)
        self.run_gate(model=model, environment=environment, waiver=waiver)
        self.authorise(model=model, environment=environment, actor="p-deployer", wrong=False)
        for _ in range(again if waiver is not None else 0):
            self.use_waiver(str(waiver), model, environment)
            self.authorise(model=model, environment=environment, actor="p-deployer", wrong=False)

    @rule(model=models, environment=environments, conditions=st.integers(0, 1), span=spans,
          since=st.sampled_from((None, None, HOUR // 2)),
          steps=st.lists(st.sampled_from(NEXT), min_size=1, max_size=6), evaluated=st.booleans())  # fmt: skip
    def live_with_an_approval(
        self, *, model: str, environment: str, conditions: int, span: int | None, since: int | None,
        steps: list[str], evaluated: bool,
    ) -> None:  # fmt: skip
        """What becomes of an approval, asked for and given as it should be."""
        if evaluated:
            self.evaluate(model, "pass", None, False)
            self.look(subject=model, verdict="pass", kind="artifact.scanned", by="a", wrong=False, named=True)
        self.request(model, environment, "p-author", None, False)
        self.approve(model=model, back=0, actor="p-approver", span=span, since=since, conditions=conditions)
        for step in steps:
            self._follow(step, model, environment)

    def _follow(self, step: str, model: str, environment: str) -> None:
        """One thing that may come after an approval, done by somebody who may."""
        match step:
            case "second":
                self.approve(model=model, back=0, actor="p-second")
            case "meet":
                self.meet(model, 0, "p-approver", 0, False)
            case "revoke":
                self.revoke(model, 0, "p-approver", False)
            case "withdraw":
                self.withdraw(model, 0, "p-author", False)
            case "reject":
                self.reject(model, 0, "p-second", False)
            case "send back":
                self.send_back(model, 0, "p-second", False)
                self.request(model, environment, "p-author", None, False, amends=0)
            case "ask anew" | "refuse another" | "send another back" | "revoke another":
                self.request(model, environment, "p-author", None, False)
                self._gainsay(step, model)
                self.authorise(model=model, environment=environment, actor="p-deployer", wrong=False)
            case "escalate":
                self.escalate(model=model, back=0, actor="p-second", right=False, to={"to_role": "validator"})
            case "invalidate":
                self.invalidate(model, 0, True)
            case "fail":
                self.evaluate(model, "fail", None, False)
            case "late pass" | "late fail" | "late scan":
                self._come_late(step, model)
                self.authorise(model=model, environment=environment, actor="p-deployer", wrong=False)
            case "assess":
                self.assess("dataset:d@1", "fail")
            case "consent":
                self.consent("dataset:d@1", "withdrawn")
            case "scan":
                self.look(subject=model, verdict="fail", kind="artifact.scanned", by="a", wrong=False, named=True)
            case "agree":
                self.agree(model, True)
            case "document":
                self.document(subject=model, span=DAY, paper=False, verdict="fail")
            case "unvalidate":
                self.unvalidate(model, 0, True, "p-approver")
            case "demote":
                self.demote(model, environment, True, "p-author")
            case "run":
                self.do("trainer", "run.failed", "run:r", {"reason": "it read too little"})
            case "outputs":
                self.run_made(model, "other bytes", True, "bot")
            case "gate":
                self.run_gate(model=model, environment=environment, waiver=None)
            case "authorise":
                self.authorise(model=model, environment=environment, actor="p-deployer", wrong=False)
            case "urgent":
                self.authorise_in_emergency(model, environment, "bot", DAY)
            case "review":
                self.review(environment, 0, None, "p-approver", False)
            case _:
                self.time_passes(DAY)

    def _come_late(self, step: str, model: str) -> None:
        """A failure, now or of before, and a pass of before that is reported behind it."""
        for verdict, late in (("fail", HOUR if step == "late fail" else 0), ("pass", HOUR)):
            if step == "late scan":
                self.look(subject=model, verdict=verdict, kind="artifact.scanned", by="a", wrong=False, named=True,
                          late=late)  # fmt: skip
            else:
                self.evaluate(model, verdict, None, False, late=late)

    def _gainsay(self, step: str, model: str) -> None:
        """A no to another request, while an approval stands under an earlier one."""
        match step:
            case "refuse another":
                self.reject(model, 0, "p-second", False)
            case "send another back":
                self.send_back(model, 0, "p-second", False)
            case "revoke another":
                self.approve(model=model, back=0, actor="p-approver")
                self.revoke(model, 0, "p-approver", False)

    @rule(subject=st.sampled_from(ASKED), back=st.integers(0, 9))
    def read(self, subject: str, back: int) -> None:
        """Views grow; what is said of a time is remembered."""
        known = max(2, len(self.reference.rows) - back)
        said = self._said(subject, known)
        assert self.said.setdefault((subject, known), said) == said, (subject, known)

    def _said(self, subject: str, known: int) -> str:
        """What everything with two clocks says about a thing; both backends the same."""
        found = [self._said_by(number, subject, known) for number in (0, 1)]
        assert found[0] == found[1], (subject, known)
        return found[0]

    def _said_by(self, number: int, subject: str, known: int) -> str:
        ledger = self.ledgers[number]
        runner = open_runner(ledger, self.urls[number])
        reader = Reader(ledger, runner, runner.catch_up())
        assert reader.size == len(self.reference.rows)
        found = json.dumps(reader.told((subject,), "model:m@2", known=known))
        runner.views.close()
        return found

    @rule()
    def reopen(self) -> None:
        self.open_again()

    def states_agree(self) -> None:
        """What the state of a version is called is in the table, and is what the judge says for one of its places."""
        for ledger, url in zip(self.ledgers, self.urls, strict=True):
            runner = open_runner(ledger, url)
            as_of = resolve_as_of(ledger, runner.views, head=runner.catch_up())
            found = suspend(ledger, runner.views, as_of, state_as_of(runner.views, as_of), self.now)
            world = ledger.world.at(as_of.size)
            self._recalled(Reader(ledger, runner, as_of.size), world, found)
            runner.views.close()
            for one in (version for model in found["models"] for version in model["versions"]):
                named = version_of(world, one["version"])
                places = [Place(name, f"deployment:{name}/x", self.now) for name in set(ENVIRONMENTS)]
                judged = {stage.state for place in places for stage in stages_of(world, named, place)}
                judged |= {state for state, _, _ in side_states(world, named)}
                assert one["status"] in judged & set(STATES), (one["version"], one["status"], judged)

    def _recalled(self, reader: Reader, world: WorldAt, found: dict[str, Any]) -> None:
        """Whatever the judge calls resting on something in quarantine is in the impact of that."""
        answers: dict[str, set[str]] = {}
        rest = [(one["version"], one["digest"]) for model in found["models"] for one in model["versions"]]
        for place in found["deployments"]:
            rest += [(one["model"], one["digest"]) for one in (place["live"], place["canary"]) if one is not None]
        for model, digest in dict.fromkeys(rest):
            for held in held_by(world, model, digest):
                if held.subject not in answers:
                    asked = impact(reader.ledger, reader.runner.views, reader.as_of(), held.subject)
                    answers[held.subject] = {
                        one.get("version") or one["model"] for part in ("live", "before", "candidates", "measured")
                        for one in asked[part]
                    }  # fmt: skip
                assert model in answers[held.subject], (model, held.words)
                self.recalled += 1

    def _take_bytes(self) -> None:
        """Somebody says that the bytes of a version are theirs, and whoever is behind these approves them."""
        model, made = "model:m@taken", {"digest": self.bytes_of("model:m@1"), "environment": "prod"}
        body = {"digest": made["digest"], "owner": "p-second", "tier": "low"}
        self.do("p-plain", "version.registered", model, body)
        self.do("p-plain", "evaluation.completed", model, evaluation_of(made["digest"], "pass"))
        self.do("p-plain", "approval.requested", model, made)
        decided = {"request": self.pick("approval.requested", 0), "rationale": "fit", "evidence": self.evidence(0)}
        self.do("p-alias", "approval.granted", model, made | decided)

    def teardown(self) -> None:
        """The rows are the same, the log is good, what was said of a time still is, views built anew are as those."""
        try:
            if self.agreed:
                self._take_bytes()
                self.quarantine("dataset:copy@1", "trainer", True)  # other versions were made from these bytes
                # The bytes of a version that was made from them, once more and without its run.
                again = {"model": "model:m@again", "digest": self.bytes_of("model:m@1")}
                body = {"digest": again["digest"], "owner": "p-author", "tier": "low"}
                self.do("trainer", "version.registered", again["model"], body)
                self.do("p-deployer", "deployment.requested", "deployment:prod/x", again)
                self.compare()
                for number, (asked, said) in enumerate(self.said.items()):  # once each at one of the two
                    assert self._said_by(number % 2, *asked) == said, asked
                self.states_agree()
                for ledger, url in zip(self.ledgers, self.urls, strict=True):
                    runner = open_runner(ledger, url)
                    equal = runner.rebuild()
                    runner.views.close()
                    assert equal
                    assert all(equal.values()), equal
        finally:
            super().teardown()


def governed_on(postgres_url: Callable[[], str]) -> type[GovernedMachine]:
    """The machine, whose PostgreSQL stores have these URLs.

    Args:
        postgres_url: gives the URL of a schema that is not there yet.
    """
    return type("GovernedMachineHere", (GovernedMachine,), {"postgres_url": staticmethod(postgres_url)})


def governance(postgres_url: Callable[[], str], examples: int, steps: int, seed: int, *, every: bool = False) -> Result:
    """Live so many random lives.

    Args:
        postgres_url: see `governed_on`.
        examples: how many lives.
        steps: rules in each, at most.
        seed: of Hypothesis.
        every: whether there are so many lives that every kind of deed must be recorded once.
    """
    counts = Counter[tuple[str, bool]]()
    asked, recalled = list[int](), list[int]()

    def ended(life: GovernedMachine) -> None:
        counts.update(life.counts)
        asked.append(len(life.said))
        recalled.append(life.recalled)

    result = live(governed_on(postgres_url), ended, examples, steps, seed, shrink=False)
    count_each(result, counts, {*ROLES, *(name for name, _ in counts)}, every=every)
    for name, counted in (("asked of a time", asked), ("recalled from a quarantine", recalled)):
        result.figures[name] = sum(counted)
        if every and not any(counted):
            result.failed("never done", name)
    return result
