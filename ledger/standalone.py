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
says; each signature; that each key might sign at that index, in a role that covers it. All entries that change keys and
roles must be there with their content, so nothing about keys is taken on anybody's word. NOT checked: the rules of
decisions (evidence, four eyes, last admin), what a restore says, legal holds, schemas, cosignatures and timestamps,
and contents that are not there.
"""

import argparse
import base64
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
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
CREATED = "muniment.ledger.created.v1"
# Which of these roles an author needs. Types that are not here need none, or are authority, below.
ROLES = {
    "approval.granted.v1": ("approver",),
    "approval.rejected.v1": ("approver",),
    "approval.requested.v1": ("owner", "emitter"),
    "dataset.registered.v1": ("emitter",),
    "deployment.authorised.v1": ("deployer",),
    "deployment.completed.v1": ("emitter", "deployer"),
    "deployment.failed.v1": ("emitter", "deployer"),
    "deployment.requested.v1": ("owner", "deployer", "emitter"),
    "evaluation.completed.v1": ("emitter", "validator"),
    "external.observed.v1": ("emitter",),
    "monitor.signal.v1": ("emitter",),
    "run.completed.v1": ("emitter",),
    "run.failed.v1": ("emitter",),
    "run.started.v1": ("emitter",),
    "version.registered.v1": ("emitter", "owner"),
    "approval.delegated.v1": ("approver",),
    "ledger.entry_acknowledged.v1": ("admin",),
    "subject.erased.v1": ("eraser",),
    "hold.placed.v1": ("auditor", "admin"),
    "hold.released.v1": ("auditor", "admin"),
    "access.denied.v1": ("emitter",),
    "artifact.produced.v1": ("emitter",),
    "artifact.scanned.v1": ("emitter", "validator"),
    "artifact.signed.v1": ("emitter",),
    "artifact.verified.v1": ("emitter", "validator"),
    "canary.analysed.v1": ("emitter", "deployer"),
    "canary.stage_entered.v1": ("emitter", "deployer"),
    "configuration.changed.v1": ("emitter", "deployer", "owner"),
    "contract.defined.v1": ("emitter", "owner"),
    "credential.expired.v1": ("emitter", "deployer"),
    "credential.rotated.v1": ("emitter", "deployer"),
    "dataset.consent_changed.v1": ("emitter", "owner"),
    "dataset.deprecated.v1": ("emitter", "owner"),
    "dataset.license_changed.v1": ("emitter", "owner"),
    "dataset.quality_assessed.v1": ("emitter", "validator"),
    "dataset.versioned.v1": ("emitter",),
    "deployment.promoted.v1": ("emitter", "deployer"),
    "documentation.attached.v1": ("emitter", "owner", "validator", "auditor"),
    "drill.conducted.v1": ("emitter", "owner", "incident-commander", "deployer"),
    "errorbudget.consumed.v1": ("emitter",),
    "errorbudget.reset.v1": ("owner", "emitter"),
    "evaluation.invalidated.v1": ("emitter", "validator"),
    "evidence.preserved.v1": ("emitter", "auditor", "incident-commander", "validator"),
    "experiment.completed.v1": ("emitter", "owner"),
    "experiment.started.v1": ("emitter", "owner"),
    "featureset.changed.v1": ("emitter", "owner"),
    "featureset.defined.v1": ("emitter", "owner"),
    "featureset.materialized.v1": ("emitter",),
    "finding.disposed.v1": ("owner", "validator"),
    "labels.arrived.v1": ("emitter",),
    "model.on_call_assigned.v1": ("owner", "incident-commander", "admin"),
    "model.owner_changed.v1": ("owner", "admin"),
    "model.registered.v1": ("emitter", "owner"),
    "modelcard.published.v1": ("emitter", "owner"),
    "monitor.window.v1": ("emitter",),
    "notification.failed.v1": ("emitter", "owner", "incident-commander"),
    "notification.sent.v1": ("emitter", "owner", "incident-commander"),
    "performance.tested.v1": ("emitter", "validator"),
    "retrain.requested.v1": ("emitter", "owner"),
    "retrain.resolved.v1": ("emitter", "owner"),
    "run.aborted.v1": ("emitter",),
    "run.attached.v1": ("emitter",),
    "serving.snapshot.v1": ("emitter", "deployer"),
    "slo.breached.v1": ("emitter",),
    "slo.defined.v1": ("owner", "deployer"),
    "slo.recovered.v1": ("emitter",),
    "thirdparty.registered.v1": ("emitter", "owner"),
    "validation.assigned.v1": ("owner", "validator"),
    "validation.completed.v1": ("validator",),
    "version.composed.v1": ("emitter", "owner"),
    "version.retired.v1": ("owner", "deployer"),
    "approval.condition_met.v1": ("approver", "validator"),
    "approval.expired.v1": ("emitter", "approver", "owner"),
    "approval.revoked.v1": ("approver",),
    "approval.withdrawn.v1": ("owner", "emitter"),
    "emergency.reviewed.v1": ("approver", "validator", "auditor"),
    "gate.evaluated.v1": ("emitter", "owner", "validator", "approver", "deployer"),
    "policy.defined.v1": ("admin", "validator"),
    "policy.retired.v1": ("admin", "validator"),
    "quarantine.released.v1": ("approver", "validator"),
    "risk.classified.v1": ("owner", "validator"),
    "waiver.denied.v1": ("approver",),
    "waiver.granted.v1": ("approver",),
    "waiver.requested.v1": ("owner", "emitter"),
    "waiver.revoked.v1": ("approver", "owner"),
    "waiver.used.v1": ("deployer",),
}
DECISIONS = {
    "approval.condition_met.v1", "approval.granted.v1", "approval.rejected.v1", "approval.requested.v1",
    "approval.revoked.v1", "approval.withdrawn.v1", "deployment.authorised.v1", "deployment.requested.v1",
    "emergency.reviewed.v1", "gap.declared.v1", "policy.defined.v1", "policy.retired.v1", "quarantine.released.v1",
    "risk.classified.v1", "waiver.denied.v1", "waiver.granted.v1", "waiver.requested.v1", "waiver.revoked.v1",
    "waiver.used.v1",
}  # fmt: skip
AUTHORITY = {"ledger.created.v1", "ledger.entry_acknowledged.v1", "ledger.roots_changed.v1",
             "ledger.checkpoint_key_changed.v1", "ledger.restored.v1", "ledger.rules_changed.v1",
             "actor.enrolled.v1", "actor.revoked.v1", "actor.offboarded.v1",
             "actor.responsible_changed.v1", "key.enrolled.v1", "key.rotated.v1", "key.revoked.v1",
             "key.compromised.v1", "role.granted.v1", "role.revoked.v1", "entry.reaffirmed.v1",
             "approval.delegated.v1",
             "subject.erased.v1", "hold.placed.v1", "hold.released.v1"}  # fmt: skip
# Types that only the root keys sign.
ROOTED = {"ledger.created.v1", "ledger.roots_changed.v1", "ledger.checkpoint_key_changed.v1", "ledger.restored.v1",
          "ledger.rules_changed.v1"}  # fmt: skip
# Types whose content may be missing once a record says that it was erased.
WITHHOLDABLE = {
    "access.denied.v1", "external.observed.v1", "incident.action_item_completed.v1",
    "incident.action_item_created.v1", "incident.mitigated.v1", "incident.noted.v1",
    "incident.root_cause_recorded.v1", "labels.arrived.v1", "monitor.signal.v1", "monitor.window.v1",
}  # fmt: skip
# Types in the streams of actors and of the ledger that change neither keys nor roles.
HARMLESS = frozenset[str]()


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


def read_json(data, fault, *, canonical):
    """Strict JSON; with ``canonical``, only if writing it again gives the same bytes."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
        same = not canonical or json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    except (ValueError, RecursionError) as error:
        raise Bad(fault, f"not strict JSON: {error}") from None
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
    return b64(text.removeprefix("ed25519:"), "schema", 32)


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
        raw = self.file.readline(MAX_LINE + 1)
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
    match = re.fullmatch(r"([^+\s]+)\+([0-9a-f]{8})\+(\S+)", vkey)
    need(match, "checkpoint", f"{vkey!r} is not a verifier key")
    blob = b64(match[3], "checkpoint", 33)
    identity = sha256(match[1].encode() + b"\n" + blob)[:4]
    need(blob[0] == 1 and identity.hex() == match[2], "checkpoint", f"{vkey!r} is not a key that signs heads")
    lines = [signature for name, key_id, signature in head[4] if (name, key_id) == (match[1], identity)]
    good = [len(signature) == 64 and signed_by(blob[1:], signature, head[0].encode()) for signature in lines]
    return match[1] == head[1] and bool(good) and all(good)


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
    need(TIME.fullmatch(entry["recorded_at"]), "bundle", "recorded_at of the entry is malformed")
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
    need(isinstance(event.get("data"), dict) and event.get("specversion") == "1.0", "schema", "not an event")
    need(re.fullmatch("[0-9]{19}", str(event.get("sequence"))), "schema", "not a sequence number")
    header = {"actor": str(event.get("source")).removeprefix("urn:muniment:"), "emitter": event.get("emitter"),
              "id": event.get("id"), "keys": keyids, "ledgerid": event.get("ledgerid"),
              "sequence": int(event["sequence"]), "stream": str(event.get("subject")).partition("@")[0],
              "subject": event.get("subject"), "type": event.get("type")}  # fmt: skip
    for name, value in header.items():
        need(entry[name] == value, "header", f"the header says {name} {entry[name]!r}, the signed payload {value!r}")
    pae = b"DSSEv1 28 application/cloudevents+json %d %s" % (len(payload), payload)
    return event, pae, {s["keyid"]: b64(s["sig"], "signature", 64) for s in signatures}


