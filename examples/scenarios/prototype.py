"""A prototype on a managed service, under light rules. Run it: ``python examples/scenarios/prototype.py``."""

from collections import Counter

from scene import Scene, digest

MODEL, PLACE = "model:notes@1", "deployment:dev/notes"
NO = ("--no-affects-people", "--no-personal-data", "--no-money-or-law", "--no-shared")


def main() -> None:
    """Tell the story."""
    scene = Scene("prototype", p_dev="owner emitter deployer")
    scene.do("classify", "model:notes", *NO, "--rationale", "sums up my own meeting notes", "--as", "p-dev")
    version = ("record", "version", MODEL, "--tier", "low", "--uri", "managed://endpoints/notes", "--as", "p-dev")
    scene.do(*version, "--digest", digest("endpoint configuration"))
    scene.do("record", "deployment", PLACE, "--model", MODEL, "--as", "p-dev")
    scene.show("state", "model:notes")
    scene.write("production.yaml", scene.do("policy", "starter", "pre-production", "production"))
    gate = ("gate", "check", MODEL, "--file", "production.yaml")
    light = scene.ask(*gate, "--env", "dev", expected=1)["checks"]
    counted = Counter(item["result"] for item in light)
    print("Of both checklists, tier low is not asked for:")
    print("  " + ", ".join(item["check"] for item in light if item["result"] == "not-applicable"))
    print("and would still have to show, before it goes anywhere but dev:")
    print("  " + ", ".join(item["check"] for item in light if item["result"] == "fail") + "\n")
    scene.show("authorise", "deployment:prod/notes", "--model", MODEL, "--as", "p-dev", expected=1)
    scene.end(
        "three commands, one person, no approval and no gate: dev asks for none, and the deployment is not marked",
        f"{counted['not-applicable']} of {len(light)} checks are for higher tiers; {counted['fail']} would be missing",
        "the same prototype does not slip into prod: there the rules ask for an evaluation and a second person",
    )


if __name__ == "__main__":
    main()
