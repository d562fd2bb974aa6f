"""Where bugs are planted, and which tests are asked about them: several at once in a stage, the quick stages first."""

from __future__ import annotations


def _unit(*names: str) -> str:
    return " ".join(f"tests/unit/test_{name}.py" for name in names)


def _contract(*names: str) -> str:
    return " ".join(f"tests/contract/test_{name}.py" for name in names)


def _projections(*names: str) -> str:
    return " ".join(f"tests/projections/test_{name}.py" for name in names)


def _cli(*names: str) -> str:
    return " ".join(f"tests/cli/test_{name}.py" for name in names)


#: A whole verification, seen from near to far.
_PASS = (
    _contract("reports", "ledger_keys", "hostile"),
    _cli("own_keys", "pinned", "verify") + " " + _contract("signed_head", "keyring"),
    _contract(
        "verification",
        "verified_since",
        "order_faults",
        "quarantine_verified",
        "reading_ahead",
        "rewritten",
        "void_entries",
    ),
)
_DAMAGE = (_cli("keyring", "backup", "output"), "tests/attacks/test_tamper.py")
_BAD = ("bad_bytes", "bad_signers", "bad_events", "bad_decisions")
_ERASURE = ("erasure", "erasure_killed", "erasure_forbidden")
_JUDGE = ("judge", "judge_catalogue", "judge_decisions", "judge_states")
_GOVERNED = tuple(
    f"governed_{name}"
    for name in (
        "rules",
        "approvals",
        "evidence",
        "makers",
        "deputies",
        "quarantine",
        "tiers",
        "gates",
        "waivers",
        "authorised",
        "bytes",
    )
)
_KEYRING = tuple(
    f"keyring_{name}"
    for name in ("keys", "stolen", "rests", "reaffirmed", "roles", "bounds", "answering", "last_admin", "ledger")
)
_RULES = (
    _unit(*_JUDGE, *_GOVERNED, "foundations", "stages", *_KEYRING, "decisions", "authorisation"),
    _unit("bounds", "ledger_events", "families", "sequences", "sealing", "ceremony"),
    _contract("ledger_keys", "hostile", "keyring", "append", "judged_again", "append_only", *_BAD)
    + " "
    + _cli("keyring"),
    _cli("governing", "gates", "gate_waivers", "policies", "reading", "refusals")
    + " "
    + _projections("standing", "governed_state", "why", "pending", "impact", "moves"),
)
_BUNDLES = (
    _unit("bundling", "wrong_forms", "bounds", "pages") + " " + _cli("bundle"),
    _contract("bundle", "bundle_damaged", "bundle_forged"),
)
_WITNESSES = (_unit("witnessing", "wrong_forms"), _cli("witness", "witnessing"), _contract("witnessed"))

