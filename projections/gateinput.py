"""The document that a policy's expressions look at: what the log holds of a version, for one environment.

It is a function of the log at a size and of a time: the same version, environment, size and time give the same
document, whoever asks and whenever, so that a gate can be run again. Ages and ends are told for ``input.as_of``, when
it was asked. Nothing is ever absent: what is not known is "", null, false or an empty list, so that a check says what
it needs. Numbers are whole or not as their authors wrote them: compare them through ``double()``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ledger.domain.deployed import DeploymentState, WaiverState
from ledger.domain.independence import approval_makers, deciders, independent
from ledger.domain.lifecycle import Named, rule_for, version_of
from ledger.domain.scopes import matches
from ledger.domain.stages import Place, check_stops
from ledger.domain.standing import approval_trouble
from ledger.domain.waiving import covers, uses_of, waiver_trouble
from ledger.entry import format_time
from ledger.errors import PolicyError
from ledger.names import parse_name, stream_of
from ledger.payload import parse_moment
from ledger.policy import FORMAT, Waived, in_form
from projections.findings import actors_behind, settled
from projections.gatedata import GateData
from projections.gatelive import contract, live_measured, performance
from projections.gaterows import GateRows, people, says_of
from projections.groups import ENDED, RUNS, WENT_LIVE
from projections.journal import JournalRow
from projections.known import Known
from projections.lineage import EDGE, edges
from projections.makers import claimants, claims
from projections.model_state import CHANGE

__all__ = ["gate_input", "standing_waivers", "waived_by"]


class _Builder:
    """Reads what the document is made of; each kind of thing once."""

    def __init__(self, known: Known, named: Named, place: tuple[str, str], as_of: int) -> None:
        self.world, self.views, self.size = known.world, known.views, known.size
        self.named, (self.environment, self.deployment) = named, place
        self.now = as_of
        self.stream = stream_of(named.subject)
        self.rows = GateRows(known)
        self.own = self.rows(("stream", "=", self.stream))
        self.about = (named.subject, named.version.digest, named.version.index)
        self.claimants = claimants(self.views, *self.about, size=self.size)
        self.data = GateData(self.world, self.rows, named.subject, named.version.digest)

    def mine(self, *kinds: str, whole: bool = False) -> Iterator[JournalRow]:
        """Entries about this version, and about the model as a whole when asked for."""
        for row in self.own:
            if row["type"] in kinds and row["subject"] in (self.named.subject, *([self.stream] if whole else ())):
                yield row

    def age(self, row: JournalRow) -> int:
        """Seconds since what an entry tells happened, by its author's clock, and at the latest when it was recorded."""
        return (self.now - int(row["occurred_at"])) // 1_000_000

    def past(self, value: Any) -> bool:
        """Whether a time of a body has passed."""
        return isinstance(value, str) and parse_moment(value) <= self.now

    def author(self, row: JournalRow) -> dict[str, Any]:
        """Who stands behind an entry, and whether they are shown to be other persons than makers and owners."""
        actors = actors_behind(row)
        return {"by": sorted(actors), "independent": self.apart(actors, max(row["index"], self.named.version.index))}

    def apart(self, actors: Iterable[str], index: int, asking: Iterable[str] = ()) -> bool:
        """Whether actors are shown to be other persons than makers, whoever else says so, owners, and who asked."""
        makers = approval_makers(self.world, self.named, asking, index)
        return bool(independent(self.world, actors, None if makers is None else makers | self.claimants))

    # -- parts -----------------------------------------------------------------------------------

    def model(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "owner": self.named.version.owner,
            "on_call": "",
            "runbook": "",
            "purpose": "",
            "third_party": False,
        }
        for row in self.mine(
            "model.registered", "model.described", "model.owner_changed", "model.on_call_assigned",
            "thirdparty.registered", whole=True,
        ):  # fmt: skip
            data = row["data"]
            for name in ("owner", "on_call", "runbook", "purpose"):
                found[name] = data.get(name) or found[name]
        bought = any(True for _ in self.mine("thirdparty.registered", whole=True))
        found["third_party"] = bought and not self._made_here()
        return found | {"versions": sorted(f"{self.stream}@{name}" for name in self.named.model.versions)}

    def _made_here(self) -> bool:
        """Whether a run is recorded that made this version or these bytes: then there is code and data to ask for."""
        size, version = self.size, self.named.version
        named = edges(self.views, "downstream", [self.named.subject], size=size, where=[("relation", "IN", _MAKING)])
        same = edges(self.views, "digest", [version.digest], size=size, where=[("relation", "=", "output-of")])
        return version.run is not None or any(True for _ in named) or any(True for _ in same)

    def run(self) -> dict[str, Any]:
        name = self.named.version.run
        found: dict[str, Any] = {
            "name": name or "", "status": "", "actor": "", "commit": "", "dirty": False, "seed": None,
            "environment": "", "hardware": "", "has_parameters": False, "inputs": [], "made": False,
            "others": self._other_runs(),
        }  # fmt: skip
        for row in self.rows.all(("stream", "=", name)) if name else ():
            if row["type"] not in RUNS:
                continue
            data, code = row["data"], row["data"].get("code") or {}
            found["dirty"] |= bool(code.get("dirty"))
            for ref in data.get("inputs") or []:
                item = {"subject": ref["subject"], "digest": ref.get("digest") or ""}
                if item not in found["inputs"]:
                    found["inputs"].append(item)
            if self.rows.suspect(row):  # what it read is looked at all the same
                continue
            ended = row["type"] in ENDED
            status = data.get("status", "completed") if row["type"] == "run.attached" else row["type"].partition(".")[2]
            found["status"] = status if ended or not found["status"] else found["status"]
            found["made"] |= any(self._is_this(ref["subject"], ref.get("digest")) for ref in data.get("outputs") or [])
            found["actor"] = row["actor"]
            found["has_parameters"] |= bool(data.get("parameters"))
            for field, value in (
                ("commit", code.get("commit")), ("seed", data.get("seed")), ("environment", data.get("environment")),
                ("hardware", data.get("hardware")),
            ):  # fmt: skip
                found[field] = found[field] if value is None else value
        return found

    def _is_this(self, subject: str, digest: str | None) -> bool:
        """Whether an output is this version: by its bytes, or by its name where none are given."""
        return digest == self.named.version.digest if digest else subject == self.named.subject

    def _other_runs(self) -> list[str]:
        """Runs that say they made this version, and that it does not name."""
        made = claims(self.views, *self.about, size=self.size).values()
        return sorted({name for name in made if name.startswith("run:")} - {self.named.version.run})

    def evaluations(self) -> list[dict[str, Any]]:
        """Those that stand, and failures of the same bytes under other names.

        One that was invalidated and not measured again has failed and says nothing else.
        """
        elsewhere = {one.index: one.verdict for _, one in self.named.failed_elsewhere}
        standing = {one.index: one.verdict for one in self.named.version.evaluations} | elsewhere
        others = self.rows.all(("position", "IN", [index + 1 for index in elsewhere]))
        nothing: dict[str, Any] = dict.fromkeys(("suite", "kind", "digest", "dataset", "dataset_digest", "split"), "")
        undecided = {one.index for _, one in self.named.version.undecided}
        gone = [
            {"id": row["id"], "index": row["index"], "age_seconds": self.age(row), "metrics": {}, "verdict": "fail",
             "measurements": [], "by": [], "independent": False, "trained_on": False, **nothing}
            for row in self.rows.all(("stream", "=", self.stream)) if row["index"] in undecided
        ]  # fmt: skip
        return gone + [
            {
                "id": row["id"], "index": row["index"], "age_seconds": self.age(row), "metrics": row["data"]["metrics"],
                "verdict": standing[row["index"]],
                "measurements": row["data"].get("measurements") or [], **self.author(row), **self.data.measured_on(row),
                **{name: row["data"].get(name) or "" for name in ("suite", "kind", "digest", "dataset", "split")},
            }
            for row in (*self.mine("evaluation.completed"), *others) if row["index"] in standing
        ]  # fmt: skip

    def _artifacts(self) -> list[JournalRow]:
        """Entries about artefacts that say they belong to this version, and about the version itself."""
        edges = self.views.select(EDGE, [("downstream", "=", self.named.subject), ("position", "<=", self.size)])
        streams = sorted({stream_of(edge["upstream"]) for edge in edges if edge["relation"] == "packaged-as"})
        others = self.rows(("stream", "IN", streams)) if streams else []
        return [*others, *self.mine("artifact.signed", "artifact.verified", "artifact.scanned")]

    def artifacts(self) -> dict[str, Any]:
        rows = self._artifacts()
        signs = ("artifact.signed", "artifact.verified")
        return {
            "signatures": [
                {"digest": row["data"]["digest"], "verdict": row["data"].get("verdict", "signed")}
                for row in rows if row["type"] in signs
            ],
            "scans": [
                {"digest": row["data"]["digest"], "verdict": row["data"]["verdict"],
                 "findings": row["data"].get("findings") or {}}
                for row in rows if row["type"] == "artifact.scanned"
            ],
        }  # fmt: skip

    def validations(self) -> list[dict[str, Any]]:
        done = settled(self.mine("finding.disposed", whole=True), lambda row: self.author(row)["independent"])
        # One that was withdrawn, as long as nobody validates again, has failed and says nothing else.
        last = {one.id for one in self.named.model.validations if one.withdrawn}
        gone = self.named.model.withdrawn.keys()
        return [
            {
                "index": row["index"], "verdict": "fail" if row["id"] in gone else row["data"]["verdict"],
                **self.author(row),
                "expired": self.past(row["data"].get("valid_until")),
                "open_findings": [
                    {"id": item["id"], "severity": item["severity"]}
                    for item in row["data"].get("findings") or []
                    if row["id"] not in gone and (row["id"], item["id"]) not in done
                ],
            }
            for row in self.mine("validation.completed", whole=True)
            if says_of(row, self.named.version.digest) and (row["id"] in last or row["id"] not in gone)
        ]  # fmt: skip

    def documentation(self) -> list[dict[str, Any]]:
        return [
            {"kind": row["data"].get("kind", "bill-of-materials"), "digest": row["data"]["digest"],
             "expired": self.past(row["data"].get("expires_at"))}
            for row in self.mine("documentation.attached", "bom.attached", whole=True)
        ]  # fmt: skip

    def approvals(self) -> list[dict[str, Any]]:
        found = []
        # What gates said is left aside: else one that refused once would refuse because the approval then falls.
        apart = replace(self.named, version=replace(self.named.version, gates=MappingProxyType({})))
        for one in self.named.version.approvals:
            try:
                rule = rule_for(self.world, one.environment, self.named.tier)
            except PolicyError:
                rule = None
            trouble = approval_trouble(self.world, apart, one, rule, self.now)
            by, reason = sorted(deciders(self.world, one.actors, one.signed)), "" if trouble is None else trouble.text
            asking = self.named.version.requests[one.request].actors
            found.append({"by": by, "environment": one.environment, "stands": trouble is None, "reason": reason,
                          "index": one.index, "independent": self.apart(by, one.index, asking)})  # fmt: skip
        return found

    def deployments(self) -> list[dict[str, Any]]:
        names = sorted(f"{self.stream}@{name}" for name in self.named.model.versions)
        touched = self.views.select(CHANGE, [("model", "IN", names), ("position", "<=", self.size)])
        found = []
        streams = {row["thing"] for row in touched if row["kind"] == "deployment"}
        for stream in sorted(streams | ({self.deployment} - {""})):
            if parse_name(stream).namespace != self.environment:
                continue
            found_state = self.world.state(stream)
            state = found_state if isinstance(found_state, DeploymentState) else DeploymentState()
            lived = [row["data"]["model"] for row in self.rows(("stream", "=", stream)) if row["type"] in WENT_LIVE]
            live = state.live[0] if state.live else ""
            earlier = [model for model in lived if model != live]
            given = state.authorisation
            found.append({"name": stream, "live": live, "previous": earlier[-1] if earlier else "",
                          "authorised": given.model if given else "",
                          **live_measured(self.rows, state.live, stream)})  # fmt: skip
        return found

    def around(self, deployments: list[dict[str, Any]]) -> dict[str, Any]:
        """What is known of the deployments and of the model as a service."""
        streams = [self.stream, *(item["name"] for item in deployments)]
        rows = [row for row in self.rows(("stream", "IN", streams)) if row["type"] in _AROUND]  # by the streams' index
        canaries: dict[tuple[str, int], dict[str, Any]] = {}
        drills: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        for row in rows:
            data, subject = row["data"], row["stream"]
            if row["type"] == "drill.conducted":
                drill = {"kind": data["kind"], "subject": subject, "outcome": data["outcome"]}
                at = int(row["occurred_at"])
                if at >= drills.get((subject, data["kind"]), (at, {}))[0]:  # the last one tells how it stands
                    drills[subject, data["kind"]] = (at, drill | {"age_seconds": self.age(row)})
            elif data["model"] == self.named.subject:
                before = canaries.get((subject, data["stage"]), {"verdict": ""})
                canaries[subject, data["stage"]] = {
                    "deployment": subject, "stage": data["stage"], "traffic": data["traffic"],
                    "budget_used": data.get("budget_used"), "verdict": data.get("verdict") or before["verdict"],
                }  # fmt: skip
        return {"slos": self._slos(set(streams)), "drills": [drill for _, drill in drills.values()],
                "canaries": list(canaries.values()),
                "incidents": self._incidents(set(streams))}  # fmt: skip

    def _slos(self, streams: set[str]) -> list[dict[str, Any]]:
        """Promises about the deployments, their own and those of monitors that name them by a pattern."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for row in self.rows(("type", "=", "slo.defined")):
            data, subject = row["data"], row["stream"]
            named = any(matches(pattern, stream) for pattern in data.get("deployments") or [] for stream in streams)
            found.pop((subject, data["slo"]), None)  # the last one of a name holds
            if subject in streams or named:
                actions = [rule.get("action") for rule in data.get("rules") or []]
                action = next(filter(None, [*actions, data.get("action")]), "")
                found[subject, data["slo"]] = {
                    "slo": data["slo"], "subject": subject, "objective": data["objective"], "action": action,
                }  # fmt: skip
        return list(found.values())

    def _incidents(self, streams: set[str]) -> list[dict[str, Any]]:
        opened: dict[str, dict[str, Any]] = {}
        about = sorted(streams | {f"{self.stream}@{name}" for name in self.named.model.versions})
        edges = self.views.select(EDGE, [("upstream", "IN", about), ("position", "<=", self.size)])
        named = sorted({edge["downstream"] for edge in edges if edge["downstream"].startswith("incident:")})
        for row in self.rows(("stream", "IN", named)) if named else ():
            if row["type"] not in _INCIDENTS:
                continue
            data, subject = row["data"], row["stream"]
            if row["type"] == "incident.opened":
                opened[subject] = {"incident": subject, "severity": data.get("severity", "medium"), "open": True}
            elif subject in opened and row["type"] == "incident.severity_changed":
                opened[subject]["severity"] = data["severity"]
            elif subject in opened:
                opened[subject]["open"] = row["type"] == "incident.reopened"
        return [{"incident": one["incident"], "severity": one["severity"]} for one in opened.values() if one["open"]]

    def stopped(self) -> str:
        try:
            # What approvals amount to is asked by the authorisation itself: a gate that refuses would refuse for ever.
            check_stops(self.world, self.named, "deployment.authorised", Place(self.environment, None, 0), beside=True)
        except PolicyError as error:
            return error.message
        return ""


_MAKING = ("made-by", "output-of")
_AROUND = ("drill.conducted", "canary.stage_entered", "canary.analysed")
_INCIDENTS = ("incident.opened", "incident.closed", "incident.reopened", "incident.severity_changed")


def gate_input(
    known: Known, model: str, environment: str, as_of: int, deployment: str = "", *, form: str = FORMAT
) -> dict[str, Any]:
    """What the log holds of a version.

    Args:
        known: the ledger, as it was known at a size of at least 1.
        model: ``model:<name>@<version>``.
        environment: for example ``prod``.
        as_of: time for which ages and ends are told, microseconds since the Unix epoch.
        deployment: where it is to be deployed, a deployment in that environment; empty when that is not known.
        form: of the policy that looks at it.

    Returns:
        A document of plain values with the members of `ledger.policy.FIELDS`, as far as the form has them.

    Raises:
        PolicyError: the version was not registered by then.
    """
    named = version_of(known.world, model)
    build = _Builder(known, named, (environment, deployment), as_of)
    deployments = build.deployments()
    places, live = [item["name"] for item in deployments], {item["live"] for item in deployments} - {""}
    version = named.version
    document = {
        "as_of": format_time(build.now),
        "size": known.size,
        "environment": environment,
        "deployment": deployment,
        "tier": named.tier,
        "version": {
            "name": model, "digest": version.digest, "owner": version.owner, "run": version.run or "",
            "index": version.index, "registered_at": format_time(version.signed.recorded_at),
        },
        "model": build.model(),
        "run": build.run(),
        "datasets": build.data.datasets(),
        "evaluations": build.evaluations(),
        **build.artifacts(),
        "performance": performance(build.rows, model, version.digest, places),
        "contract": contract(build.rows, model, live),
        "documentation": build.documentation(),
        "validations": build.validations(),
        "approvals": build.approvals(),
        "deployments": deployments,
        **build.around(deployments),
        "people": people(known.world, build.rows, (environment, deployment), build.stream, as_of),
        "stopped": build.stopped(),
    }  # fmt: skip
    return in_form(document, form)


def standing_waivers(known: Known, model: str, environment: str, as_of: int) -> list[Waived]:
    """Waivers that stand for a version in an environment, in log order.

    Those whose uses are counted come last: none is used where a lasting one stands.

    Args as `gate_input`.
    """
    lasting: list[Waived] = []
    counted: list[Waived] = []
    for row in known.of_types("waiver.granted"):
        state = known.world.state(row["stream"])
        if not isinstance(state, WaiverState) or not covers(state, state.check, model, environment):
            continue
        if waiver_trouble(known.world, state, as_of, model) is None:
            (lasting if state.max_uses is None else counted).append(waived_by(known, row["stream"], state))
    return [*lasting, *counted]


def waived_by(known: Known, name: str, state: WaiverState) -> Waived:
    """A waiver as gates name it; of several uses also which one this would be."""
    several = state.max_uses is not None and state.max_uses > 1
    number = len(uses_of(known.world, state)) + 1 if several else 0
    return Waived(name, state.check, f" (use {number} of {state.max_uses})" if several else "")
