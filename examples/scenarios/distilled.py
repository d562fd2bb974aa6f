"""A large and a distilled variant, weighed by a cost gate. Run it: ``python examples/scenarios/distilled.py``."""

from scene import Scene, digest

PLACE, LARGE, SMALL = "deployment:prod/answers", "model:answers@large", "model:answers@distilled"
BY = ("p-owner", "p-risk", "p-release")
POLICY = """\
schema: muniment.checks/v2
title: What an answer may cost
checks:
- id: good-enough
  title: It is right in nine of ten answers
  pass: input.evaluations.exists(e, e.verdict == "pass")
  reason: Record an evaluation that passes.
- id: affordable
  title: A thousand answers cost at most 2
  pass: input.performance.exists(p, p.cost != null) && input.performance.all(p, p.cost == null || double(p.cost) <= 2.0)
  reason: Make it cheaper.
- id: quick
  title: 19 of 20 answers are there within 400 ms
  pass: input.performance.all(p, p.p95_ms == null || double(p.p95_ms) <= 400.0)
  reason: Make it quicker.
"""


def main() -> None:
    """Tell the story."""
    scene = Scene("distilled", p_owner="owner emitter", p_risk="approver validator", p_release="deployer emitter")
    measured = {LARGE: (0.95, 9.0, 1200.0), SMALL: (0.92, 0.8, 180.0)}
    with scene.open("p-owner") as ledger:
        for model, (right, cost, p95) in measured.items():
            ledger.emit("version.registered", model, digest=digest(model), owner="p-owner", tier="medium")
            ledger.emit("evaluation.completed", model, metrics={"right": right}, verdict="pass", suite="answers")
            spent = {"amount": cost, "currency": "EUR"}
            ledger.emit("performance.tested", model, digest=digest(model), p95_ms=p95, cost=spent, verdict="pass")
        parent = {"role": "teacher", "subject": LARGE, "digest": digest(LARGE)}
        ledger.emit("version.composed", SMALL, parents=[parent], method="distillation")
    scene.release(LARGE, PLACE, by=BY)
    scene.write("cost.yaml", POLICY)
    scene.show("gate", "replay", "--file", "cost.yaml")
    scene.do("policy", "define", "policy:cost@1", "cost.yaml", "--as", "p-risk")
    scene.show("gate", "check", LARGE, "--env", "prod", "--policy", "policy:cost", "--as", "p-release", expected=1)
    scene.show("gate", "check", SMALL, "--env", "prod", "--policy", "policy:cost", "--as", "p-release")
    scene.release(SMALL, PLACE, by=BY)
    scene.show("diff", LARGE, SMALL)
    scene.show("lineage", SMALL)
    scene.show("gate", "recheck")
    scene.end(
        "the policy was tried over the past before anybody had to meet it: it would have refused the large variant",
        "three points of quality were given for a tenth of the cost, and both sides of it are measured and recorded",
        "each result of the gate was run again and agrees",
    )


if __name__ == "__main__":
    main()