#: Modules and the tests that are asked.
MODULES: dict[str, tuple[str, ...]] = {
    "ledger/merkle.py": (
        _unit("merkle", "proof", "tiles", "wrong_forms"),
        "tests/attacks/test_proofs.py",
        _contract("ledger_keys"),
    ),
    "ledger/merkleproof.py": (
        _unit("merkle", "proof", "wrong_forms"),
        "tests/attacks/test_proofs.py",
        _contract("ledger_keys"),
    ),
    "ledger/tiles.py": (_unit("tiles", "wrong_forms"), _cli("output", "verify")),
    "ledger/proof.py": (_unit("proof", "wrong_forms"), "tests/attacks/test_proofs.py", _cli("verify")),
    "ledger/note.py": (_unit("checkpoint", "witnessing", "wrong_forms", "bounds"), _contract("ledger_keys")),
    "ledger/checkpoint.py": (
        _unit("checkpoint", "witnessing", "successor", "bounds", "wrong_forms"),
        _contract("ledger_keys"),
    ),
    "ledger/checkpoints.py": (
        _unit("pages", "bounds", "headcheck") + " " + _contract("ledger_keys", "hostile", "signed_head"),
        _cli("published"),
        _contract("witnessed"),
    ),
    "ledger/successor.py": (_unit("successor", "wrong_forms", "bounds"), _contract("ledger_keys"), _cli("keyring")),
    "ledger/published.py": (
        _unit("bounds"),
        _cli("published", "admin"),
        _cli("published_objects"),
    ),
    "ledger/places.py": (_unit("bounds"), _cli("published"), _cli("published_objects")),
    "ledger/cosignature.py": _WITNESSES,
    "ledger/addcheckpoint.py": _WITNESSES,
    "ledger/witnesspolicy.py": _WITNESSES,
    "ledger/witnessing.py": (*_WITNESSES, "tests/witness"),
    "ledger/witnessed.py": (*_WITNESSES, "tests/witness"),
    "ledger/witnesscheck.py": (_unit("headcheck"), *_WITNESSES, _cli("pinned"), "tests/attacks/test_tamper.py"),
    "ledger/timestamps.py": (_unit("stamped", "bounds"), _cli("timestamps", "admin")),
    "ledger/envelope.py": (_unit("envelope", "bounds", "plain", "wrong_forms"), _contract("hostile")),
    "ledger/payload.py": (
        _unit("plain", "envelope", "entry", "ceremony", "sequences", "wrong_forms"),
        _contract(*_BAD, "append", "judged_again", "append_only"),
    ),
    "ledger/base64text.py": (_unit("checkpoint", "proof", "envelope", "keys", "wrong_forms"),),
    "ledger/strictjson.py": (_unit("strictjson", "wrong_forms"), _contract(*_BAD)),
    "ledger/keys.py": (_unit("keys", "wrong_forms"), _unit("checkpoint", "envelope", "keystore"), _cli("own_keys")),
    "ledger/names.py": (_unit("names", "wrong_forms"), _contract(*_BAD)),
    "ledger/entry.py": (_unit("entry", "plain", "wrong_forms"), _contract("hostile")),
    "ledger/treereader.py": (
        _contract("ledger_keys", "hostile", "append", "judged_again", "append_only"),
        _unit("tiles"),
        _cli("verify", "output"),
    ),
    "ledger/stored.py": (
        _unit("replay", "pages", "bounds"),
        _contract("ledger_keys", "hostile", "append", "judged_again", "append_only", *_BAD),
    ),
    "ledger/worlds.py": (
        _contract("worlds"),
        _contract("ledger_keys", "hostile", *_BAD),
        _cli("own_keys"),
        _unit("replay", "bounds"),
        _cli(*_ERASURE),
    ),
    "ledger/replay.py": (
        _unit("ledger_events"),
        _contract("ledger_keys"),
        _unit("replay"),
        _contract("keyring", "hostile"),
        *_BUNDLES,
    ),
    "ledger/verify.py": (_unit("bounds"), *_PASS, _cli("backup")),
    "ledger/auditpass.py": (*_PASS, *_DAMAGE),
    "ledger/since.py": _PASS,
    "ledger/audit.py": (_unit("audit"), *_PASS, _cli(*_ERASURE)),
    "ledger/auditworkers.py": (_unit("audit"), _contract("audit_workers"), _contract("verification", "verified_since")),
    "ledger/auditworld.py": _PASS,
    "ledger/logview.py": (_unit("logview"), _contract(*_BAD), *_PASS),
    "ledger/segment.py": (*_PASS, *_DAMAGE),
    "ledger/plainrows.py": (_unit("plain"), *_PASS, *_DAMAGE),
    "ledger/endcheck.py": (*_PASS, _cli(*_ERASURE), *_DAMAGE, _contract("bundle", "bundle_damaged", "bundle_forged")),
    "ledger/headcheck.py": (_unit("headcheck"), *_PASS, _cli("timestamps"), *_DAMAGE),
    "ledger/tilecheck.py": (_unit("tilecheck"), *_PASS, _cli("output"), "tests/attacks/test_tamper.py"),
    "ledger/findings.py": (_unit("findings"), *_PASS, _cli("backup")),
    "ledger/late.py": (_contract("late"), _unit("sequences"), _cli("keyring")),
    "ledger/suspects.py": (_unit("bounds", "pages"), _cli("keyring"), *_PASS),
    "ledger/verdicts.py": (_unit("verdicts"), _cli("output", "verify")),
    "ledger/gaps.py": (_unit("gaps", "verdicts"), _cli("verify", "own_keys", "output")),
    "ledger/emitters.py": (_unit("bounds"), _contract("emitters"), _unit("sequences"), _cli("verify")),
    "ledger/freshness.py": (_unit("bounds"), _unit("freshness"), _cli("verify"), _contract("witnessed")),
    "ledger/outsiders.py": (_contract("witnessed"), _cli("verify", "witness", "timestamps")),
    "ledger/verified.py": (_unit("verified"), _cli("own_keys", "verify"), _cli("output", *_ERASURE)),
    "ledger/evidence.py": (_unit("evidence", "wrong_forms", "bounds"), _cli("pinned")),
    "ledger/trust.py": (_unit("identity", "trust"), _cli("own_keys", "pinned"), _cli("restore")),
    "ledger/identity.py": (_unit("identity", "trust"), _contract("ledger_keys", "signed_head")),
    "ledger/bundle.py": _BUNDLES,
    "ledger/bundlecheck.py": _BUNDLES,
    "ledger/bodyschemas.py": _BUNDLES,
    "ledger/bundlelog.py": _BUNDLES,
    "ledger/bundlerules.py": (_contract("bundle_rules"), *_BUNDLES),
    "ledger/bundling.py": _BUNDLES,
    "ledger/standalone.py": (
        _unit("standalone", "standalone_forms", "standalone_rules"),
        *_BUNDLES,
        "tests/foreign/test_offline.py",
    ),
    "ledger/domain/actors.py": _RULES,
    "ledger/domain/authority.py": _RULES,
    "ledger/domain/decisions.py": (*_RULES, _cli("admin", "spellings", "whole_path")),
    "ledger/domain/enrolment.py": _RULES,
    "ledger/domain/erasure.py": (*_RULES, _cli(*_ERASURE)),
    "ledger/domain/evolution.py": (*_RULES, _cli("restore", *_ERASURE)),
    "ledger/domain/judge.py": _RULES,
    "ledger/domain/keyring.py": _RULES,
    "ledger/domain/ledgerstate.py": (_contract("ledger_keys"), *_RULES),
    "ledger/domain/ledgerkeys.py": (_contract("ledger_keys"), *_RULES),
    "ledger/domain/recorded.py": _RULES,
    "ledger/domain/restores.py": (*_RULES, _cli("backup", "restore")),
    "ledger/domain/roles.py": _RULES,
    "ledger/domain/scopes.py": _RULES,
    "ledger/domain/signed.py": _RULES,
    "ledger/domain/signing.py": _RULES,
    "ledger/domain/deployed.py": _RULES,
    "ledger/domain/states.py": _RULES,
    "ledger/domain/suspicion.py": _RULES,
    "ledger/domain/world.py": _RULES,
    "ledger/domain/ancestry.py": (*_RULES, _contract("bundle_rules")),
    "ledger/domain/approving.py": _RULES,
    "ledger/domain/authorising.py": _RULES,
    "ledger/domain/foundations.py": _RULES,
    "ledger/domain/gating.py": _RULES,
    "ledger/domain/golive.py": _RULES,
    "ledger/domain/governed.py": _RULES,
    "ledger/domain/holds.py": _RULES,
    "ledger/domain/grounds.py": _RULES,
    "ledger/domain/independence.py": _RULES,
    "ledger/domain/lifecycle.py": _RULES,
    "ledger/domain/moves.py": _RULES,
    "ledger/domain/rulesets.py": (*_RULES, _cli("governing")),
    "ledger/domain/stages.py": _RULES,
    "ledger/domain/standing.py": _RULES,
    "ledger/domain/versions.py": _RULES,
    "ledger/domain/waiving.py": _RULES,
    "ledger/domain/emitters.py": (*_RULES, _contract("emitters")),
}

