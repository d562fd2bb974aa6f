"""A fraud model drifts; its successor goes out in stages. Run it: ``python examples/scenarios/fraud.py``."""

from scene import Scene, digest

import muniment

PLACE = "deployment:prod/fraud"
BY = ("p-owner", "p-risk", "p-release")


def trained(ledger: muniment.Ledger, number: int, auc: float) -> str:
    """A pipeline records data, run, version and evaluation."""
    data, run, model = f"dataset:payments@{number}", f"run:fraud-{number}", f"model:fraud@{number}"
    ledger.emit("dataset.registered", data, digest=digest(data), row_count=100_000 * number)
    ledger.emit("run.started", run, seed=number, inputs=[{"role": "input", "subject": data, "digest": digest(data)}])
    ledger.emit("run.completed", run, outputs=[{"role": "model", "subject": model, "digest": digest(model)}])
    ledger.emit("version.registered", model, digest=digest(model), owner="p-owner", tier="high", run=run)
    ledger.emit("evaluation.completed", model, metrics={"auc": auc}, verdict="pass", suite="held-out")
    return model


def main() -> None:
    """Tell the story."""
    scene = Scene("fraud", p_owner="owner emitter", p_risk="approver", p_release="deployer emitter")
    with scene.open("p-owner") as ledger:
        first = trained(ledger, 1, 0.91)
    scene.release(first, PLACE, by=BY)
    signal = ("record", "signal", "monitor:fraud-psi", "--metric", "psi", "--deployment", PLACE, "--as", "p-owner")
    scene.do(*signal, "--model", first, "--value", 0.31, "--threshold", 0.2, "--severity", "critical")
    with scene.open("p-owner") as ledger:
        ledger.emit("evaluation.completed", first, metrics={"psi": 0.31}, verdict="fail", kind="drift")
        second = trained(ledger, 2, 0.93)
    scene.do("request", second, "--env", "prod", "--as", "p-owner")
    scene.show("authorise", PLACE, "--model", second, "--as", "p-release", expected=1)
    scene.do("approve", second, "--rationale", "drift is gone on the new data", "--as", "p-risk")
    scene.do("authorise", PLACE, "--model", second, "--as", "p-release")
    canary = ("record", "canary", PLACE, "--model", second, "--as", "p-release")
    for stage, traffic in enumerate((0.05, 0.25), start=1):
        scene.do(*canary, "--stage", stage, "--traffic", traffic)
        scene.do(*canary, "--stage", stage, "--traffic", traffic, "--budget-used", 0.01, "--verdict", "pass")
    scene.do(*canary, "--promoted")
    scene.show("state", PLACE)
    scene.show("history", PLACE)
    scene.show("diff", first, second)
    scene.end(
        "no version goes to prod before another person than its owner approved it",
        "each stage of the canary is there with its share of the traffic and its verdict, then the promotion",
        "why the first version was replaced is in the log too: drift was measured, and failed",
    )


if __name__ == "__main__":
    main()
