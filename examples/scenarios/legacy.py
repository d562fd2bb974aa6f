"""Forty legacy models go into a new ledger. Run it: ``python examples/scenarios/legacy.py``."""

import csv

from scene import Scene, digest

POLICY = """\
schema: muniment.checks/v2
title: What a model that is live has
checks:
- id: evaluated
  title: It was evaluated, and passed
  pass: input.evaluations.exists(e, e.verdict == "pass")
  reason: Record an evaluation that passes.
- id: lineage
  title: The data it was trained on is known
  when: "!input.model.third_party"
  otherwise: A third party made it.
  pass: input.datasets.size() > 0
  reason: Register the run that made it, with its data.
- id: runbook
  title: There is a runbook
  tiers: [medium, high]
  pass: input.model.runbook != ""
  reason: Name the runbook, with who is called.
"""
TIERS = ("low", "medium", "high", "high")
IMPORT = ("import", "inventory", "models.csv", "--policy", "policy:legacy", "--waivers-until", "90d",
          "--control", "monthly review by hand", "--as", "p-platform")  # fmt: skip
STATUS = ("import", "status", "--policy", "policy:legacy")


def sheet(scene: Scene) -> None:
    """What the teams answered."""
    with (scene.folder / "models.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "version", "digest", "owner", "tier", "environment", "service", "live_since",
                         "on_call", "runbook", "vendor", "product"])  # fmt: skip
        for number in range(40):
            called = ("p-owner", f"https://wiki.example/{number}") if number % 3 == 0 else ("", "")
            sold = ("Black Box Ltd", f"Product {number}") if number % 10 == 0 else ("", "")
            place = ("prod", f"service-{number:02}", f"20{15 + number % 8}-06-01")
            name = f"legacy/m{number:02}"
            writer.writerow([name, "1", digest(name), "p-owner", TIERS[number % 4], *place, *called, *sold])


def main() -> None:
    """Tell the story."""
    scene = Scene("legacy", p_owner="owner emitter", p_platform="owner emitter", p_risk="approver validator")
    scene.write("legacy.yaml", POLICY)
    scene.do("policy", "define", "policy:legacy@1", "legacy.yaml", "--as", "p-risk")
    sheet(scene)
    planned = scene.do(*IMPORT, "--dry-run").splitlines()[-1]
    print(f"dry run: {planned}")
    done = scene.do(*IMPORT).splitlines()[-1]
    print(f"taken in: {done}")
    entries = len(scene.ask("log"))
    scene.do(*IMPORT)
    assert len(scene.ask("log")) == entries, "doing it again repeats nothing"
    models = scene.ask(*STATUS)["points"][0]["models"]
    assert all(one["satisfied"] < len(one["items"]) for one in models), "none is satisfied by being old"
    waivers = [item["waiver"] for one in models[:4] for item in one["items"] if item["state"] == "asked for"]
    for waiver in waivers:
        scene.do("waiver", "grant", waiver, "--rationale", "until it is retrained", "--as", "p-risk")
    with scene.open("p-owner") as ledger:
        for one in models[4:20]:
            ledger.emit("evaluation.completed", one["model"], metrics={"auc": 0.8}, verdict="pass", suite="backtest")
    print(f"a month later: {scene.do(*STATUS).splitlines()[-1]}\n")
    scene.show("state", "deployment:prod/service-00")
    scene.end(
        f"{len(models)} models are live and known, each marked as authorised by nobody",
        f"for each gap a waiver with an end was asked for; another person granted {len(waivers)}, for four models",
        "the burn-down runs the checks again: sixteen models were evaluated since, and need no waiver for it any more",
    )


if __name__ == "__main__":
    main()