#: The code of which 95 % of the bugs must be killed, by what it is of: what an entry, its envelope and its place in the
#: tree are, what a signed head says, what is legal, and what `verify log` finds. Not of it: what rests on it, such as
#: witnesses, timestamps, bundles and remembered heads, and the one-file verifier, which repeats it.
NAMED: dict[str, tuple[str, ...]] = {
    "merkle": ("ledger/merkle.py", "ledger/merkleproof.py", "ledger/tiles.py", "ledger/treereader.py"),
    "proof": ("ledger/proof.py",),
    "checkpoint": tuple(
        f"ledger/{name}.py" for name in ("note", "checkpoint", "checkpoints", "successor", "cosignature")
    ),
    "envelope": tuple(f"ledger/{name}.py" for name in ("envelope", "payload", "strictjson", "base64text")),
    "entry": ("ledger/entry.py", "ledger/stored.py"),
    "judge and keyring": (
        *(name for name in MODULES if name.startswith("ledger/domain/")),
        *(f"ledger/{name}.py" for name in ("replay", "worlds", "keys", "names", "identity")),
    ),
    "verify": (
        *(name for name in MODULES if name.startswith(("ledger/verify.", "ledger/audit"))),
        *(f"ledger/{name}.py" for name in ("segment", "endcheck", "headcheck", "tilecheck", "findings", "logview")),
        *(f"ledger/{name}.py" for name in ("late", "plainrows", "since", "suspects", "verdicts")),
    ),
}

#: What is left: stores, commands, files and settings, and how content is kept secret. No verdict rests on it alone.
OTHERS = {
    *(
        "ledger/__init__.py",
        "ledger/domain/__init__.py",
        "ledger/errors.py",
        "ledger/config.py",
        "ledger/home.py",
        "ledger/newhome.py",
    ),
    "ledger/forks.py",  # of processes
    *(
        "ledger/application.py",
        "ledger/writer.py",
        "ledger/appending.py",
        "ledger/handle.py",
        "ledger/mapper.py",
        "ledger/following.py",
    ),
    *(
        "ledger/commands.py",
        "ledger/governing.py",
        "ledger/approvals.py",
        "ledger/acknowledging.py",
        "ledger/emission.py",
        "ledger/session.py",
        "ledger/checks.py",
        "ledger/crashpoints.py",
    ),
    *("ledger/creation.py", "ledger/founding.py", "ledger/ceremony.py", "ledger/custody.py", "ledger/keystore.py"),
    *(
        "ledger/tokens.py",
        "ledger/backup.py",
        "ledger/backupcheck.py",
        "ledger/restoring.py",
        "ledger/transfer.py",
        "ledger/migration.py",
    ),
    *("ledger/casefiles.py", "ledger/statefile.py", "ledger/durable.py", "ledger/publish.py", "ledger/witnesshttp.py"),
    "ledger/objectstore.py",
    "ledger/telling.py",
    *(
        "ledger/erasing.py",
        "ledger/bounds.py",
        "ledger/waivable.py",
        "ledger/holding.py",
        "ledger/unknownkeys.py",
        "ledger/sealing.py",
        "ledger/datakeys.py",
        "ledger/wrapping.py",
    ),
    *(
        "ledger/refusals.py",
        "ledger/screen.py",
        "ledger/screening.py",
        "ledger/secretpatterns.py",
        "ledger/secretspans.py",
    ),
}