# -- keys and roles by index (FORMAT 18) -----------------------------------------------------------


class Keyring:
    """Who may sign what, from the entries before."""

    def __init__(self):
        self.roots, self.threshold, self.former_roots = {}, 0, set()
        self.actors, self.used = {}, {}
        self.vkeys, self.origin = [], ""  # (smallest size, vkey)
        self.acknowledged, self.records, self.leaves = set(), {}, {}

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
        return any(g["role"] in roles and covers(g, record) and not self.doubted(g["by"]) for g in actor["grants"])

    def check_signatures(self, record, body, pae, signatures):
        """Every signature is by a key that may sign here, and enough of them."""
        index, kind = record["index"], record["type"]
        new = {}
        if kind in ("actor.enrolled.v1", "key.enrolled.v1", "key.rotated.v1"):
            new = [public_key(body.get("key"))]
        elif kind == "ledger.roots_changed.v1":
            new = [raw for raw in map(public_key, body["roots"]) if sha256(raw).hex() not in self.roots]
        elif kind == "ledger.checkpoint_key_changed.v1":
            new = [b64(str(body.get("vkey")).split("+", 2)[-1], "schema", 33)[1:]]
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
        need(type(threshold) is int and threshold >= 1, "schema", "not a threshold")
        need(set(signatures) <= set(own) | set(new), "key", "a key that signed it is not enrolled for its author here")
        need(len(set(signatures) & set(own)) >= threshold, "key", f"it needs {threshold} signatures of its author")
        need(set(new) <= set(signatures), "key", "a new key did not sign (possession)")
        for keyid, signature in signatures.items():
            need(signed_by((own | new)[keyid], signature, pae), "signature", f"a signature by {keyid} does not verify")

    def check_roles(self, record, body):
        """Roles of facts and decisions; who may change keys and roles."""
        kind, author, stream = record["type"], record["actor"], record["stream"]
        family = kind.partition(".")[0]
        if stream.startswith(("actor:", "ledger:")) and kind not in AUTHORITY | HARMLESS:
            raise Bad("legality", f"{kind} may not be about {stream}, or is newer than this program")
        if kind in AUTHORITY:
            need(
                stream.startswith("ledger:" if family in ("ledger", "subject", "hold") else "actor:"),
                "legality",
                "it is about another thing",
            )
        if author == "root":
            return
        actor = self.actors[author]
        own = stream == f"actor:{author}"
        giving_up = own and kind in ("key.revoked.v1", "key.compromised.v1", "actor.revoked.v1")
        if kind in DECISIONS | AUTHORITY:
            need(giving_up or self.answered(actor), "legality", f"nobody answers for {author!r}")
        if kind not in AUTHORITY or family in ("subject", "hold", "approval"):
            need(
                kind not in ROLES or self.has_role(record, ROLES[kind]),
                "legality",
                f"{author!r} lacks the role for {kind}",
            )
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
        need(
            not gives_admin and not (of_admin and kind not in free),
            "legality",
            f"{kind} of an admin needs the root keys",
        )
        if kind == "actor.enrolled.v1":
            person = body.get("person") or record["stream"][6:] if body.get("kind") == "person" else None
        else:
            person = target and target["kind"] == "person" and target["person"]
            if kind in ("key.revoked.v1", "key.compromised.v1", "actor.revoked.v1", "actor.responsible_changed.v1"):
                person = None
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
        good = target and target["kind"] == "person" and target["person"] != author["person"]
        own = [g for g in author["grants"] if g["role"] == "approver" and not g.get("delegated") and covers(g, record)]
        lasting = [g for g in own if g["until"] is None or body["until"] <= g["until"]]
        need(good and any(not self.doubted(g["by"]) for g in lasting), "legality", "it may not hand that on")

    def check_place(self, record, body):
        """That what a change names is there, and that what it brings is new."""
        kind, name = record["type"], record["stream"][6:]
        if "key" in body and kind != "ledger.created.v1":
            keyid = sha256(public_key(body["key"])).hex()
            heads = {sha256(b64(vkey.split("+", 2)[-1], "schema", 33)[1:]).hex() for _, vkey in self.vkeys}
            used = set(self.used) | set(self.roots) | self.former_roots | heads
            need(keyid not in used, "legality", "the key is, or was, in use")
        if kind == "ledger.entry_acknowledged.v1":
            need(record["stream"] == f"ledger:{record['ledgerid']}", "schema", "it is of another ledger")
            need(0 <= body["index"] < record["index"], "schema", "it acknowledges an entry that is not there yet")
            good = self.leaves[body["index"]] == body["leaf_hash"]
            need(good, "legality", "that entry is not the one its author saw")
        if not record["stream"].startswith("actor:"):
            return
        if kind == "approval.delegated.v1":
            self.check_delegation(record, body, self.actors[record["actor"]], self.actors.get(name))
        if kind == "actor.enrolled.v1":
            need(re.fullmatch("[a-z0-9][a-z0-9._-]{0,63}", name), "schema", f"{name!r} is no actor id")
            need(
                name not in self.actors and name not in ("root", "checkpoint"),
                "legality",
                f"{name!r} cannot be enrolled",
            )
            person = body.get("person") or name if body.get("kind") == "person" else body.get("responsible")
            need(person == name or self.is_person(person), "legality", "no enrolled person stands behind it")
            return
        need(name in self.actors, "legality", f"{name!r} is not enrolled")
        actor = self.actors[name]
        lasting = ("key.enrolled.v1", "key.revoked.v1", "key.compromised.v1", "entry.reaffirmed.v1")
        need(kind in lasting or actor["left"] is None, "legality", f"{name!r} has left")
        if kind == "actor.responsible_changed.v1":
            need(
                actor["kind"] == "service" and self.is_person(body["responsible"]),
                "legality",
                "no person answers for it",
            )
        if "keyid" in body:
            need(body["keyid"] in actor["keys"], "legality", f"{name!r} has no such key")
        if kind == "entry.reaffirmed.v1":
            about, said = self.leaves.get(body["index"]), actor["reaffirmed"].get(body["index"])
            need(about == body["leaf_hash"], "legality", "that entry is not the one its author saw")
            need(body["index"] >= self.first_doubt(actor), "legality", "that entry is not suspect")
            need(said is None or self.doubted(said), "legality", "that entry is reaffirmed already")

    def is_person(self, name):
        """Whether a name is that of a person of its own who is here."""
        actor = self.present(name)
        return bool(actor) and actor["kind"] == "person" and actor["person"] == name

    def apply(self, record, body):  # noqa: C901, PLR0912 - a table
        """Take in an entry that stands."""
        kind, index, name = record["type"], record["index"], record["stream"][6:]
        actor = self.actors.get(name) if record["stream"].startswith("actor:") else None
        if kind == "ledger.created.v1":
            self.origin, self.threshold, self.vkeys = body["origin"], body["threshold"], [(0, body["vkey"])]
            self.roots = {sha256(raw).hex(): raw for raw in map(public_key, body["roots"])}
        elif kind == "ledger.roots_changed.v1":
            keys = {sha256(raw).hex(): raw for raw in map(public_key, body["roots"])}
            need(
                not set(keys) & (self.former_roots | set(self.used)), "legality", "a root key is used, or was replaced"
            )
            need(len(keys) == len(body["roots"]) >= body["threshold"] >= 1, "schema", "not enough root keys")
            self.former_roots |= set(self.roots) - set(keys)
            self.roots, self.threshold = keys, body["threshold"]
        elif kind == "ledger.checkpoint_key_changed.v1":
            self.vkeys.append((index + 1, body["vkey"]))
        elif kind == "ledger.entry_acknowledged.v1":
            self.acknowledged.add((body["index"], body["leaf_hash"]))
        elif kind == "actor.enrolled.v1":
            person = body.get("person") or name if body["kind"] == "person" else body.get("responsible")
            grants = [new_grant(record, role) for role in dict.fromkeys(body["roles"])]
            self.actors[name] = {"kind": body["kind"], "person": person, "persons": {person}, "keys": {}, "by": record,
                                 "grants": grants, "left": None, "reaffirmed": {}, "assigned": None}  # fmt: skip
            self.add_key(self.actors[name], body["key"], record)
        elif kind == "key.enrolled.v1":
            self.add_key(actor, body["key"], record)
        elif kind == "key.rotated.v1":
            end_key(actor["keys"][body["keyid"]], max(body["until"], index + 1))
            self.add_key(actor, body["key"], record)
        elif kind in ("key.revoked.v1", "key.compromised.v1"):
            key = actor["keys"][body["keyid"]]
            end_key(key, index)
            if kind == "key.compromised.v1":
                known = key["compromised"]
                key["compromised"] = body["since"] if known is None else min(known, body["since"])
        elif kind == "role.granted.v1":
            bounds = {part: body.get(part) or [] for part in ("types", "subjects", "environments")}
            actor["grants"].append({**new_grant(record, body["role"]), **bounds, "until": body.get("until")})
        elif kind == "approval.delegated.v1":
            bounds = {"environments": body.get("environments") or [], "until": body["until"]}
            actor["grants"].append({**new_grant(record, "approver"), **bounds, "delegated": True})
        elif kind == "role.revoked.v1":
            end_grants(actor, index, body["role"], body.get("grant"))
        elif kind == "actor.responsible_changed.v1":
            actor["person"], actor["assigned"] = body["responsible"], record
            actor["persons"].add(body["responsible"])
        elif kind == "entry.reaffirmed.v1":
            actor["reaffirmed"][body["index"]] = record
        elif kind in ("actor.revoked.v1", "actor.offboarded.v1"):
            actor["left"] = index
            if kind == "actor.offboarded.v1":
                end_grants(actor, index)
                for key in actor["keys"].values():
                    end_key(key, index)

    def add_key(self, actor, text, record):
        """A key comes in."""
        raw = public_key(text)
        self.used[sha256(raw).hex()] = actor
        actor["keys"][sha256(raw).hex()] = {"raw": raw, "by": record, "end": None, "compromised": None}


