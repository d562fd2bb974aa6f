"""A ledger that asks a policy before it deploys, and commands that come to it at the same moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import muniment
import muniment.gating
from tests.cli.support import Result, Shop, run

MODEL, PROD = "model:tx@1", "deployment:prod/tx"
AUTHORISE = ("authorise", PROD, "--model", MODEL, "--as", "p-deployer")
CHECK = ("gate", "check", MODEL, "--env", "prod")
POLICY = """\
schema: muniment.checks/v1
title: What production asks for
checks:
- id: evaluation-passed
  title: An evaluation passed
  pass: input.evaluations.exists(e, e.verdict == "pass")
  reason: Record an evaluation that passes.
- id: drift-run
  title: Drift was measured
  pass: input.evaluations.exists(e, e.kind == "drift")
  reason: Record an evaluation of kind drift.
- id: vendor-known
  title: Its vendor is known
  when: input.model.third_party
  otherwise: We made it.
  pass: input.model.owner != ""
  reason: Say who the vendor is.
  waivable: false
"""
RULE = {
    "environment": "prod", "tier": "*", "authorisation": True, "approvals": 1, "evaluation": True, "gate": "policy:p@1",
}  # fmt: skip


def people_and_a_version(shop: Shop) -> None:
    shop.people()
    shop.enrol("p-second", "approver", "validator")
    shop.version(signer="p-author")
    Path("p.yaml").write_text(POLICY)


def ruled_and_approved(shop: Shop) -> None:
    people_and_a_version(shop)
    define()
    ruled("policy:p@1")
    run("request", MODEL, "--env", "prod", "--as", "p-author").good()
    run("approve", MODEL, "--rationale", "looked at", "--as", "p-approver").good()


def define(version: str = "1", file: str = "p.yaml") -> None:
    run("policy", "define", f"policy:p@{version}", file, "--as", "p-second").good()


def ruled(policy: str, code: int = 0, *words: str) -> None:
    """The root keys name a policy in the rules; its digest is taken from the log."""
    rules = json.dumps({"name": "gated", "rules": [{**RULE, "gate": policy}]}).encode()
    done = run("admin", "rules", "change", "-", "--reason", "gates", "--as", "root", stdin=rules)
    if code:
        done.refused(code, *words)
    else:
        done.good()


def measure_drift() -> None:
    drift = ("record", "evaluation", MODEL, "--metric", "psi=0.01", "--verdict", "pass", "--kind", "drift")
    run(*drift, "--as", "p-author").good()


def results(checks: list[dict[str, str]]) -> dict[str, str]:
    return {item["check"]: item["result"] for item in checks}


def types(last: int) -> list[str]:
    """Types of the last entries of the log."""
    rows = run("log", "-o", "json").good().json
    return [row["entry"]["type"].removeprefix("muniment.").rpartition(".")[0] for row in rows[-last:]]


WAIVER = ("waiver", "request", "drift-*", "--model", MODEL, "--env", "prod", "--owner", "p-author", "--reason", "new",
          "--control", "by hand", "--expires", "14d", "--single-use", "--waiver", "waiver:w1",
          "--as", "p-author")  # fmt: skip


def counted(shop: Shop) -> tuple[int, ...]:
    """Authorisations, uses of waivers and refusals in the log."""
    known = Counter(name.rpartition(".")[0] for name in shop.types(0))
    return tuple(known[f"muniment.{name}"] for name in ("deployment.authorised", "waiver.used", "decision.refused"))


def hold(patch: pytest.MonkeyPatch, wait: Callable[[], Any]) -> None:
    """Let everybody look at the log before any of them records what the gate found."""
    record = muniment.gating.record_gate

    def held(*args: Any, **options: Any) -> Any:
        wait()
        return record(*args, **options)

    patch.setattr(muniment.gating, "record_gate", held)


def processes(commands: Sequence[Sequence[str]], patch: pytest.MonkeyPatch) -> list[Result]:
    """Run commands at once, each in a process of its own."""
    barrier = multiprocessing.get_context("fork").Barrier(len(commands))
    children = []
    for number, command in enumerate(commands):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: only this one goes on in the child
            children.append(os.fork())
        if children[-1] == 0:
            try:
                hold(patch, lambda: barrier.wait(60))
                done = run(*command)
                Path(f"done{number}").write_text(json.dumps([done.code, done.out, done.err]))
            finally:
                os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    told = [json.loads(Path(f"done{number}").read_text()) for number in range(len(commands))]
    return [Result(tuple(c), code, out.encode(), err) for c, (code, out, err) in zip(commands, told, strict=True)]
