"""Poisoned data, and what is live that ever saw it. Run it: ``python examples/scenarios/poisoning.py``."""

from scene import Scene, digest

DATA = "dataset:claims@3"
BY = ("p-owner", "p-risk", "p-release")
PLACES = {"model:triage@1": "deployment:prod/triage", "model:payout@2": "deployment:prod/payout"}


def main() -> None:
    """Tell the story."""
    scene = Scene("poisoning", p_owner="owner emitter", p_risk="approver validator", p_release="deployer emitter")
    clean = "dataset:claims@2"
    with scene.open("p-owner") as ledger:
        for data in (clean, DATA):
            ledger.emit("dataset.registered", data, digest=digest(data))
        features = {"role": "input", "subject": DATA, "digest": digest(DATA)}
        ledger.emit("featureset.defined", "featureset:claims@3", digest=digest("features"), inputs=[features])
        read = {
            "model:payout@1": (clean, digest(clean)),
            "model:triage@1": (DATA, digest(DATA)),
            "model:payout@2": ("featureset:claims@3", digest("features")),
        }
        for model, (subject, hashed) in read.items():
            run = "run:" + model.partition(":")[2].replace("@", "-")
            ledger.emit("run.started", run, inputs=[{"role": "input", "subject": subject, "digest": hashed}])
            ledger.emit("run.completed", run, outputs=[{"role": "model", "subject": model, "digest": digest(model)}])
            ledger.emit("version.registered", model, digest=digest(model), owner="p-owner", tier="high", run=run)
            ledger.emit("evaluation.completed", model, metrics={"auc": 0.9}, verdict="pass", suite="held-out")
    scene.release("model:payout@1", PLACES["model:payout@2"], by=BY)
    for model, place in PLACES.items():
        scene.release(model, place, by=BY)
    scene.show("impact", DATA)
    scene.do("quarantine", DATA, "--reason", "labels were bought", "--as", "p-risk")
    scene.do(
        "rollback", PLACES["model:payout@2"], "--to", "model:payout@1", "--reason", "poisoned", "--as", "p-release"
    )
    scene.do("record", "rollback", PLACES["model:payout@2"], "--model", "model:payout@1", "--as", "p-release")
    scene.show("authorise", PLACES["model:payout@2"], "--model", "model:payout@2", "--as", "p-release", expected=1)
    left = scene.ask("impact", DATA)["live"]
    assert [one["deployment"] for one in left] == ["deployment:prod/triage"], left
    scene.show("impact", DATA)
    scene.end(
        "one command finds both services, the one that read the data through a feature set too, with the path",
        "nothing whose run read what is in quarantine is authorised, nor what read a feature set made from it",
        "after the rollback one service is left, which has no earlier version: the recall is not done",
    )


if __name__ == "__main__":
    main()