def standing_roles(actor):
    """The roles an actor was given and that nobody took away."""
    return {g["role"] for g in actor["grants"] if g["end"] is None} if actor else set()


def end_key(key, index):
    """A key may not sign from an index on."""
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


def fits(pattern, stream):
    """Whether a pattern of a grant stands for a stream; a star never for a separator."""
    pairs = list(zip(name_parts(pattern), name_parts(stream), strict=True))
    return all((p is None) == (s is None) for p, s in pairs) and all(
        p is None or re.fullmatch("[^:/]*".join(map(re.escape, p.split("*"))), s) for p, s in pairs)  # fmt: skip


def covers(grant, record):
    """Whether a grant covers an entry."""
    name = record["type"].rpartition(".")[0]
    stands = grant["by"]["index"] < record["index"] and (grant["end"] is None or record["index"] <= grant["end"])
    return (stands and (not grant["types"] or name in grant["types"] or f"{name.partition('.')[0]}.*" in grant["types"])
            and (not grant["subjects"] or any(fits(pattern, record["stream"]) for pattern in grant["subjects"]))
            and (not grant["environments"] or record["environment"] in grant["environments"])
            and (grant["until"] is None or record["recorded_at"] < grant["until"]))  # fmt: skip


# -- all of it ------------------------------------------------------------------------------------


