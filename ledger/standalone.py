#!/usr/bin/env python3
"""Check a Muniment bundle offline, without Muniment.

Run it: python3 verify.py BUNDLE --vkey VKEY

Needs Python 3.11 or newer and the package `cryptography`; nothing else, no network and no ledger. Written from the
format's description (docs/FORMAT.md) and sharing no code with Muniment, so that the two can be compared. Take this file
from a release you trust, never from whoever hands you the bundle.

Exit code 0: verified. 1: bad, and it says what and where. 2: wrong usage. 3: unverified: without --vkey a bundle only
agrees with itself, whoever made it.

Checked: every entry up to the signed head recomputes the chain and the root; the head is signed by the key you gave and
by the key the log itself names for its size; each content has the digests its entry commits to and says what its header
says; each signature; that each key might sign at that index, in a role that covers it. All entries that change keys,
roles, holds and the ledger itself must be there with their content, and are judged as Muniment judges them, so
nothing about keys is taken on anybody's word; the schemas are those that were published with this file. NOT checked:
the rules of decisions (evidence, four eyes), the bodies of facts and decisions against their schemas, cosignatures
and timestamps, and contents that are not there.
"""

import argparse
import base64
import copy
import datetime
import decimal
import hashlib
import json
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["main"]

MAX_LINE, MAX_BUNDLE, MAX_ENTRIES = 262_144, 1 << 30, 500_000
MEMBERS = ["actor", "emitter", "envelope", "id", "index", "item", "keys", "ledgerid", "payload", "prev", "recorded_at",
           "revision", "sequence", "stream", "subject", "type", "v"]  # fmt: skip
