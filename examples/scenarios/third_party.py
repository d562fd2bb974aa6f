"""A third party's black-box model. Run it: ``python examples/scenarios/third_party.py``."""

from scene import Scene, digest

MODEL, PLACE = "model:vendor/screening@2026-05", "deployment:prod/screening"
BY = ("p-owner", "p-risk", "p-release")


def main() -> None:
    """Tell the story."""
    scene = Scene("third-party", p_owner="owner emitter", p_risk="approver validator", p_release="deployer emitter")
    people = ("--affects-people", "--personal-data", "--money-or-law", "--shared")
    scene.do("classify", "model:vendor/screening", *people, "--rationale", "screens applicants", "--as", "p-owner")
    with scene.open("p-owner") as ledger:
        unknown = ["training data", "weights", "how often it is retrained"]
        sold = {
            "vendor": "Screening Ltd",
            "product": "Screen",
            "release": "2026-05",
            "contract": "C-17",
            "hosted": True,
        }
        ledger.emit("thirdparty.registered", "model:vendor/screening", {**sold, "unknown": unknown})
        ledger.emit("version.registered", MODEL, digest=digest("pinned release"), owner="p-owner", tier="high")
        for kind, metric in (("performance", "auc"), ("fairness", "parity")):
            measured = {"kind": kind, "dataset": "dataset:applicants@1", "split": "test", "suite": f"our own {kind}"}
            ledger.emit("evaluation.completed", MODEL, measured, metrics={metric: 0.9}, verdict="pass")
    scene.write("checks.yaml", scene.do("policy", "starter", "pre-production"))
    scene.show("gate", "check", MODEL, "--env", "prod", "--file", "checks.yaml")
    found = [{"id": "opaque", "severity": "medium", "statement": "The vendor does not say what it was trained on."}]
    with scene.open("p-risk") as ledger:
        said = {"verdict": "pass", "independence": "works for risk, not for the owner", "findings": found}
        ledger.emit("validation.completed", MODEL, said)
    scene.do("request", MODEL, "--env", "prod", "--as", "p-owner")
    held = ("--condition", "the vendor names its training data", "--expires", "180d")
    scene.do("approve", MODEL, "--rationale", "good on our own applicants", *held, "--as", "p-risk")
    scene.show("authorise", PLACE, "--model", MODEL, "--as", "p-release", expected=1)
    scene.do("condition", MODEL, 0, "--note", "letter of the vendor, C-17/4", "--as", "p-risk")
    scene.do("authorise", PLACE, "--model", MODEL, "--as", "p-release")
    scene.do("record", "deployment", PLACE, "--model", MODEL, "--as", "p-release")
    scene.show("inventory")
    scene.end(
        "nobody knows its code and data, so it is measured on our own; what the vendor does not say stands in the log",
        "it was approved on a condition, for half a year; it was not authorised before the condition was met",
        "the finding of the independent validation is open, and in every inventory until it is disposed of",
    )


if __name__ == "__main__":
    main()