class Check:
    """One verification."""

    def __init__(self):
        self.findings, self.voids, self.notes, self.contents = [], [], [], []
        self.keyring, self.peaks, self.bare, self.withheld = Keyring(), [], 0, []
        self.seen, self.revisions, self.records, self.erased = set(), {}, [], {}

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
        roots, prev, ledgerid = {}, "0" * 64, self.records[0][0]["ledgerid"]
        for index, (entry, _, _) in enumerate(self.records):
            place = (entry["index"], entry["prev"], entry["ledgerid"])
            need(place == (index, prev, ledgerid), "chain", "it does not follow the one before it", index)
            prev = entry["leaf"]
            self.peaks.append((0, bytes.fromhex(prev)))
            while len(self.peaks) > 1 and self.peaks[-1][0] == self.peaks[-2][0]:  # RFC 9162 2.1.1
                (level, left), (_, right) = self.peaks[-2:]
                self.peaks[-2:] = [(level + 1, sha256(b"\x01" + left + right))]
            if index + 1 in sizes:
                roots[index + 1] = self.root()
        return roots

    def root(self):
        """Root hash of the entries so far."""
        root = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            root = sha256(b"\x01" + left + root)
        return root

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
        kind, body, stream = entry["type"].removeprefix("muniment."), event["data"], entry["stream"]
        environment = name_parts(stream)[1] if stream.startswith("deployment:") else None
        if kind.startswith("approval."):
            environment = body.get("environment")
        record = {**entry, "type": kind, "environment": environment}
        need(
            (kind == "ledger.created.v1") == (entry["index"] == 0),
            "legality",
            "ledger.created is entry 0, and only that",
        )
        self.keyring.check_signatures(record, body, pae, signatures)
        self.keyring.check_roles(record, body)
        if kind in AUTHORITY:
            if kind == "ledger.created.v1":
                mine = (body["ledgerid"], f"ledger:{body['ledgerid']}") == (entry["ledgerid"], stream)
                need(mine and entry["actor"] == "root", "schema", "entry 0 is about another ledger")
            self.keyring.check_place(record, body)
            erased = self.check_erasure(record, body) if kind == "subject.erased.v1" else []
            self.keyring.apply(record, body)
            for place in erased:
                self.erased.setdefault(place, record)
        self.keyring.records[entry["index"]] = record

    def check_erasure(self, record, body):
        """The entries whose content a record says is withheld, by index and stream."""
        need(record["stream"] == f"ledger:{record['ledgerid']}", "schema", "the erasure is of another ledger")
        for item in body.get("entries", []):
            need(0 <= item["index"] < record["index"], "schema", "the erasure names an entry that is not there yet")
            good = item["leaf_hash"] == self.records[item["index"]][0]["leaf"]
            need(good, "legality", "the erasure names an entry with a leaf hash that is not its own")
        return [(item["index"], item["stream"]) for item in body.get("entries", []) if item["scope"] == "whole"]

    def settle_withheld(self):
        """Missing content is excused by a valid record that it was erased, and by nothing else."""
        for entry in self.withheld:
            index, record = entry["index"], self.erased.get((entry["index"], entry["stream"]))
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
            need(
                any(signs_head(vkey, head) for vkey in signers), "anchor", "the expected head is not signed by this log"
            )
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
        self.notes.append("not checked: rules of decisions, schemas, cosignatures and timestamps")
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