INTEGERS = {"index", "item", "revision", "sequence", "v"}
CREATED = "muniment.ledger.created.v1"
# Which of these roles an author needs, and for which types. Others need none, or are authority, below.
_NEEDED = {
    "admin": "ledger.entry_acknowledged",
    "approver": (
        "approval.changes_requested approval.delegated approval.escalated approval.granted approval.rejected "
        "approval.revoked waiver.denied waiver.granted"
    ),
    "deployer": "deployment.authorised deployment.denied waiver.used",
    "emitter": (
        "access.denied artifact.produced artifact.signed dataset.registered dataset.versioned errorbudget.consumed "
        "external.observed featureset.materialized labels.arrived monitor.signal monitor.window run.aborted "
        "run.attached run.completed run.failed run.started slo.breached slo.recovered"
    ),
    "eraser": "subject.erased",
    "validator": "validation.completed validation.withdrawn",
    "admin validator": "policy.defined policy.retired",
    "approver owner": "waiver.revoked",
    "approver validator": "approval.condition_met quarantine.released",
    "auditor admin": "hold.placed hold.released",
    "emitter deployer": (
        "canary.analysed canary.stage_entered credential.expired credential.rotated deployment.completed "
        "deployment.failed deployment.promoted deployment.started serving.snapshot"
    ),
    "emitter owner": (
        "contract.defined dataset.consent_changed dataset.deleted dataset.deprecated dataset.license_changed "
        "experiment.completed experiment.started featureset.changed featureset.defined model.described "
        "model.registered modelcard.published modelcard.revised "
        "retrain.requested retrain.resolved thirdparty.registered version.aliased "
        "version.composed version.registered version.tagged version.unaliased"
    ),
    "emitter validator": (
        "artifact.scanned artifact.verified dataset.quality_assessed evaluation.completed evaluation.invalidated "
        "performance.tested"
    ),
    "owner admin": "model.owner_changed",
    "owner eraser": "erasure.resolved",
    "emitter owner eraser": "erasure.requested",
    "owner deployer": "model.decommissioned slo.defined version.demoted version.promoted version.retired",
    "owner emitter": "approval.requested approval.withdrawn errorbudget.reset waiver.requested",
    "owner validator": "finding.disposed risk.classified validation.assigned",
    "approver validator auditor": "emergency.reviewed",
    "emitter approver owner": "approval.expired waiver.expired",
    "emitter deployer owner": "configuration.changed",
    "emitter owner deployer": "feed.interrupted",
    "emitter owner incident-commander": "notification.failed notification.sent",
    "owner deployer emitter": "deployment.requested",
    "owner incident-commander admin": "model.on_call_assigned",
    "emitter auditor incident-commander validator": "evidence.preserved",
    "emitter owner incident-commander deployer": "drill.conducted",
    "emitter owner validator": "bom.attached",
    "emitter owner validator auditor": "documentation.attached",
    "emitter owner validator approver deployer": "gate.evaluated",
}
ROLES = {f"{kind}.v1": tuple(roles.split()) for roles, kinds in _NEEDED.items() for kind in kinds.split()}
DECISIONS = {
    "approval.changes_requested.v1", "approval.condition_met.v1", "approval.escalated.v1", "approval.granted.v1",
    "approval.rejected.v1", "approval.requested.v1", "approval.revoked.v1", "approval.withdrawn.v1",
    "deployment.authorised.v1", "deployment.denied.v1", "deployment.requested.v1", "emergency.reviewed.v1",
    "gap.declared.v1", "policy.defined.v1", "policy.retired.v1", "quarantine.released.v1", "risk.classified.v1",
    "waiver.denied.v1", "waiver.granted.v1", "waiver.requested.v1", "waiver.revoked.v1", "waiver.used.v1",
}  # fmt: skip
# The JSON Schemas of bodies as they were published: half of the SHA-256 of the line of each in a bundle (FORMAT 23),
# behind the type without its first word; made by tools/gen_schemas.py of Muniment.
_PUBLISHED = """
access.denied.v1=2054d99719fbe5aa6f69622e2bfe2a0b actor.enrolled.v1=0f34bbfb6be7db03657041edf303b629
actor.offboarded.v1=0f474ad03ccc57b8d77df0dc82b388e6 actor.responsible_changed.v1=b701e2a91edb1c6d69d916df7b7c89cb
actor.revoked.v1=bb09f623b4e436f4079b3c468c2758c6 approval.changes_requested.v1=dcc75ac97159406b3d163fc13cf5b88b
approval.condition_met.v1=e10970d21e24bd16c1bf73795f43bd77 approval.delegated.v1=2cd24a2ee5613f58648f757d76ef4410
approval.escalated.v1=20a7448572aa06b423fa42df816fec52 approval.expired.v1=a25144fdd7760bdaaa2a0b74e4d8ac10
approval.granted.v1=9c58bb37d8c05ebed760f0f75df6038f approval.rejected.v1=d8cb958c528745db40f154b1055b6cbd
approval.requested.v1=ced851d830217da7a46609065fed4987 approval.revoked.v1=1ff8df4688d502133892a62aec12d3fe
approval.withdrawn.v1=c17dc45eb07e2d28630864703223ff42 artifact.produced.v1=4c2e15368b329bf6e689fa0b603c0eac
artifact.scanned.v1=c5d518e772087fb428033d17ec133b0c artifact.signed.v1=a086cb5a202d6d643303b45ac1135714
artifact.verified.v1=5c263889c7e2413223919fe5655cd0d6 bom.attached.v1=144dc52bfa2a4ee86c59a587ab54d5fa
canary.aborted.v1=bad40de2ae2e1da75783712683a3a5cc canary.analysed.v1=38aa542ce8d17cbded38dc1f63f97f65
canary.paused.v1=13c10d0c0033474f260e40cb2ec50fd1 canary.stage_entered.v1=a83442690c18142a32fe36a9d03083ad
configuration.changed.v1=02cb54f6a0b0de2efda2487987df44af contract.defined.v1=ac65da1b308a0d4652572a83e50d6e2d
credential.expired.v1=fcbb8bc2e45f9b89a0e012c4235ff9d9 credential.rotated.v1=92b4cb69be192e191d3cea6ecf9ec416
dataset.consent_changed.v1=34e5505af88cf633f4ceef7067caa0bb dataset.deleted.v1=457964ab45c45228a09c57cf03b816fb
dataset.deprecated.v1=e3e029a67409dc7709c57497e71ec91f dataset.license_changed.v1=c7026ee3fbd6569ef654bed5525331fd
dataset.quality_assessed.v1=9afc4cf19a890f87a770bfdca043002d dataset.registered.v1=218cdceaa6b00f19d507cfcba8fe7d3e
dataset.versioned.v1=d7bc79333e08484a6c7cf612620aa56a decision.refused.v1=87cbc089a5420df303cb2bfd1418fd2c
deployment.authorised.v1=bb317fa7e906c6e4d0b77bb59b2753a0 deployment.completed.v1=5af1511fe57bc260b30f7fc117ca6781
deployment.denied.v1=f6e6d78b15c3c8cee9d0150ffc4936ae deployment.failed.v1=20f70325ba548328c6903c3a0bc0a496
deployment.held.v1=8f75e308f1a50f610b5b415167ae283f deployment.promoted.v1=6ef0288df44df420482713ad10eb7009
deployment.requested.v1=99aeb7948944d857c727d3ce7bfc4fe2 deployment.started.v1=1734427cbcdba1d6257770621b655c37
documentation.attached.v1=b0fe20155261ad18982001739ceee271 drill.conducted.v1=93b8989c2a6aa0fe5f7e3597a3aecfbe
emergency.reviewed.v1=07296cfbd250ef19a074fa8991da86b4 emitter.closed.v1=afc7d8460fc425c92614329ba9194976
emitter.heartbeat.v1=326daa10b38d033000ca5c419a12e589 entry.reaffirmed.v1=b2ba96ec4a3db871b4db92bea5478cac
erasure.requested.v1=09978a6ae500be3bbbcc8a0b00964bc3 erasure.resolved.v1=7a24e03eb78430cbf9785cbd1d13379d
errorbudget.consumed.v1=744b4bbad0c20cf483f85ec91e3fe0d8 errorbudget.reset.v1=84da831ef9dd30292869ffae4126c2ce
evaluation.completed.v1=e2ca01ec2ee207f16fecce7239764423 evaluation.invalidated.v1=9485f0dea40bf13405fb3ce281a1e33d
evidence.preserved.v1=85ceef346c731e8ab647f7d0a6093f52 experiment.completed.v1=809c33fedf11a25572e66e5a7cdf77da
experiment.started.v1=ee064e26f8819360fcf82baabf4269bc external.observed.v1=cd38cbcfd8cb49a56d26019cc810522a
featureset.changed.v1=97de23c047632d204e3f67eccd994c94 featureset.defined.v1=e6249e25a50869cdc1ad8fd2d47d1a53
featureset.materialized.v1=06c55c5adc7bad0cd1255343c87313f1 feed.interrupted.v1=6d7a16694a317aabe32b61da48f00650
finding.disposed.v1=837ff90b511467b63b0408e37dbd4914 gap.declared.v1=4a7bebd8116ff813ef76a748469e2d7c
gate.evaluated.v1=66318fb55e78a5b6970ec3cedb754fa9 hold.placed.v1=e5ae24c36093e74ddb5e68980a9ce726
hold.released.v1=8cf949216c4eeb950efdb2e572b14e75 incident.action_item_assigned.v1=d791f5a7ab8b13d8e008c2482f3560c0
incident.action_item_completed.v1=096ec8339a11eb3420c50a11a29da88b
incident.action_item_created.v1=4d18f0a59a4ac81e7540dd086d35575e
incident.action_item_verified.v1=fe1ca93c39e87dbc9f9cdf1e9544ab2c incident.closed.v1=60b191137ef04e762f07e9aadf4d63b2
incident.contributing_factor_recorded.v1=9cbe315abaadefc7d9d034019c399a63
incident.linked.v1=9112b73b17bf51457d21533ed16ececc incident.mitigated.v1=877285006f3315e77b0a65c048220661
incident.noted.v1=d77754a5029ef63ce2fe37871174780e incident.opened.v1=96f0964d7649c16703a720632aa9c683
incident.reopened.v1=daa61c812288458f5b624d80fea2230d incident.resolved.v1=e701bab80e466a076c09ebd626e60ec2
incident.role_assigned.v1=3a751dac18e05de9bdb934c722cd55d7
incident.root_cause_recorded.v1=da60467d9caedca807c33c93e0cecce5
incident.severity_changed.v1=1c0646f10552ada1df358d95c323f5a3 key.compromised.v1=a6242364ae7d1577b4a68facdb9aa87b
key.enrolled.v1=c4c63af95518bd57d485e6623e8e31d4 key.revoked.v1=c7be1b36c9a334ae7b5cc9fde478568a
key.rotated.v1=57432852ddeb809b1e4489b4fe7f2755 labels.arrived.v1=b5267adc3e76e398186db4f0c1cca94e
ledger.checkpoint_key_changed.v1=ae8d84e9c0677e6b6563aeb6e63a6335 ledger.created.v1=b52be98b73b8268b1fee18d7f46bbb2c
ledger.entry_acknowledged.v1=5173876496a3f02033bfb83ea21c7d09 ledger.restored.v1=d49495dedf55377843f326dc442f691a
ledger.roots_changed.v1=c78f6c2e0a61daeef7844ee93db9e007 ledger.rules_changed.v1=56ff29b6f820823f1702b15f4be5dc77
model.decommissioned.v1=7a9152cb87f2f9ed6e6780b4baae6356 model.described.v1=7456b2e3f0f340c0bcc746742e2b87b1
model.on_call_assigned.v1=f9895c7f4b882091c1857ef080174732 model.owner_changed.v1=11a66f796952f4593268c61032daead6
model.registered.v1=5dc04a34f51bff63751286580fae2dce modelcard.published.v1=e9c7bd7e88f4e897eb36f445bd254218
modelcard.revised.v1=42d629322b91ac1a2a519a72a23c8467 monitor.signal.v1=e8fc28b53b5bff8f980d40f5f81059ee
monitor.window.v1=b34578d78f25b5bc875176ef607af81d notification.failed.v1=e3d965b6f1d53f02760d78340a5f0a38
notification.sent.v1=abf8f64263439ea1ca8b402802d54ad1 performance.tested.v1=eacb59021682e27fc8f137439ab760d7
policy.defined.v1=0f8f66dbd9a38af7d5567e3834856f36 policy.retired.v1=58d747f7cdda230763a1f87e112d4fd5
postmortem.published.v1=c364990bb10e16eb5a5e7a2b2b68b8a9 quarantine.placed.v1=5a6db2eafa63601a673b5a45f06dc043
quarantine.released.v1=8d166a77d88b53cebe3f8e5368f2e5b4 retrain.requested.v1=e43cdb1d837a243d05c450a21487b09e
retrain.resolved.v1=d978eb7a1c9ebdea066ff012a9594278 risk.classified.v1=67a4e36ec5a438f27ce372d8d82e7adb
role.granted.v1=2e4323b55e551a7bcf41843175b39ffe role.revoked.v1=7e791331f1981f4b3a251a79a748e7a6
rollback.authorised.v1=8f3a9b4431323da20a354f2f197910f5 rollback.completed.v1=97ca68ecc66ce8a6f3c78e6ccf351725
rollback.requested.v1=a1048108d074e51cb6527f82915a02b5 run.aborted.v1=2baf75d985135fa484c6cac6c400806a
run.attached.v1=90632ac2af4950656e271baaf3670ee1 run.completed.v1=dd5b2f5e02616ee311a5ad111b135a5a
run.failed.v1=72f2a005ba41b5394e653bc9d4bc4f2c run.started.v1=99385dc951a498086c64c39f724ac059
serving.snapshot.v1=98cc76d8427e4a8ef48be0af42b0240a slo.breached.v1=a4642fe1e15f82723063e8b7dc22cd84
slo.defined.v1=cf367b448bd8c9baccfcab45e14f10d2 slo.recovered.v1=385da348b17e25e235ecdef8f3761ca7
subject.erased.v1=b0dd95ecffb025b6ca387ea44aaa0b67 thirdparty.registered.v1=19cfa59c84058776a216f13ed957007c
validation.assigned.v1=3eee2f5b9c7b241d37547598651fc8ae validation.completed.v1=7cc5a6b010cf5e7c27710c987b8fa14a
validation.withdrawn.v1=e68e0a761fa1266e8c52a679e56686db version.aliased.v1=76ccee216dcf59484cd66719ad150990
version.composed.v1=dbecbd7ab744833ecd1625590038cd9f version.demoted.v1=3c98a1ec80b3dfdeea10e87aab7880eb
version.promoted.v1=508d2f28f4ef0f6b9e7c153b6dd05b77 version.registered.v1=b36be77fa5377a2bb7707d68d2fe9576
version.retired.v1=abca24123c8617a31f107d9c67d13247 version.tagged.v1=3599f43c5f4cc328451b0c130f4f31ab
version.unaliased.v1=13d2b4d8de032fdc3da887b34b301522 waiver.denied.v1=10da05718d4ce23ea8cdc06a656bc0c0
waiver.expired.v1=5ee84b6ddb269584f34b9a80e025ad47 waiver.granted.v1=39e8822e6901ba0685eccd0623ba8a95
waiver.requested.v1=ab44f636c14d5526e3b605279e0671d1 waiver.revoked.v1=20737187ff7c13fe6edba0e35c19b621
waiver.used.v1=fa777c5e8cbd18d7ddecd82c966290a2
"""
SCHEMAS = dict(cell.split("=") for cell in _PUBLISHED.split())
# Forms of values, see `is_of`: a regular expression, limits of a whole number, [form, least, most], an object, a type.
# What can be seen: words of people are not blank.
VISIBLE = (
    r"[^\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    r"\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
LINE, HEX32, HEX = r"[^\x00-\x1f\x7f]{1,255}", "[0-9a-f]{32}", "[0-9a-f]{64}"
TEXT, TITLE = rf"(?s:(?=.*{VISIBLE}).{{1,8192}})", rf"(?=.*{VISIBLE}){LINE}"
UUID, ACTOR = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[a-z0-9][a-z0-9._-]{0,63}"
PART, ENVIRONMENT = "[A-Za-z0-9][A-Za-z0-9._+-]*", "[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
NAME = rf"(?=.{{1,200}}\Z)[a-z][a-z0-9-]{{0,31}}:({PART}/)?{PART}(@{PART})?"
STARS = "[A-Za-z0-9*][A-Za-z0-9._+*-]*"
PATTERN = rf"(?=.{{1,200}}\Z)[a-z*][a-z0-9*-]{{0,31}}:({STARS}/)?{STARS}"
TYPE_PATTERN = r"(?=.{1,100}\Z)[a-z][a-z0-9_]*\.([a-z][a-z0-9_]*|\*)"
TIME_FORM = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"
DIGEST = "sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}"
ROLE = "emitter|owner|validator|approver|deployer|incident-commander|auditor|eraser|admin"
NUMBER, COUNT = (0, 2**53 - 1), (1, 2**53 - 1)
RULE = {"environment": LINE, "tier": LINE, "authorisation": bool, "approvals": (0, 9), "evaluation": bool,
        "roles?": [ROLE, 0, 9], "days~": (1, 3660), "gate~": LINE,
        "gate_digest~": DIGEST}  # fmt: skip
RULES = {"name": LINE, "rules": [RULE, 1, 64], "stops~": [{"decision": LINE, "states": [LINE, 1, 32]}, 0, 64],
         "waivers~": [{"environment": LINE, "tier": LINE, "days": (1, 3660)}, 0, 64]}  # fmt: skip
ERASED = {"index": NUMBER, "leaf_hash": HEX, "stream": LINE, "scope": "fields|whole"}
KNOWN = {"size": COUNT, "root": HEX, "note": HEX}
# Types that change keys, roles and what else authority rests on, with the form of their bodies.
AUTHORITY = {
    "ledger.created.v1": {"ledgerid": HEX32, "origin": LINE, "vkey": LINE, "roots": [LINE, 1, 16], "threshold": (1, 16),
                          "rules": RULES},
    "ledger.entry_acknowledged.v1": {"index": NUMBER, "leaf_hash": HEX, "reason": TEXT},
    "ledger.rules_changed.v1": {"rules": RULES, "reason": TEXT},
    "ledger.roots_changed.v1": {"roots": [LINE, 1, 15], "threshold": (1, 15), "reason": TEXT},
    "ledger.checkpoint_key_changed.v1": {"vkey": LINE, "dual?": bool, "reason": TEXT},
    "ledger.restored.v1": {"size": COUNT, "root": HEX, "known": KNOWN, "lost_from": COUNT, "lost_to": COUNT,
                           "reason": TEXT},
    "actor.enrolled.v1": {"kind": "person|service", "person~": ACTOR, "responsible~": ACTOR, "roles": [ROLE, 0, 9],
                          "key": LINE},
    "actor.revoked.v1": {"reason": TEXT},
    "actor.offboarded.v1": {"successor~": ACTOR, "reason": TEXT},
    "actor.responsible_changed.v1": {"responsible": ACTOR, "reason": TEXT},
    "key.enrolled.v1": {"key": LINE},
    "key.rotated.v1": {"keyid": HEX, "key": LINE, "until": NUMBER, "reason~": TEXT},
    "key.revoked.v1": {"keyid": HEX, "reason": TEXT},
    "key.compromised.v1": {"keyid": HEX, "since": NUMBER, "reason": TEXT},
    "role.granted.v1": {"role": ROLE, "types?": [TYPE_PATTERN, 0, 32], "subjects?": [PATTERN, 0, 32],
                        "environments?": [ENVIRONMENT, 0, 32], "until~": TIME_FORM, "reason~": TEXT},
    "role.revoked.v1": {"role": ROLE, "grant~": UUID, "reason": TEXT},
    "entry.reaffirmed.v1": {"index": NUMBER, "leaf_hash": HEX, "reason": TEXT},
    "approval.delegated.v1": {"until": TIME_FORM, "types?": [TYPE_PATTERN, 0, 32], "subjects?": [PATTERN, 0, 32],
                              "environments?": [ENVIRONMENT, 0, 32], "reason": TEXT},
    "subject.erased.v1": {"subject": NAME, "basis": TITLE, "reason": TEXT, "data_keys?": ["[A-Za-z0-9_-]{22}", 0, 256],
                          "entries?": [ERASED, 0, 256]},
    "hold.placed.v1": {"subjects": [PATTERN, 1, 32], "matter": TITLE, "reason": TEXT, "custodian~": LINE,
                       "authority~": LINE},
    "hold.released.v1": {"hold": UUID, "reason": TEXT},
}  # fmt: skip
SOURCE, SHORT = f"urn:muniment:{ACTOR}", ".{1,255}"
# What an author signs, around the body; other attributes are left alone.
PAYLOAD = {
    "specversion": r"1\.0", "datacontenttype?": "application/json", "data": {"...": True}, "dataschema": SHORT,
    "type": r"(?=.{1,255}\Z)muniment\.[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\.v[1-9][0-9]{0,3}", "subject": NAME,
    "sequence": "[0-9]{19}", "evidencestrength?": "observed|asserted|imported|backfilled", "nonce": HEX32, "id": UUID,
    "source": SOURCE, "onbehalfof?": SOURCE, "emitter": UUID, "ledgerid": HEX32, "correlationid?": SHORT,
    "causationid?": SHORT, "time": r"[0-9]{4}-[0-9][0-9]-[0-9][0-9]T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z",
}  # fmt: skip
# Every body may name things too.
REFS = [{"role": LINE, "subject": NAME, "digest~": DIGEST, "...": True}, 0, 256]
# What rules may stop, and in which states: never in one from which nothing else leads on.
BESIDE, GRANTED = {"quarantined", "retired"}, {"conditions open", "approval upcoming"}
FELL = {"changes requested", "rejected", "suspended", "approval expired"}
ELSEWHERE = BESIDE | GRANTED | FELL | {
    "registered", "evaluated", "approval pending", "deploy authorised", "canary", "live", "rolled back",
}  # fmt: skip
STOPPABLE = {
    "approval.requested": BESIDE | GRANTED | {"registered", "approval pending", "approved"},
    "approval.granted": BESIDE | GRANTED | FELL | {"approved"},
    "deployment.requested": ELSEWHERE, "deployment.authorised": ELSEWHERE,
    "waiver.requested": BESIDE | FELL | {"registered"}, "waiver.granted": BESIDE | FELL | {"registered"},
}  # fmt: skip
TIERS = {"*", "low", "medium", "high"}
# What can take the last admin away.
TAKING = {"actor.offboarded.v1", "actor.responsible_changed.v1", "actor.revoked.v1", "key.compromised.v1",
          "key.revoked.v1", "role.revoked.v1"}  # fmt: skip
MAX_GRANTS = 64
# Types whose body names the environment they are about, or may.
PLACED = {"approval.requested.v1", "approval.granted.v1", "approval.rejected.v1", "approval.revoked.v1",
          "approval.condition_met.v1", "approval.changes_requested.v1", "approval.escalated.v1",
          "gate.evaluated.v1", "waiver.requested.v1", "waiver.granted.v1", "waiver.denied.v1",
          "waiver.revoked.v1", "version.demoted.v1", "version.promoted.v1"}  # fmt: skip
# Points of small order, sign bit cleared: under such a key one signature fits every message.
SMALL_ORDER = {bytes.fromhex(text) for text in (
    "00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f", "ee" + "ff" * 30 + "7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")}  # fmt: skip
# Types that only the root keys sign.
ROOTED = {"ledger.created.v1", "ledger.roots_changed.v1", "ledger.checkpoint_key_changed.v1", "ledger.restored.v1",
          "ledger.rules_changed.v1"}  # fmt: skip
# Types whose content may be missing once a record says that it was erased.
WITHHOLDABLE = {
    "access.denied.v1", "external.observed.v1", "incident.action_item_completed.v1",
    "incident.action_item_created.v1", "incident.action_item_verified.v1",
    "incident.contributing_factor_recorded.v1", "incident.mitigated.v1", "incident.noted.v1", "incident.resolved.v1",
    "incident.root_cause_recorded.v1", "labels.arrived.v1", "monitor.signal.v1", "monitor.window.v1",
}  # fmt: skip


class Bad(Exception):  # noqa: N818 - it is a finding, not an error of this program
    """Something is wrong: the class of the fault, words, and the entry, when it is one."""

    def __init__(self, fault, words, index=None):
        super().__init__(words)
        self.fault, self.index = fault, index


def need(condition, fault, words, index=None):
    """Go on only if a condition holds."""
    if not condition:
        raise Bad(fault, words, index)


def sha256(data):
    """SHA-256."""
    return hashlib.sha256(data).digest()


def unique(pairs):
    """An object whose names are all different."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def refuse(text):
    """No NaN, no Infinity."""
    raise ValueError(text)


def number(text):
    """A number that every reader keeps exactly, spelt as ECMAScript spells it."""
    exact = float(text) if set(text) & set(".eE") else int(text)
    short = decimal.Decimal(repr(exact or 0))
    small = exact == 0 or 1e-6 <= abs(exact) < 1e21
    wanted = format(short, "f").removesuffix(".0") if small else format(short, "e")
    if wanted != text or (type(exact) is int and abs(exact) >= 2**53):
        raise ValueError(f"the number {text[:40]} is too large, or to be spelt otherwise")
    return exact


def depth(value):
    """How many arrays and objects lie in each other."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def read_json(data, fault, *, canonical):
    """Strict JSON; with ``canonical``, only if writing it again gives the same bytes."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_int=number, parse_float=number,
                           parse_constant=refuse)  # fmt: skip
        same = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        strict = depth(value) <= 32 and data.strip(b" \t\n\r") == data
    except (ValueError, RecursionError) as error:
        raise Bad(fault, f"not strict JSON: {error}") from None
    need(strict, fault, "not strict JSON: nested too deep, or with white space around it")
    need(isinstance(value, dict) and (not canonical or same == data), fault, "not a JSON object in its only form")
    return value


def b64(text, fault, length=None):
    """Padded standard base64 in its only form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise Bad(fault, "not base64") from None
    need(base64.b64encode(data).decode() == text and length in (None, len(data)), fault, "not base64 of that length")
    return data


def public_key(text):
    """The 32 bytes of ``ed25519:<base64>``."""
    need(isinstance(text, str) and text.startswith("ed25519:"), "schema", "not an Ed25519 key")
    raw = b64(text.removeprefix("ed25519:"), "schema", 32)
    need(raw[:-1] + bytes([raw[-1] & 0x7F]) not in SMALL_ORDER, "schema", "a key under which one signature fits all")
    return raw


def read_vkey(vkey, fault):
    """Name, key ID and key of a verifier key of a log's heads."""
    match = re.fullmatch(r"([^+\s]+)\+([0-9a-f]{8})\+(\S+)", str(vkey))
    need(match, fault, f"{vkey!r} is not a verifier key")
    blob = b64(match[3], fault, 33)
    identity = sha256(match[1].encode() + b"\n" + blob)[:4]
    need(blob[0] == 1 and identity.hex() == match[2], fault, f"{vkey!r} is not a key that signs heads")
    return match[1], identity, public_key("ed25519:" + base64.b64encode(blob[1:]).decode())


def is_time(text):
    """Whether a text in the form of a time names one, and none before 1970."""
    try:
        return datetime.datetime(*map(int, re.split("[-T:]", text[:19]))).year >= 1970  # noqa: DTZ001 - only its form
    except ValueError:
        return False


def is_of(form, value):
    """Whether a value has a form: see `LINE`. In an object, ``name?`` may be left out, ``name~`` also be null."""
    if isinstance(form, str):
        return type(value) is str and re.fullmatch(form, value) is not None and (form != TIME_FORM or is_time(value))
    if isinstance(form, tuple):
        return type(value) is int and form[0] <= value <= form[1]
    if isinstance(form, list):
        return type(value) is list and form[1] <= len(value) <= form[2] and all(is_of(form[0], one) for one in value)
    if not isinstance(form, dict):
        return type(value) is form
    names = {name.rstrip("?~"): name for name in form if name != "..."}
    return (type(value) is dict and (set(value) <= set(names) or "..." in form)
            and all(name in value or mark[-1] in "?~" for name, mark in names.items())
            and all(is_of(form[mark], value[name]) or (mark[-1] == "~" and value[name] is None)
                    for name, mark in names.items() if name in value))  # fmt: skip


def signed_by(raw, signature, message):
    """Whether an Ed25519 signature verifies."""
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# -- the file -------------------------------------------------------------------------------------


class Lines:
    """The lines of a bundle (FORMAT 23)."""

    def __init__(self, file):
        self.file, self.digest, self.read, self.number = file, hashlib.sha256(), 0, 0
        self.next()

    def next(self):
        """Go to the next line; the last one holds the digest of all before."""
        raw = self.raw = self.file.readline(MAX_LINE + 1)
        self.read, self.number = self.read + len(raw), self.number + 1
        where = f"line {self.number}"
        need(self.read <= MAX_BUNDLE and len(raw) <= MAX_LINE, "bundle", f"{where} makes it too large")
        need(raw.endswith(b"\n"), "bundle", f"{where}: the file ends too early")
        self.value = read_json(raw[:-1], "bundle", canonical=True)
        if set(self.value) == {"sha256"}:
            need(self.value["sha256"] == self.digest.hexdigest(), "bundle", "it was damaged on the way: other digest")
            need(not self.file.read(1), "bundle", "something follows the last line")
        self.digest.update(raw)

    def take(self, *names):
        """Whether this line has exactly these members."""
        return set(self.value) == set(names)


def parse_head(note):
    """A checkpoint: text, origin, size, root and signature lines (FORMAT 11)."""
    need(isinstance(note, str) and len(note.encode()) <= 65_536, "bundle", "the checkpoint is too long")
    text, empty, rest = note.partition("\n\n")
    parts = text.split("\n")
    need(empty and len(parts) == 3 and note.count("\n\n") == 1, "bundle", "not a checkpoint")
    need(re.fullmatch(r"[!-*,-~]{1,255}", parts[0]), "bundle", "not an origin")
    need(re.fullmatch(r"0|[1-9][0-9]{0,18}", parts[1]), "bundle", "not a size")
    lines = []
    need(rest.endswith("\n") and 1 <= rest.count("\n") <= 16, "bundle", "1 to 16 signature lines end a checkpoint")
    for line in rest[:-1].split("\n"):
        match = re.fullmatch("\u2014 ([^\\s+\x00-\x1f\x7f]{1,255}) (\\S+)", line)
        need(match, "bundle", "not a signature line")
        blob = b64(match[2], "bundle")
        need(len(blob) > 4, "bundle", "not a signature line")
        lines.append((match[1], blob[:4], blob[4:]))
    return text + "\n", parts[0], int(parts[1]), b64(parts[2], "bundle", 32), lines


def signs_head(vkey, head):
    """Whether a verifier key, as text, signed a head; every line that claims to be by it must verify."""
    origin, identity, raw = read_vkey(vkey, "checkpoint")
    lines = [signature for name, key_id, signature in head[4] if (name, key_id) == (origin, identity)]
    good = [len(signature) == 64 and signed_by(raw, signature, head[0].encode()) for signature in lines]
    return origin == head[1] and bool(good) and all(good)


def parse_entry(text):
    """An entry in its only form (FORMAT 8)."""
    need(isinstance(text, str) and len(text) <= 4096, "bundle", "the entry is too long")
    entry = read_json(text.encode(), "bundle", canonical=True)
    need(list(entry) == MEMBERS and entry["v"] == 1 and entry["item"] == 0, "bundle", "not an entry of version 1")
    for name, value in entry.items():
        if name == "keys":
            good = isinstance(value, list) and 1 <= len(value) <= 16 and all(type(key) is str for key in value)
            good = good and value == sorted(set(value)) and all(re.fullmatch("[0-9a-f]{64}", key) for key in value)
        elif name in INTEGERS:
            good = type(value) is int and 0 <= value < 2**53
        else:
            good = type(value) is str and re.fullmatch("[ -~]{1,255}", value)
        need(good, "bundle", f"{name} of the entry is malformed")
    for name in ("envelope", "payload", "prev"):
        need(re.fullmatch("[0-9a-f]{64}", entry[name]), "bundle", f"{name} of the entry is malformed")
    need(re.fullmatch("[0-9a-f]{32}", entry["ledgerid"]), "bundle", "ledgerid of the entry is malformed")
    need(is_of(TIME_FORM, entry["recorded_at"]), "bundle", "recorded_at of the entry is malformed")
    return entry


def open_envelope(text, entry):
    """The signed payload and signatures of an entry, against its digests and header (FORMAT 6, 7, 8)."""
    need(isinstance(text, str) and len(text.encode()) <= 98_304, "bundle", "the envelope is too long")
    raw = text.encode()
    envelope = read_json(raw, "bundle", canonical=True)
    signatures = envelope.get("signatures")
    need(set(envelope) == {"payload", "payloadType", "signatures"} and isinstance(signatures, list)
         and envelope["payloadType"] == "application/cloudevents+json", "bundle", "not an envelope")  # fmt: skip
    payload = b64(envelope["payload"], "bundle")
    need(len(payload) <= 65_536, "bundle", "the payload is too long")
    need(sha256(payload).hex() == entry["payload"], "payload", "the payload is not the one recorded")
    need(sha256(raw).hex() == entry["envelope"], "signature", "the signatures are not the ones recorded")
    need(all(isinstance(s, dict) and set(s) == {"keyid", "sig"} for s in signatures), "signature", "not signatures")
    keyids = [signature["keyid"] for signature in signatures]
    event = read_json(payload, "schema", canonical=False)
    for name in {mark.rstrip("?") for mark in PAYLOAD} | set(event):
        form = PAYLOAD.get(name) or PAYLOAD.get(f"{name}?")
        good = is_of(form, event[name]) if form and name in event else form is None or f"{name}?" in PAYLOAD
        good = good and (form is None or str(event.get(name)).isprintable() or name == "data")
        need(good and re.fullmatch("[a-z0-9]{1,20}", name), "schema", f"the attribute {name!a} is malformed")
    good = is_time(event["time"]) and event["dataschema"] == f"urn:muniment:schema:{event['type']}"
    need(good and 1 <= int(event["sequence"]) < 2**53, "schema", "not an event: time, dataschema or sequence")
    header = {"actor": event["source"].removeprefix("urn:muniment:"), "sequence": int(event["sequence"]),
              "stream": event["subject"].partition("@")[0], "keys": keyids,
              **{name: event[name] for name in ("emitter", "id", "ledgerid", "subject", "type")}}  # fmt: skip
    for name, value in header.items():
        need(entry[name] == value, "header", f"the header says {name} {entry[name]!r}, the signed payload {value!r}")
    pae = b"DSSEv1 28 application/cloudevents+json %d %s" % (len(payload), payload)
    return event, pae, {s["keyid"]: b64(s["sig"], "signature", 64) for s in signatures}


def add_leaf(peaks, leaf):
    """One more leaf under the peaks of a tree (RFC 9162 2.1.1)."""
    peaks.append((0, leaf))
    while len(peaks) > 1 and peaks[-1][0] == peaks[-2][0]:
        (level, left), (_, right) = peaks[-2:]
        peaks[-2:] = [(level + 1, sha256(b"\x01" + left + right))]


def root_of(peaks):
    """Root hash of a tree."""
    root = peaks[-1][1]
    for _, left in reversed(peaks[:-1]):
        root = sha256(b"\x01" + left + root)
    return root


def tree_root(leaves):
    """Root hash over leaf hashes."""
    peaks = []
    for leaf in leaves:
        add_leaf(peaks, leaf)
    return root_of(peaks)


# -- keys and roles by index (FORMAT 18) -----------------------------------------------------------


class Keyring:
    """Who may sign what, from the entries before."""

    def __init__(self):
        self.roots, self.threshold, self.former_roots = {}, 0, set()
        self.actors, self.used = {}, set()
        self.vkeys, self.origin = [], ""  # (smallest size, vkey)
        self.acknowledged, self.records, self.leaves = set(), {}, {}
        self.holds, self.erased = [], {}  # (id, patterns); record by index and stream

    def judge(self, record, body, pae, signatures):
        """Take an entry in, unless it is void."""
        kind, index = record["type"], record["index"]
        form = AUTHORITY.get(kind)
        need(not form or is_of({**form, "refs?": REFS}, body), "schema", f"its body is not that of {kind}")
        need((kind == "ledger.created.v1") == (index == 0), "legality", "ledger.created is entry 0, and only that")
        self.check_signatures(record, body, pae, signatures)
        need(record["behalf"] is None or record["behalf"] in self.actors, "key", "it was done for nobody enrolled")
        self.check_roles(record, body)
        if form:
            self.check_place(record, body)
            name, kept = record["stream"][6:], None
            if kind in TAKING and self.lasting_admins():
                kept = copy.deepcopy(self.actors[name])
            self.apply(record, body)
            if kept and not self.lasting_admins():
                self.actors[name] = kept
                raise Bad("legality", "it would leave the ledger without an admin who can sign")
        self.records[index] = record

    def doubted(self, record):
        """Whether an entry is suspect, as of now: nobody in good standing signed it.

        All entries that bear on it are taken to be so until something shows that one is not; what rests on that one is
        then looked at again. So entries that speak for each other in a circle stay suspect, and no maze of them takes
        long.
        """
        suspect, resting, due = {}, {}, []

        def ask(by, asking=None):
            if by["actor"] == "root" or by["actor"] not in self.actors:
                return False
            index = by["index"]
            if index not in suspect:
                suspect[index], resting[index] = True, {}
                due.append(by)
            if asking:
                resting[index][asking["index"]] = asking
            return suspect[index]

        ask(record)
        while due:
            one = due.pop()
            if suspect[one["index"]] and not self.looks_bad(one, lambda by, one=one: ask(by, one)):
                suspect[one["index"]] = False
                due += resting[one["index"]].values()
        return suspect.get(record["index"], False)

    def looks_bad(self, record, ask):
        """Whether an entry is suspect, when ``ask`` tells this of the entries it rests on."""
        actor = self.actors[record["actor"]]
        said = actor["reaffirmed"].get(record["index"])
        if said and not ask(said):
            return False
        own = [actor["keys"][k] for k in record["keys"] if k in actor["keys"]]
        own = [key for key in own if key["by"]["index"] < record["index"]]
        if ask(actor["by"]) or (own and not any(self.key_stands(actor, key, record["index"], ask) for key in own)):
            return True
        roles = ROLES.get(record["type"])
        grants = [g for g in actor["grants"] if roles and g["role"] in roles and covers(g, record)]
        return bool(grants) and all(g["by"] is not actor["by"] and ask(g["by"]) for g in grants)

    def key_stands(self, actor, key, index, ask=None):
        """Whether a key was in its owner's hands at an index, and brought in by an entry that counts."""
        stolen = key["compromised"] is not None and key["compromised"] <= index
        return not stolen and (key["by"] is actor["by"] or not (ask or self.doubted)(key["by"]))

    def first_doubt(self, actor):
        """First index at which an entry of an actor may be suspect; beyond every index when none is."""
        keys, enrolled = actor["keys"].values(), actor["by"]
        doubts = [key["compromised"] for key in keys if key["compromised"] is not None]
        doubts += [enrolled["index"] + 1] if self.doubted(enrolled) else []
        brought = [one["by"] for one in (*keys, *actor["grants"]) if one["by"] is not enrolled]
        return min(doubts + [by["index"] for by in brought if self.doubted(by)], default=2**63)

    def present(self, name):
        """An actor who is enrolled, has not left and counts."""
        actor = self.actors.get(name)
        return actor if actor and actor["left"] is None and not self.doubted(actor["by"]) else None

    def answered(self, actor):
        """Whether an enrolled person stands behind an actor."""
        return self.named_well(actor) and self.present(actor["person"]) is not None

    def named_well(self, actor):
        """Whether nobody with a stolen key named the person who answers for an actor."""
        return actor["assigned"] is None or not self.doubted(actor["assigned"])

    def has_role(self, record, roles):
        """Whether the author holds a grant of one of the roles that covers the entry."""
        actor = self.actors[record["actor"]]
        # What is handed on has bounds of its own, which are compared with those of the role.
        good = stands if record["type"] == "approval.delegated.v1" else covers
        return any(g["role"] in roles and good(g, record) and not self.doubted(g["by"]) for g in actor["grants"])

    def check_signatures(self, record, body, pae, signatures):
        """Every signature is by a key that may sign here, and enough of them."""
        index, kind = record["index"], record["type"]
        new = {}
        if kind in ("actor.enrolled.v1", "key.enrolled.v1", "key.rotated.v1"):
            new = [public_key(body["key"])]
        elif kind == "ledger.roots_changed.v1":
            new = [raw for raw in map(public_key, body["roots"]) if sha256(raw).hex() not in self.roots]
        elif kind == "ledger.checkpoint_key_changed.v1":
            new = [read_vkey(body["vkey"], "schema")[2]]
        new = {sha256(raw).hex(): raw for raw in new}
        if record["actor"] == "root":
            found = kind == "ledger.created.v1" and index == 0
            own = {sha256(r).hex(): r for r in map(public_key, body["roots"])} if found else self.roots
            threshold = body["threshold"] if found else self.threshold
        else:
            actor, threshold = self.present(record["actor"]), 1
            need(actor, "key", f"the actor {record['actor']!r} is not enrolled, has left or counts no more")
            own = {k: key["raw"] for k, key in actor["keys"].items()
                   if key["by"]["index"] < index and (key["end"] is None or index < key["end"])
                   and self.key_stands(actor, key, index)}  # fmt: skip
        need(set(signatures) <= set(own) | set(new), "key", "a key that signed it is not enrolled for its author here")
        need(len(set(signatures) & set(own)) >= threshold, "key", f"it needs {threshold} signatures of its author")
        need(set(new) <= set(signatures), "key", "a new key did not sign (possession)")
        for keyid, signature in signatures.items():
            need(signed_by((own | new)[keyid], signature, pae), "signature", f"a signature by {keyid} does not verify")

    def check_roles(self, record, body):
        """Roles of facts and decisions; who may change keys and roles."""
        kind, author, stream = record["type"], record["actor"], record["stream"]
        family = kind.partition(".")[0]
        if stream.startswith(("actor:", "ledger:")) and kind not in AUTHORITY:
            raise Bad("legality", f"{kind} may not be about {stream}, or is newer than this program")
        if kind in AUTHORITY:
            mine = f"ledger:{record['ledgerid']}" if family in ("ledger", "subject", "hold") else "actor:"
            good = stream == mine or (mine == "actor:" and stream.startswith(mine) and "/" not in stream)
            need(good and record["subject"] == stream, "schema", "it is about another thing")
        if author == "root":
            return
        actor = self.actors[author]
        own = stream == f"actor:{author}"
        giving_up = own and kind in ("key.revoked.v1", "key.compromised.v1", "actor.revoked.v1")
        if kind in DECISIONS or kind in AUTHORITY:
            need(giving_up or self.answered(actor), "legality", f"nobody answers for {author!r}")
        if kind not in AUTHORITY or family in ("subject", "hold", "approval"):
            good = kind not in ROLES or self.has_role(record, ROLES[kind])
            need(good, "legality", f"{author!r} lacks the role for {kind}")
        elif not (giving_up or self.is_own_business(record, body, actor, own=own)):
            self.check_admin(record, body, actor)

    def is_own_business(self, record, body, actor, *, own):
        """What takes no admin: rotating with the old key, giving up a role, saying that one's own entry is genuine."""
        target = self.actors.get(record["stream"][6:], {})
        if record["type"] == "entry.reaffirmed.v1":
            person = target.get("kind") == "service" and actor["kind"] == "person"
            return own or (person and actor["person"] == target["person"] and self.named_well(target))
        if not own:
            return False
        return record["type"] == "role.revoked.v1" or (
            record["type"] == "key.rotated.v1" and body.get("keyid") in record["keys"])  # fmt: skip

    def check_admin(self, record, body, admin):
        """An admin, not for their own person, and nothing that takes the root keys."""
        kind, target = record["type"], self.actors.get(record["stream"][6:])
        need(self.has_role(record, ("admin",)), "legality", f"{kind} needs the role admin or the root keys")
        need(kind not in ROOTED, "legality", f"{kind} needs the root keys")
        if kind == "ledger.entry_acknowledged.v1":
            return
        gives_admin = "admin" in body.get("roles", ()) or body.get("role") == "admin"
        of_admin = target and any(g["role"] == "admin" and g["end"] is None for g in target["grants"])
        free = ("role.granted.v1", "role.revoked.v1", "entry.reaffirmed.v1")
        good = not gives_admin and (kind in free or not of_admin)
        need(good, "legality", f"{kind} of an admin needs the root keys")
        if kind == "actor.enrolled.v1":
            person = body.get("person") or record["stream"][6:] if body.get("kind") == "person" else None
        else:
            person = target and target["kind"] == "person" and target["person"]
            if kind in ("key.revoked.v1", "key.compromised.v1", "actor.revoked.v1", "actor.responsible_changed.v1"):
                person = None
            if kind == "entry.reaffirmed.v1":
                person = target and target["person"]
        need(person != admin["person"], "legality", "an admin may not do this for their own person")
        persons, roles = target["persons"] if target else set(), standing_roles(target)
        if kind in ("actor.enrolled.v1", "actor.responsible_changed.v1"):
            persons = {person or body.get("responsible")}
        if kind in ("actor.enrolled.v1", "role.granted.v1"):
            roles = set(body.get("roles", [body.get("role")]))
        gives = kind in ("actor.enrolled.v1", "actor.responsible_changed.v1", "role.granted.v1", "key.enrolled.v1",
                         "key.rotated.v1")  # fmt: skip
        need(not gives or not admin["persons"] & persons or roles <= {"emitter"}, "legality",
             "an admin may not give a say to a service of their own person")  # fmt: skip

    def check_delegation(self, record, body, author, target):
        """An approver lets another person approve, within its own role and not what was handed on to it."""
        need(body["until"] > record["recorded_at"], "schema", "it would have ended before it was recorded")
        good = target["kind"] == "person" and target["person"] != author["person"]
        own = [g for g in author["grants"] if g["role"] == "approver" and not g.get("delegated") and stands(g, record)]
        lasting = [g for g in own if g["until"] is None or body["until"] <= g["until"]]
        wide = [g for g in lasting if reaches_no_further(body, g) and not self.doubted(g["by"])]
        need(good and wide, "legality", "it may not hand that on")

    def check_place(self, record, body):
        """That what a change names is there, and that what it brings is new."""
        kind = record["type"]
        if "key" in body:
            used = self.used | set(self.roots) | self.former_roots | set(self.head_keys())
            need(sha256(public_key(body["key"])).hex() not in used, "legality", "the key is, or was, in use")
        if not record["stream"].startswith("actor:"):
            self.check_ledger(record, body)
        elif kind == "actor.enrolled.v1":
            self.check_enrolment(record["stream"][6:], body)
        else:
            self.check_actor(record, body)

    def head_keys(self):
        """Every key that ever signed heads, with its key ID."""
        return {sha256(raw).hex(): identity for _, identity, raw in (read_vkey(v, "schema") for _, v in self.vkeys)}

    def check_ledger(self, record, body):
        """What is said of the ledger itself."""
        kind, index = record["type"], record["index"]
        match kind:
            case "ledger.created.v1":
                mine = record["actor"] == "root" and body["ledgerid"] == record["ledgerid"]
                need(mine, "schema", "entry 0 is about another ledger")
            case "ledger.entry_acknowledged.v1":
                need(body["index"] < index, "schema", "it acknowledges an entry that is not there yet")
                good = self.leaves[body["index"]] == body["leaf_hash"]
                need(good, "legality", "that entry is not the one its author saw")
            case "ledger.roots_changed.v1":
                keys = {sha256(public_key(text)).hex() for text in body["roots"]}
                need(len(keys) == len(body["roots"]) >= body["threshold"], "schema", "not enough root keys")
                same = keys == set(self.roots) and body["threshold"] == self.threshold
                need(not same, "legality", "these root keys are in force already")
                used = self.used | self.former_roots | set(self.head_keys())
                need(not keys & used, "legality", "a root key is used, or was replaced")
            case "ledger.checkpoint_key_changed.v1":
                name, identity, raw = read_vkey(body["vkey"], "schema")
                need(name == self.origin, "schema", "the key is not one of this log")
                known, keyid = self.head_keys(), sha256(raw).hex()
                used = self.used | set(self.roots) | self.former_roots | set(known)
                need(keyid not in used and identity not in known.values(), "legality", "the key is, or was, in use")
            case "ledger.rules_changed.v1":
                self.check_rules(body["rules"])
            case "ledger.restored.v1":
                need(body["size"] <= index, "schema", "it goes on from more entries than there are")
                root = tree_root(bytes.fromhex(self.leaves[n]) for n in range(body["size"]))
                need(root.hex() == body["root"], "schema", "the root it gives is another one")
                need(body["lost_from"] <= body["size"] and body["lost_from"] < body["lost_to"] == body["known"]["size"],
                     "schema", "what it calls lost does not lie between the copy and the known head")  # fmt: skip
            case "hold.released.v1":
                need(any(one == body["hold"] for one, _ in self.holds), "legality", "no such hold stands")
            case "subject.erased.v1":
                self.check_erasure(record, body)

    def check_rules(self, rules):
        """Rules name decisions, states, tiers and policies that there are, and ask for nothing that nobody needs."""
        rows = [*rules["rules"], *(rules.get("waivers") or [])]
        need(all(row["tier"] in TIERS for row in rows), "schema", "a row names no tier")
        asks = [r.get("approvals") or r.get("evaluation") or r.get("roles") or r.get("gate") for r in rules["rules"]]
        idle = any(more and not r["authorisation"] for r, more in zip(rules["rules"], asks, strict=True))
        need(not idle, "schema", "a rule asks for something, and for no authorisation")
        stops = rules.get("stops") or []
        good = all(set(s["states"]) <= STOPPABLE.get(s["decision"], set()) for s in stops)
        need(good, "schema", "it stops nothing, or for ever")
        gates = [rule["gate"] for rule in rules["rules"] if rule.get("gate") is not None]
        good = all(is_of(NAME, gate) and gate.startswith("policy:") and "@" in gate for gate in gates)
        need(good, "schema", "a rule names no version of a policy")
        pinned = all((r.get("gate") is None) == (r.get("gate_digest") is None) for r in rules["rules"])
        need(pinned, "schema", "a rule names a policy without its digest")

    def check_erasure(self, record, body):
        """What is said to be erased is there, and no legal hold covers it."""
        items = body.get("entries", [])
        need(all(i["index"] < record["index"] for i in items), "schema", "it names an entry that is not there yet")
        good = all(i["leaf_hash"] == self.leaves[i["index"]] for i in items)
        need(good, "legality", "it names an entry with a leaf hash that is not its own")
        streams = [body["subject"].partition("@")[0], *(item["stream"] for item in items)]
        held = any(fits(pattern, s) for _, patterns in self.holds for pattern in patterns for s in streams)
        need(not held, "legality", "a legal hold covers what it erases")

    def check_enrolment(self, name, body):
        """An actor is new, and an enrolled person stands behind it."""
        good = re.fullmatch(ACTOR, name) and name not in ("root", "checkpoint")
        need(good, "schema", f"{name!r} is no actor id, or reserved")
        need(name not in self.actors, "legality", f"{name!r} is enrolled already")
        need(body["kind"] == "person" or body.get("responsible"), "schema", "a service needs a responsible person")
        second = body.get("responsible" if body["kind"] == "person" else "person")
        need(second is None, "schema", "it names a second person behind it")
        person = person_of(name, body)
        need(person == name or self.is_person(person), "schema", "no enrolled person stands behind it")

    def check_actor(self, record, body):
        """What is said of an actor who is enrolled."""
        kind, index, name = record["type"], record["index"], record["stream"][6:]
        need(name in self.actors, "legality", f"{name!r} is not enrolled")
        actor = self.actors[name]
        needs_key = ("key.rotated.v1", "key.revoked.v1", "key.compromised.v1")
        key = actor["keys"].get(body["keyid"]) if kind in needs_key else None
        need(key or kind not in needs_key, "schema", f"{name!r} has no such key")
        lasting = ("key.enrolled.v1", "key.compromised.v1", "entry.reaffirmed.v1")
        need(kind in lasting or actor["left"] is None, "legality", f"{name!r} has left")
        standing = [g for g in actor["grants"] if g["end"] is None]
        match kind:
            case "actor.responsible_changed.v1":
                good = actor["kind"] == "service" and self.is_person(body["responsible"])
                need(good, "schema", "no person answers for it")
                same = body["responsible"] == actor["person"] and self.named_well(actor)
                need(not same, "legality", "that person answers for it already")
            case "actor.offboarded.v1" if body.get("successor"):
                successor = self.present(body["successor"])
                good = successor and successor is not actor and (actor["kind"] == "service" or (
                    successor["kind"] == "person" and successor["person"] != actor["person"]))  # fmt: skip
                need(good, "schema", "that successor cannot follow")
            case "role.granted.v1":
                need(len(standing) < MAX_GRANTS, "legality", "it holds too many roles and grants")
            case "approval.delegated.v1":
                self.check_delegation(record, body, self.actors[record["actor"]], actor)
                need(len(standing) < MAX_GRANTS, "legality", "it holds too many roles and grants")
            case "role.revoked.v1":
                held = any(g["role"] == body["role"] and body.get("grant") in (None, g["by"]["id"]) for g in standing)
                need(held, "legality", "it does not have that role")
            case "key.rotated.v1":
                need(key["end"] is None, "legality", "the key was rotated or revoked before")
            case "key.revoked.v1":
                need(not key["revoked"], "legality", "the key is revoked already")
            case "key.compromised.v1":
                need(body["since"] <= index, "schema", "there is no such entry yet")
                known = key["compromised"]
                need(known is None or body["since"] < known, "legality", "that is known already")
            case "entry.reaffirmed.v1":
                about, said = self.leaves.get(body["index"]), actor["reaffirmed"].get(body["index"])
                need(about == body["leaf_hash"], "legality", "that entry is not the one its author saw")
                need(body["index"] >= self.first_doubt(actor), "legality", "that entry is not suspect")
                need(said is None or self.doubted(said), "legality", "that entry is reaffirmed already")

    def lasting_admins(self):
        """Whether some admin without bounds can sign: a ledger never goes without one."""
        return any(self.lasts(actor) for actor in self.actors.values())

    def lasts(self, actor):
        """Whether an actor is an admin who can sign, for ever."""
        grants = [g for g in actor["grants"] if g["role"] == "admin" and g["end"] is None and g["until"] is None
                  and not (g["types"] or g["subjects"] or g["environments"])]  # fmt: skip
        keys = [key for key in actor["keys"].values() if key["end"] is None]
        return (bool(grants) and actor["left"] is None and not self.doubted(actor["by"])
                and any(not self.doubted(g["by"]) for g in grants) and self.answered(actor)
                and any(self.key_stands(actor, key, -1) for key in keys))  # fmt: skip

    def is_person(self, name):
        """Whether a name is that of a person of its own who is here."""
        actor = self.present(name)
        return bool(actor) and actor["kind"] == "person" and actor["person"] == name

    def apply(self, record, body):  # noqa: C901, PLR0912 - a table
        """Take in an entry that stands."""
        kind, index, name = record["type"], record["index"], record["stream"][6:]
        actor = self.actors.get(name) if record["stream"].startswith("actor:") else None
        match kind:
            case "ledger.created.v1":
                self.origin, self.threshold, self.vkeys = body["origin"], body["threshold"], [(0, body["vkey"])]
                self.roots = {sha256(raw).hex(): raw for raw in map(public_key, body["roots"])}
            case "ledger.roots_changed.v1":
                keys = {sha256(raw).hex(): raw for raw in map(public_key, body["roots"])}
                self.former_roots |= set(self.roots) - set(keys)
                self.roots, self.threshold = keys, body["threshold"]
            case "ledger.checkpoint_key_changed.v1":
                self.vkeys.append((index + 1, body["vkey"]))
            case "ledger.entry_acknowledged.v1":
                self.acknowledged.add((body["index"], body["leaf_hash"]))
            case "actor.enrolled.v1":
                person = person_of(name, body)
                grants = [new_grant(record, role) for role in dict.fromkeys(body["roles"])]
                self.actors[name] = {
                    "kind": body["kind"], "person": person, "persons": {person}, "keys": {}, "by": record,
                    "grants": grants, "left": None, "reaffirmed": {}, "assigned": None,
                }  # fmt: skip
                self.add_key(self.actors[name], body["key"], record)
            case "key.enrolled.v1":
                self.add_key(actor, body["key"], record)
            case "key.rotated.v1":
                end_key(actor["keys"][body["keyid"]], max(body["until"], index + 1))
                self.add_key(actor, body["key"], record)
            case "key.revoked.v1":
                end_key(actor["keys"][body["keyid"]], index, revoked=True)
            case "key.compromised.v1":
                end_key(actor["keys"][body["keyid"]], index, revoked=True)
                actor["keys"][body["keyid"]]["compromised"] = body["since"]
            case "role.granted.v1":
                bounds = {part: body.get(part) or [] for part in ("types", "subjects", "environments")}
                actor["grants"].append({**new_grant(record, body["role"]), **bounds, "until": body.get("until")})
            case "approval.delegated.v1":
                bounds = {part: body.get(part) or [] for part in ("types", "subjects", "environments")}
                grant = {**new_grant(record, "approver"), **bounds, "until": body["until"], "delegated": True}
                actor["grants"].append(grant)
            case "role.revoked.v1":
                end_grants(actor, index, body["role"], body.get("grant"))
            case "hold.placed.v1":
                self.holds.append((record["id"], body["subjects"]))
            case "hold.released.v1":
                self.holds = [hold for hold in self.holds if hold[0] != body["hold"]]
            case "subject.erased.v1":
                for item in body.get("entries", []):
                    if item["scope"] == "whole":
                        self.erased.setdefault((item["index"], item["stream"]), record)
            case "actor.responsible_changed.v1":
                actor["person"], actor["assigned"] = body["responsible"], record
                actor["persons"].add(body["responsible"])
            case "entry.reaffirmed.v1":
                actor["reaffirmed"][body["index"]] = record
            case "actor.revoked.v1":
                actor["left"] = index
            case "actor.offboarded.v1":
                actor["left"] = index
                end_grants(actor, index)
                for key in actor["keys"].values():
                    end_key(key, index, revoked=True)

    def add_key(self, actor, text, record):
        """A key comes in."""
        raw = public_key(text)
        self.used.add(sha256(raw).hex())
        actor["keys"][sha256(raw).hex()] = {"raw": raw, "by": record, "end": None, "revoked": False,
                                                  "compromised": None}  # fmt: skip


def standing_roles(actor):
    """The roles an actor was given and that nobody took away."""
    return {g["role"] for g in actor["grants"] if g["end"] is None} if actor else set()


def person_of(name, body):
    """The person behind an actor, as its enrolment says."""
    return body.get("person") or name if body["kind"] == "person" else body.get("responsible")


def end_key(key, index, *, revoked=False):
    """A key may not sign from an index on."""
    key["revoked"] = key["revoked"] or revoked
    key["end"] = index if key["end"] is None else min(key["end"], index)


def new_grant(record, role):
    """A role without bounds."""
    return {"role": role, "by": record, "types": [], "subjects": [], "environments": [], "until": None, "end": None}


def end_grants(actor, index, role=None, grant=None):
    """Grants end behind an index."""
    for one in actor["grants"]:
        if one["end"] is None and role in (None, one["role"]) and grant in (None, one["by"]["id"]):
            one["end"] = index


def name_parts(name):
    """Kind, namespace (None when there is none) and part of a name or pattern."""
    kind, _, rest = name.partition(":")
    namespace, slash, part = rest.rpartition("/")
    return kind, namespace if slash else None, part


def stands_for(pattern, text):
    """Whether a pattern of one part of a name stands for a text; the leftmost place of each piece leaves most room."""
    first, *rest = map(re.escape, pattern.split("*"))
    form = first + "".join(f"(?>.*?{piece})" for piece in rest[:-1]) + "".join(f".*{piece}" for piece in rest[-1:])
    return re.fullmatch(form, text, re.DOTALL) is not None


def fits(pattern, stream):
    """Whether a pattern of a grant stands for a stream; a star never for a separator."""
    pairs = list(zip(name_parts(pattern), name_parts(stream), strict=True))
    return all((p is None) == (s is None) for p, s in pairs) and all(p is None or stands_for(p, s) for p, s in pairs)


def stands(grant, record):
    """Whether a grant had been given before an entry, and not taken away or ended."""
    given = grant["by"]["index"] < record["index"] and (grant["end"] is None or record["index"] <= grant["end"])
    return given and (grant["until"] is None or record["recorded_at"] < grant["until"])


def reaches_no_further(body, grant):
    """Whether bounds that are handed on are within those of a grant; only a star stands for a star."""
    types, subjects, places = (body.get(part) or [] for part in ("types", "subjects", "environments"))
    families = [name if name in grant["types"] else f"{name.partition('.')[0]}.*" for name in types]
    inside = [any(fits(pattern, one) for pattern in grant["subjects"]) for one in subjects]
    return ((not grant["types"] or (types and set(families) <= set(grant["types"])))
            and (not grant["subjects"] or (inside and all(inside)))
            and (not grant["environments"] or (places and set(places) <= set(grant["environments"]))))  # fmt: skip


def covers(grant, record):
    """Whether a grant covers an entry."""
    name = record["type"].rpartition(".")[0]
    family = f"{name.partition('.')[0]}.*"
    return (stands(grant, record) and (not grant["types"] or name in grant["types"] or family in grant["types"])
            and (not grant["subjects"] or any(fits(p, s) for p in grant["subjects"] for s in record["names"]))
            and (not grant["environments"] or record["environment"] in grant["environments"]))  # fmt: skip


def make_record(entry, event):
    """What the rules look at: the entry, and what its author signed."""
    kind, environment = entry["type"].removeprefix("muniment."), None
    if entry["stream"].startswith("deployment:"):
        environment = name_parts(entry["stream"])[1]
    elif kind in PLACED:
        environment = event["data"].get("environment")
    elif kind == "waiver.used.v1":
        environment = name_parts(str(event["data"].get("deployment")))[1]
    # A waiver is reached by a role for the model that it is for, too.
    model = event["data"].get("model") if kind.startswith("waiver.") else None
    names = [entry["stream"], *([model.partition("@")[0]] if isinstance(model, str) else [])]
    behalf = event.get("onbehalfof")
    behalf = None if behalf is None else behalf.removeprefix("urn:muniment:")
    return {**entry, "type": kind, "environment": environment, "names": names, "behalf": behalf}


# -- all of it ------------------------------------------------------------------------------------


class Check:
    """One verification."""

    def __init__(self):
        self.findings, self.voids, self.notes, self.contents, self.unknown = [], [], [], [], []
        self.keyring, self.bare, self.withheld = Keyring(), 0, []
        self.seen, self.revisions, self.records = set(), {}, []

    def run(self, file, vkeys, expected):
        """Check a bundle; raises `Bad` at what makes further reading pointless."""
        lines = Lines(file)
        ours = lines.take("checkpoint", "format", "selection") and lines.value["format"] == "muniment bundle v1"
        need(ours, "bundle",
             "this is no bundle, or one of another version of the format")  # fmt: skip
        self.head, self.selection = parse_head(lines.value["checkpoint"]), check_selection(lines.value["selection"])
        need(1 <= self.head[2] <= MAX_ENTRIES, "bundle", "too many entries, or none")
        lines.next()
        self.attested = 0
        while lines.take("attestation", "body", "issuer", "recorded_at", "size"):
            value = lines.value
            b64(value["body"], "bundle")
            need(value["size"] == self.head[2] and type(value["size"]) is type(value["recorded_at"]) is int
                 and isinstance(value["issuer"], str)
                 and value["attestation"] in ("cosignature", "rfc3161", "published"),
                 "bundle", "the attestation is malformed")  # fmt: skip
            self.attested += 1
            lines.next()
        expected = [parse_head(note) for note in expected]
        self.read_entries(lines)
        names = [""]
        while lines.take("schema", "type"):
            need(isinstance(lines.value["type"], str) and lines.value["type"] > names[-1], "bundle", "not a schema")
            names.append(lines.value["type"])
            known = SCHEMAS.get(names[-1].removeprefix("muniment."))
            if known is None:
                self.unknown.append(names[-1])
            elif known != sha256(lines.raw[:-1]).hex()[:32]:
                self.findings.append((None, "bundle", f"the schema of {names[-1]} is not the one that was published"))
            lines.next()
        need(lines.take("sha256"), "bundle", "the digest of the lines before was expected")
        roots = self.link({self.head[2]} | {head[2] for head in expected})
        need(roots[self.head[2]] == self.head[3], "checkpoint", "the entries do not give the root that was signed")
        self.judge()
        self.check_heads(vkeys, expected, roots)

    def read_entries(self, lines):
        """Every entry from 0 to the head, each in its form."""
        for index in range(self.head[2]):
            names = set(lines.value)
            good = names in ({"entry"}, {"entry", "envelope"}, {"entry", "withheld"})
            need(good and lines.value.get("withheld", True) is True, "bundle", f"entry {index} was expected")
            entry = parse_entry(lines.value["entry"])
            entry["leaf"] = sha256(b"\x00" + lines.value["entry"].encode()).hex()
            self.records.append((entry, lines.value.get("envelope"), "withheld" in names))
            lines.next()

    def link(self, sizes):
        """The chain, and the roots of these sizes (FORMAT 9)."""
        roots, peaks, prev, ledgerid = {}, [], "0" * 64, self.records[0][0]["ledgerid"]
        for index, (entry, _, _) in enumerate(self.records):
            place = (entry["index"], entry["prev"], entry["ledgerid"])
            need(place == (index, prev, ledgerid), "chain", "it does not follow the one before it", index)
            prev = entry["leaf"]
            add_leaf(peaks, bytes.fromhex(prev))
            if index + 1 in sizes:
                roots[index + 1] = root_of(peaks)
        return roots

    def judge(self):
        """Every entry in order: places and numbers, then what is signed, by keys as of then."""
        for entry, envelope, withheld in self.records:
            index, stream = entry["index"], entry["stream"]
            numbers = {
                (entry["actor"], entry["id"]): "header",
                (entry["actor"], entry["emitter"], entry["sequence"]): "sequence",
            }
            for number, fault in numbers.items():
                if number in self.seen:
                    self.findings.append((index, fault, "its id or number stands at an earlier entry too"))
                self.seen.add(number)
            if entry["revision"] != self.revisions.get(stream, 0) + 1:
                self.findings.append((index, "header", "its revision does not follow the one before"))
            self.revisions[stream] = entry["revision"]
            self.keyring.leaves[index - 1] = self.records[index - 1][0]["leaf"] if index else ""
            if envelope is None:
                self.absent(entry, withheld=withheld)
                continue
            self.contents.append(entry)
            try:
                self.judge_content(entry, envelope)
            except Bad as bad:
                content = str(bad) in (
                    "the payload is not the one recorded",
                    "the signatures are not the ones recorded",
                )
                (self.findings if content or bad.fault == "bundle" else self.voids).append((index, bad.fault, str(bad)))
            except (
                KeyError,
                TypeError,
                ValueError,
                AttributeError,
            ) as error:  # a body that is not as its type wants it
                self.voids.append((index, "schema", f"its body is malformed: {type(error).__name__} {error}"))

    def absent(self, entry, *, withheld):
        """An entry without content: a header, withheld, or missing."""
        index, items, stream = entry["index"], self.selection["items"], entry["stream"]
        if stream.startswith(("actor:", "ledger:")):
            self.findings.append((index, "payload", "its content is missing, and keys and roles rest on it"))
        elif withheld:
            self.withheld.append(entry)
        elif (self.selection["kind"] == "all" or (self.selection["kind"] == "indexes" and index in items)
              or (self.selection["kind"] == "subject" and items[0] in (entry["subject"], stream))):  # fmt: skip
            self.findings.append((index, "payload", "it belongs to the selection, and its content is missing"))
        else:
            self.bare += 1

    def judge_content(self, entry, envelope):
        """One content: digests, header, signatures, keys, roles."""
        event, pae, signatures = open_envelope(envelope, entry)
        self.keyring.judge(make_record(entry, event), event["data"], pae, signatures)

    def settle_withheld(self):
        """Missing content is excused by a valid record that it was erased, and by nothing else."""
        for entry in self.withheld:
            index, record = entry["index"], self.keyring.erased.get((entry["index"], entry["stream"]))
            if record is None or entry["type"].removeprefix("muniment.") not in WITHHOLDABLE:
                words = "its content is missing, and no record says that it was erased"
                self.findings.append((index, "payload", words))
            else:
                self.notes.append(f"withheld: entry {index}; its header is as labelled by the operator; "
                                  f"erased by {record['actor']} (entry {record['index']})")  # fmt: skip

    def check_heads(self, vkeys, expected, roots):
        """The head is signed by a key from outside, by the log's own key of that size, and fits heads from outside."""
        ring, size = self.keyring, self.head[2]
        need(ring.vkeys, "legality", "entry 0 does not found this ledger")
        need(ring.origin == self.head[1], "checkpoint", f"the head is of {self.head[1]}, and entry 0 of {ring.origin}")
        current = [vkey for since, vkey in ring.vkeys if since <= size][-1]
        need(signs_head(current, self.head), "checkpoint", "the key the log itself names did not sign this head")
        need(not vkeys or any(signs_head(v, self.head) for v in vkeys), "checkpoint", "no key given signed this head")
        for head in expected:
            signers = vkeys or [current]
            good = any(signs_head(vkey, head) for vkey in signers)
            need(good, "anchor", "the expected head is not signed by this log")
            need(head[1] == self.head[1], "anchor", "the expected head is of another log")
            if head[2] > size:
                self.notes.append(
                    f"the expected head is of size {head[2]}, and the bundle ends at {size}: not compared"
                )
            else:
                need(head[2] == 0 or roots[head[2]] == head[3], "anchor", f"its first {head[2]} entries are other ones")

    def close(self, vkeys):
        """Put findings and notes together; returns the verdict."""
        for index, fault, words in self.voids:
            if (index, self.records[index][0]["leaf"]) in self.keyring.acknowledged:
                self.notes.append(f"void entry {index}, acknowledged by an admin: {words}")
            else:
                self.findings.append((index, fault, f"it is void: {words}"))
        self.notes += [f"suspect: entry {record['index']}, by a key that was compromised or what it made possible"
                       for record in self.keyring.records.values() if self.keyring.doubted(record)]  # fmt: skip
        self.settle_withheld()
        if self.bare:
            self.notes.append(f"of {self.bare} entries only the header is here, as labelled by the operator")
        if self.unknown:
            self.notes.append(f"schemas of types not known here are not compared: {', '.join(self.unknown)}")
        self.notes.append("not checked: rules of decisions, bodies of facts and decisions, cosignatures, timestamps")
        if not vkeys:
            self.notes.append("NOT PINNED: no --vkey was given, so whoever made the file may have made the ledger too")
        self.findings.sort(key=lambda finding: (finding[0] is None, finding[0] or 0))
        return "bad" if self.findings else "verified" if vkeys else "unverified"


def check_selection(value):
    """What the bundle says it was asked for."""
    need(isinstance(value, dict) and set(value) == {"items", "kind"} and isinstance(value["items"], list)
         and value["kind"] in ("all", "digests", "indexes", "subject"), "bundle", "not a selection")  # fmt: skip
    kind, items = value["kind"], value["items"]
    need(all(type(item) is (int if kind == "indexes" else str) for item in items), "bundle", "not a selection")
    count = {"all": range(1), "subject": range(1, 2)}.get(kind, range(1, 1001))
    need(len(items) in count and sorted(set(items)) == items, "bundle", "not a selection")
    return value


def read_note(path):
    """A file with a signed head."""
    with open(path, encoding="utf-8", newline="") as file:  # noqa: PTH123
        return file.read(65_537)


def main(arguments=None):
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description="Check a Muniment bundle offline.")
    parser.add_argument("bundle", help="the file, or - for standard input")
    parser.add_argument("--vkey", action="append", default=[], help="the log's verifier key, from a source you trust")
    parser.add_argument("--expect", action="append", default=[], help="file with a signed head the bundle must extend")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    check = Check()
    try:
        expected = [read_note(path) for path in options.expect]
        with sys.stdin.buffer if options.bundle == "-" else open(options.bundle, "rb") as file:  # noqa: PTH123
            check.run(file, options.vkey, expected)
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    except Bad as bad:
        check.findings.append((bad.index, bad.fault, str(bad)))
    verdict = check.close(options.vkey)
    if options.json:
        findings = [{"fault": fault, "index": index, "message": words} for index, fault, words in check.findings]
        contents = [e["index"] for e in check.contents]
        sys.stdout.write(
            json.dumps({"verdict": verdict, "findings": findings, "contents": contents, "notes": check.notes}) + "\n"
        )
        return {"verified": 0, "bad": 1, "unverified": 3}[verdict]
    for index, fault, words in check.findings:
        sys.stdout.write(f"BAD {fault}{'' if index is None else f' at entry {index}'}: {ascii(words)[1:-1]}\n")
    if not check.findings:
        for entry in check.contents:
            sys.stdout.write(
                " ".join((str(entry["index"]), entry["recorded_at"], entry["type"], entry["subject"], entry["actor"]))
                + "\n"
            )
        sys.stdout.write(f"{len(check.contents)} contents under the head of {check.head[1]} at size {check.head[2]}\n")
    for words in check.notes:
        sys.stdout.write(f"? {ascii(words)[1:-1]}\n")
    sys.stdout.write(f"{verdict.upper()}\n")
    return {"verified": 0, "bad": 1, "unverified": 3}[verdict]


if __name__ == "__main__":
    sys.exit(main())
