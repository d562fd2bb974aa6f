"""An incident, a rollback and what is written after it. Run it: ``python examples/scenarios/incident.py``."""

from scene import Scene, digest

import muniment

PLACE, INCIDENT = "deployment:prod/credit", "incident:credit-refusals"
BY = ("p-owner", "p-risk", "p-release")


def main() -> None:
    """Tell the story."""
    scene = Scene(
        "incident",
        p_owner="owner emitter",
        p_risk="approver",
        p_release="deployer emitter",
        p_call="incident-commander",
    )
    for number in (1, 2):
        model = f"model:credit@{number}"
        scene.do("record", "version", model, "--digest", digest(model), "--tier", "high", "--as", "p-owner")
        scene.do("record", "evaluation", model, "--metric", f"auc=0.8{number}", "--verdict", "pass", "--as", "p-owner")
        scene.release(model, PLACE, by=BY)
    signal = ("record", "signal", "monitor:credit-refusals", "--metric", "refused", "--value", 0.4, "--baseline", 0.1)
    scene.do(*signal, "--severity", "critical", "--deployment", PLACE, "--as", "p-owner")
    about = ("--deployment", PLACE, "--model", "model:credit@2", "--severity", "high")
    scene.do("incident", "open", INCIDENT, "--title", "Refuses four in ten", *about, "--as", "p-call")
    scene.do("rollback", PLACE, "--to", "model:credit@1", "--incident", INCIDENT, "--as", "p-call")
    back = ("record", "rollback", PLACE, "--model", "model:credit@1", "--incident", INCIDENT)
    scene.do(*back, "--as", "p-release")
    scene.do("incident", "mitigate", INCIDENT, "--note", "version 1 is live again", "--as", "p-call")
    cause = ("--category", "configuration", "--statement", "The threshold of version 2 was that of another product.")
    scene.do("incident", "cause", INCIDENT, *cause, "--as", "p-call")
    action = ("--title", "Put the threshold into the contract", "--kind", "prevent", "--owner", "p-owner")
    scene.do("incident", "action", INCIDENT, *action, "--as", "p-call")
    scene.write("postmortem.md", scene.do("timeline", INCIDENT, "-o", "md"))
    scene.do("incident", "close", INCIDENT, "--summary", "Rolled back, and explained.", "--as", "p-call")
    with scene.open("p-owner") as ledger:
        ledger.emit("postmortem.published", INCIDENT, digest=muniment.file_digest(scene.folder / "postmortem.md"))
    scene.show("timeline", INCIDENT)
    scene.show("state", PLACE)
    scene.end(
        "the rollback needed no approval and was never blocked; who went back to what, and why, is in the log",
        "the timeline begins before the incident, and shows what changed last: the deployment of version 2",
        "the postmortem made from it is pinned by its digest",
    )


if __name__ == "__main__":
    main()
