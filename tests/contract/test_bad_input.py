"""Everything that must be refused: by the right error, with words that help, and with nothing half-written."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from ledger import commands
from ledger.emission import uuid7
from ledger.envelope import PAYLOAD_TYPE, Envelope, Signature, format_envelope, pae, sign_payload
from ledger.errors import (
    AuthenticationError,
    ConflictError,
    InputError,
    LedgerError,
    NotAllowedError,
    PolicyError,
)
from ledger.events.ledgers import Rule, RuleSet
from ledger.keys import Ed25519Signer, Signer, format_public_key
from ledger.verify import verify_log
from tests.contract.support import MODEL, PROD, Cast, audit, digest, make_cast, register

Attempt = Callable[[], Any]


@contextmanager
def refused(cast: Cast, what: str, error: type[LedgerError], words: str, *, hint: bool = False) -> Iterator[None]:
    """What happens inside is refused with this error, in these words, and leaves nothing but that it was."""
    before = cast.recorder.head()
    with pytest.raises(LedgerError) as caught:
        yield
    found = caught.value
    name = f"{what}: {type(found).__name__}: {found.message!r}"
    assert isinstance(found, error), name
    if error is PolicyError:
        assert not isinstance(found, NotAllowedError), name
    assert words in found.message, name
    assert len(found.message) > 15, name
    assert len(found.message) < 600, name
    assert not hint or found.hint, f"{name} has no hint"
    left = [row.entry.type for row in cast.recorder.rows(before.size, 10)]
    assert left in ([], ["muniment.decision.refused.v1"]), f"{what}: left {left}"


def still_good(cast: Cast) -> None:
    """The log is whole, holds nothing void, and takes events."""
    cast["p-author"].emit("external.observed", "external:after", system="s")
    report = verify_log(cast.recorder, cast.new.trust)
    assert report.ok, report.findings
    audit(cast.url)


def attributes(cast: Cast, **changes: Any) -> dict[str, Any]:
    """Attributes of a good event by the trainer; None leaves one out."""
    kind = changes.get("type", "muniment.dataset.registered.v1")
    found = {
        "specversion": "1.0",
        "id": uuid7(),
        "source": "urn:muniment:trainer",
        "type": kind,
        "subject": "dataset:d@1",
        "time": "2026-01-02T03:04:05Z",
        "datacontenttype": "application/json",
        "dataschema": f"urn:muniment:schema:{kind}",
        "ledgerid": cast.admin.ledgerid,
        "nonce": "0" * 32,
        "emitter": str(uuid4()),
        "sequence": "0000000000000000001",
        "data": {"digest": digest("d")},
    }
    found.update(changes)
    return {name: value for name, value in found.items() if value is not None}


def encode(cast: Cast, **changes: Any) -> bytes:
    return json.dumps(attributes(cast, **changes), ensure_ascii=False).encode()


def seal(payload: bytes, *signers: Signer) -> bytes:
    """An envelope in its only form around any bytes."""
    found = [Signature(signer.public.keyid, signer.sign(pae(PAYLOAD_TYPE, payload))) for signer in signers]
    items = ",".join(
        f'{{"keyid":"{s.keyid}","sig":"{base64.b64encode(s.sig).decode()}"}}'
        for s in sorted(found, key=lambda s: s.keyid)
    )
    text = base64.b64encode(payload).decode()
    return f'{{"payload":"{text}","payloadType":"{PAYLOAD_TYPE}","signatures":[{items}]}}'.encode()


@pytest.fixture
def cast(quick_url: str) -> Cast:
    return make_cast(quick_url)


# -- bytes -----------------------------------------------------------------------------------------


def test_payloads_that_are_not_strict_json(cast: Cast):
    good = encode(cast)
    nested = b'{"a":' * 33 + b"1" + b"}" * 33
    cases: dict[str, tuple[bytes, str]] = {
        "empty": (b"", "empty"),
        "not JSON": (b"{'a': 1}", "not JSON"),
        "cut short": (good[:-1], "not JSON"),
        "not UTF-8": (good.replace(b"d@1", b"d\xff1"), "not UTF-8"),
        "UTF-16": (good.decode().encode("utf-16"), "not UTF-8"),
        "BOM": (b"\xef\xbb\xbf" + good, "not JSON"),
        "space in front": (b" " + good, "white space"),
        "newline behind": (good + b"\n", "white space"),
        "trailing data": (good + b"{}", "not JSON"),
        "a name twice": (good.replace(b'"subject"', b'"id": "x", "subject"'), "appears twice"),
        "a name twice inside data": (good.replace(b'"data": {', b'"data": {"digest": "x", '), "appears twice"),
        "NaN": (good.replace(b'"data": {', b'"data": {"row_count": NaN, '), "NaN"),
        "Infinity": (good.replace(b'"data": {', b'"data": {"row_count": -Infinity, '), "Infinity"),
        "too large a number": (good.replace(b'"data": {', b'"data": {"row_count": 1e400, '), "too large"),
        "an integer over 2^53": (good.replace(b'"data": {', b'"data": {"row_count": 9007199254740993, '), "2^53"),
        "another spelling": (good.replace(b'"data": {', b'"data": {"row_count": 1.0, '), "must be written 1"),
        "minus zero": (good.replace(b'"data": {', b'"data": {"row_count": -0, '), "must be written 0"),
        "leading zero": (good.replace(b'"data": {', b'"data": {"row_count": 01, '), "not JSON"),
        "lone surrogate": (good.replace(b'"data": {', b'"data": {"uri": "\\ud800", '), "surrogate"),
        "too deep": (good.replace(b'"data": {', b'"data": {"extra": %b, ' % nested), "nested deeper"),
        "endless depth": (b"[" * 60_000, "nested deeper"),
        "an array": (b"[1, 2]", "JSON object"),
        "a string": (b'"hello"', "JSON object"),
    }  # fmt: skip
    for what, (payload, words) in cases.items():
        with refused(cast, what, InputError, words):
            cast.admin.append(seal(payload, cast.keys["trainer"]))
    cast.admin.append(seal(good, cast.keys["trainer"]))
    still_good(cast)


REQUIRED = (
    "specversion", "id", "source", "type", "subject", "time", "dataschema", "ledgerid", "nonce", "emitter", "sequence",
    "data",
)  # fmt: skip


def test_payloads_that_are_not_our_events(cast: Cast):
    cases: list[tuple[dict[str, Any], str]] = [
        *(({name: None}, repr(name)) for name in REQUIRED),
        ({"specversion": "0.3"}, "specversion"),
        ({"id": "A" * 36}, "'id'"),
        ({"id": uuid7().upper()}, "'id'"),
        ({"id": 7}, "'id'"),
        ({"source": "urn:other:trainer"}, "source"),
        ({"source": "urn:muniment:Träiner"}, "actor id"),
        ({"source": "urn:muniment:../etc"}, "actor id"),
        ({"type": "dataset.registered"}, "'type'"),
        ({"type": "muniment.dataset.registered"}, "'type'"),
        ({"dataschema": "urn:muniment:schema:other"}, "dataschema"),
        ({"time": "2026-01-02T03:04:05"}, "'time'"),
        ({"time": "2026-01-02T03:04:05+00:00"}, "'time'"),
        ({"time": "2026-02-30T03:04:05Z"}, "'time'"),
        ({"time": "1969-12-31T23:59:59Z"}, "1970"),
        ({"time": "٢٠٢٦-01-02T03:04:05Z"}, "'time'"),
        ({"ledgerid": "xyz"}, "ledgerid"),
        ({"nonce": "0" * 31}, "nonce"),
        ({"emitter": "me"}, "emitter"),
        ({"sequence": "1"}, "sequence"),
        ({"sequence": "0" * 19}, "sequence"),
        ({"sequence": "9" * 19}, "sequence"),
        ({"sequence": 1}, "sequence"),
        ({"data": []}, "'data'"),
        ({"datacontenttype": "text/plain"}, "datacontenttype"),
        ({"onbehalfof": "p-author"}, "source"),
        ({"evidencestrength": "sure"}, "evidencestrength"),
        ({"correlationid": "x" * 256}, "correlationid"),
        ({"Upper": "x"}, "attribute name"),
        ({"has-dash": "x"}, "attribute name"),
    ]  # fmt: skip
    for changes, words in cases:
        with refused(cast, str(changes), InputError, words):
            cast.admin.append(seal(encode(cast, **changes), cast.keys["trainer"]))
    cast.admin.append(seal(encode(cast, unknownattribute="kept"), cast.keys["trainer"]))
    still_good(cast)


def test_things_that_are_too_large(cast: Cast):
    key = cast.keys["trainer"]
    room = 65_536 - len(encode(cast, data={"digest": digest("d"), "description": ""}))
    at_limit = encode(cast, data={"digest": digest("d"), "x": "y" * (room + 10)})
    at_limit = at_limit.replace(b"y", b"", len(at_limit) - 65_536)
    assert len(at_limit) == 65_536
    assert cast.admin.append(seal(at_limit, key)).index == cast.recorder.head().size - 1
    with refused(cast, "payload", InputError, "65537"):
        cast.admin.append(seal(b"x" * 65_537, key))
    with refused(cast, "envelope", InputError, "98305"):
        cast.admin.append(b"x" * 98_305)
    with refused(cast, "through emit", InputError, "65,536"):
        cast["trainer"].emit("external.observed", "external:x", system="s", content={"x": "y" * 70_000})
    with refused(cast, "a header string", InputError, "longer than 200"):
        cast["trainer"].emit("external.observed", "external:" + "x" * 220, system="s")
    still_good(cast)


def test_envelopes_in_another_form(cast: Cast):
    key, payload = cast.keys["trainer"], encode(cast)
    good = seal(payload, key)
    envelope = sign_payload(payload, [key])
    (signature,) = envelope.signatures
    item = good[good.index(b"[") : -1]
    other = seal(payload, Ed25519Signer.generate())
    seventeen = seal(payload, *(Ed25519Signer.generate() for _ in range(17)))
    members = json.loads(good)
    cases: dict[str, bytes] = {
        "empty": b"",
        "not JSON": b"hello",
        "white space": good.replace(b":", b": "),
        "newline": good + b"\n",
        "other order": json.dumps(dict(reversed(members.items())), separators=(",", ":")).encode(),
        "a member more": good[:-1] + b',"x":1}',
        "a member less": b'{"payload":"e30=","payloadType":"application/cloudevents+json"}',
        "other type": good.replace(b"cloudevents+json", b"json"),
        "URL-safe base64": good.replace(b'"payload":"', b'"payload":"_'),
        "no padding": good.replace(b"==", b"").replace(b"=", b""),
        "loose base64": good.replace(b'"payload":"', b'"payload":" '),
        "no signatures": good.replace(item, b"[]"),
        "signatures null": good.replace(item, b"null"),
        "the same twice": good.replace(item, item[:-1] + b"," + item[1:]),
        "not sorted": swap_signatures(seal(payload, key, Ed25519Signer.generate())),
        "seventeen": seventeen,
        "upper-case keyid": good.replace(signature.keyid.encode(), signature.keyid.upper().encode()),
        "short keyid": good.replace(signature.keyid.encode(), signature.keyid[:-1].encode()),
        "short signature": good.replace(base64.b64encode(signature.sig), base64.b64encode(signature.sig[:-1])),
        "a signature's member more": good.replace(b'"sig"', b'"x":1,"sig"'),
        "duplicate member": good.replace(b'"payloadType"', b'"payload":"","payloadType"'),
        "escaped": good.replace(b"cloudevents", b"\\u0063loudevents"),
    }
    assert other != good
    for what, data in cases.items():
        assert data != good, what
        with refused(cast, what, InputError, ""):
            cast.admin.append(data)
    assert cast.admin.append(good).stream == "dataset:d"
    still_good(cast)


def swap_signatures(data: bytes) -> bytes:
    members = json.loads(data)
    members["signatures"].reverse()
    return json.dumps(members, separators=(",", ":")).encode()


# -- who -------------------------------------------------------------------------------------------


def test_signatures_that_do_not_count(cast: Cast):
    trainer, author, stranger = cast.keys["trainer"], cast.keys["p-author"], Ed25519Signer.generate()
    payload = encode(cast)
    (mine,) = sign_payload(payload, [trainer]).signatures
    forged = Signature(mine.keyid, bytes([mine.sig[0] ^ 1]) + mine.sig[1:])
    elsewhere = sign_payload(encode(cast), [trainer]).signatures
    key_of_other = format_public_key(stranger.public)
    enrol = encode(
        cast, source="urn:muniment:p-admin", type="muniment.actor.enrolled.v1", subject="actor:p-new",
        data={"kind": "person", "roles": ["owner"], "key": key_of_other},
    )  # fmt: skip
    cases: list[tuple[str, bytes, str, bool]] = [
        ("unknown key", seal(payload, stranger), "not enrolled", True),
        ("another actor's key", seal(payload, author), "not enrolled", True),
        ("one key too many", seal(payload, trainer, stranger), "not enrolled", True),
        ("another actor's key beside", seal(payload, trainer, author), "not enrolled", True),
        ("the root key for an actor", seal(payload, cast.new.root), "not enrolled", True),
        ("the checkpoint key for an actor", seal(payload, cast.new.checkpoint), "not enrolled", True),
        ("a wrong signature", format_envelope(Envelope(payload, (forged,))), "wrong signature", False),
        ("a signature of another event", format_envelope(Envelope(payload, elsewhere)), "wrong signature", False),
        ("no such actor", seal(encode(cast, source="urn:muniment:nobody"), trainer), "nobody", True),
        ("an actor as root", seal(encode(cast, source="urn:muniment:root"), trainer), "", False),
        ("another ledger", seal(encode(cast, ledgerid="0" * 32), trainer), "belongs to the ledger", False),
        ("no proof of possession", seal(enrol, cast.new.admin_key), "possession", False),
        ("only possession", seal(enrol, stranger), "own signatures", False),
    ]
    for what, envelope, words, hint in cases:
        with refused(cast, what, AuthenticationError, words, hint=hint):
            cast.admin.append(envelope)
    still_good(cast)


def test_keys_and_actors_that_were_revoked(cast: Cast):
    spare = Ed25519Signer.generate()
    cast.admin.emit("key.enrolled", "actor:trainer", key=format_public_key(spare.public), also_sign=[spare])
    before = encode(cast)
    cast.admin.append(seal(before, cast.keys["trainer"]))
    cast.admin.emit("key.revoked", "actor:trainer", keyid=cast.keys["trainer"].public.keyid, reason="leaked")
    with refused(cast, "revoked key", AuthenticationError, "was revoked at index", hint=True):
        cast["trainer"].emit("run.started", "run:r")
    with refused(cast, "a revoked and a good key", AuthenticationError, "was revoked at index", hint=True):
        cast.admin.append(seal(encode(cast), spare, cast.keys["trainer"]))
    assert cast.admin.append(seal(encode(cast), spare)).index == cast.recorder.head().size - 1
    cast.admin.emit("actor.revoked", "actor:trainer", reason="retired")
    with refused(cast, "revoked actor", AuthenticationError, "'trainer' was revoked"):
        cast.admin.append(seal(encode(cast), spare))
    assert cast.admin.append(seal(before, cast.keys["trainer"])).existing, "what was recorded stays recorded"
    still_good(cast)


def test_who_may_change_who_may_do_what(cast: Cast):
    key, admin = Ed25519Signer.generate(), cast.admin
    text = format_public_key(key.public)
    person = {"kind": "person", "roles": ["owner"], "key": text}
    ledger = f"ledger:{admin.ledgerid}"
    genesis = json.loads(cast.recorder.rows(0, 1)[0].payload or b"")["data"]

    def enrol(by: str, subject: str = "actor:p-new", signers: Sequence[Signer] = (key,), **changes: Any) -> Attempt:
        ledger = cast.root if by == "root" else cast[by]
        return lambda: ledger.emit("actor.enrolled", subject, {**person, **changes}, also_sign=signers)

    cases: list[tuple[str, Attempt, type[LedgerError], str, bool]] = [
        ("by no admin", enrol("p-author"), NotAllowedError, "admin", False),
        ("an admin by an admin", enrol("p-admin", roles=["admin"]), NotAllowedError, "root keys", True),
        ("their own person", enrol("p-admin", person="p-admin"), NotAllowedError, "their own person", True),
        ("twice", enrol("p-admin", "actor:trainer"), ConflictError, "already enrolled", False),
        ("root", enrol("p-admin", "actor:root"), InputError, "root", False),
        ("a namespace", enrol("p-admin", "actor:team/x"), InputError, "namespace", False),
        ("a version", enrol("p-admin", "actor:x@1"), InputError, "without a version", False),
        ("not an actor", enrol("p-admin", "model:x"), InputError, "actor", False),
        ("roles that are no list", enrol("p-admin", roles="owner"), InputError, "roles", True),
        ("an unknown role", enrol("p-admin", roles=["king"]), InputError, "roles", True),
        ("a service of nobody", enrol("p-admin", kind="service"), InputError, "responsible", True),
        ("a service of a stranger", enrol("p-admin", kind="service", responsible="p-x"), InputError, "p-x", False),
        ("a person and who answers", enrol("p-admin", person="p-author", responsible="p-approver"), InputError,
         "answers for a person", True),
        ("a service with a person", enrol("p-admin", kind="service", person="p-author", responsible="p-approver"),
         InputError, "is no person", True),
        ("a key in use", enrol("p-admin", key=format_public_key(cast.keys["trainer"].public),
                               signers=[cast.keys["trainer"]]), ConflictError, "already enrolled", False),
        ("the root key", enrol("p-admin", key=format_public_key(cast.new.root.public), signers=[cast.new.root]),
         ConflictError, "root key", False),
        ("no key", enrol("p-admin", key="rsa:AAAA", signers=()), InputError, "", False),
        ("a key for an admin by an admin",
         lambda: admin.emit("key.enrolled", "actor:p-admin", key=text, also_sign=[key]), NotAllowedError, "root keys",
         True),
        ("a key for nobody", lambda: admin.emit("key.enrolled", "actor:p-x", key=text, also_sign=[key]),
         ConflictError, "not enrolled", False),
        ("revoke a stranger's key",
         lambda: admin.emit("key.revoked", "actor:trainer", keyid="0" * 64, reason="x"), InputError, "no key", False),
        ("revoke another", lambda: cast["p-author"].emit("actor.revoked", "actor:trainer", reason="x"),
         NotAllowedError, "admin", False),
        ("a second beginning", lambda: cast.root.emit("ledger.created", ledger, genesis), PolicyError, "first entry",
         False),
        ("a beginning of one's own", lambda: admin.emit("ledger.created", ledger, genesis), LedgerError, "", False),
    ]  # fmt: skip
    for what, attempt, error, words, hint in cases:
        with refused(cast, what, error, words, hint=hint):
            attempt()
    cast["p-author"].emit(
        "key.revoked", "actor:p-author", keyid=cast.keys["p-author"].public.keyid, reason="mine to give"
    )
    assert verify_log(cast.recorder, cast.new.trust).ok
    with refused(cast, "twice revoked", ConflictError, "already revoked"):
        admin.emit("key.revoked", "actor:p-author", keyid=cast.keys["p-author"].public.keyid, reason="x")
    audit(cast.url)


# -- what ------------------------------------------------------------------------------------------


def test_types_and_bodies_outside_the_catalogue(cast: Cast):
    trainer = cast["trainer"]
    good = {"digest": digest("d")}
    unknown = encode(cast, type="muniment.dataset.imagined.v1")
    newer = encode(cast, type="muniment.dataset.registered.v2")
    cases: list[tuple[str, Attempt, str, bool]] = [
        ("unknown type", lambda: trainer.emit("dataset.imagined", "dataset:d", good), "no event type", True),
        ("misspelt type", lambda: trainer.emit("dataset.registred", "dataset:d", good), "no event type", True),
        ("unknown topic", lambda: cast.admin.append(seal(unknown, cast.keys["trainer"])), "no event type", True),
        ("newer version", lambda: cast.admin.append(seal(newer, cast.keys["trainer"])), "no event type", True),
        ("a field is missing", lambda: trainer.emit("dataset.registered", "dataset:d"), "digest", True),
        ("a field is malformed", lambda: trainer.emit("dataset.registered", "dataset:d", digest="md5:1"),
         "digest", True),
        ("a field of another type", lambda: trainer.emit("dataset.registered", "dataset:d", good, row_count="3"),
         "row_count", True),
        ("a number below its range", lambda: trainer.emit("dataset.registered", "dataset:d", good, row_count=-1),
         "row_count", True),
        ("NaN", lambda: trainer.emit("evaluation.completed", MODEL, metrics={"auc": float("nan")}), "NaN", False),
        ("an object that is no JSON", lambda: trainer.emit("external.observed", "external:x", system="s",
                                                          content={"x": object()}), "JSON", False),
        ("a decision with an unknown field", lambda: cast["p-author"].emit(
            "approval.requested", MODEL, environment="prod", digest=digest("d"), hurry=True), "hurry", True),
        ("a control character", lambda: trainer.emit("external.observed", "external:x", system="a\x1bb"),
         "system", True),
        ("another kind of subject", lambda: trainer.emit("dataset.registered", "model:d@1", good), "dataset", False),
        ("no version", lambda: trainer.emit("evaluation.completed", "model:m", metrics={}), "version", False),
        ("a version too much", lambda: trainer.emit("run.started", "run:r@1"), "version", False),
        ("no environment", lambda: cast["p-deployer"].emit(
            "deployment.completed", "deployment:x", model=MODEL, digest=digest("d")), "environment", False),
        ("a time without a zone", lambda: trainer.emit("run.started", "run:r", occurred_at="2026-01-02T03:04:05"),
         "time zone", True),
        ("no time", lambda: trainer.emit("run.started", "run:r", occurred_at="yesterday"), "not a time", True),
        ("an event id that is none", lambda: trainer.emit("run.started", "run:r", event_id="job 7"), "'id'", False),
        ("a strength", lambda: trainer.emit("run.started", "run:r", strength="certain"), "evidencestrength", False),
    ]  # fmt: skip
    for what, attempt, words, hint in cases:
        with refused(cast, what, InputError, words, hint=hint):
            attempt()
    still_good(cast)


NAMES = (
    "", "d", ":d", "dataset:", "Dataset:d", "dataset:d@", "dataset:@1", "dataset:a/b/c", "dataset:/d", "dataset:d ",
    " dataset:d", "dataset:d\n", "dataset:dä", "dataset:d\u200b", "dataset:.d", "dataset:d@1@2", "dataset:-d",
    "dataset:a b", "dataset:a%2fb", "dataset:../x", "dataset:d/", "1dataset:d", "dataset:d@ü", "dataset:\uff44",
    "dataset:" + "d" * 200,
)  # fmt: skip


def test_names_outside_the_grammar(cast: Cast):
    for name in NAMES:
        with refused(cast, repr(name), InputError, ""):
            cast["trainer"].emit("dataset.registered", name, digest=digest("d"))
        with refused(cast, f"signed: {name!r}", InputError, ""):
            cast.admin.append(seal(encode(cast, subject=name), cast.keys["trainer"]))
    with refused(cast, "hint", InputError, "is not a name", hint=True):
        cast["trainer"].emit("dataset.registered", "tx", digest=digest("d"))
    for name in ("model", "model:m", "run:r", "dataset:d@1"):
        with refused(cast, name, InputError, "model version"):
            commands.request_approval(cast["p-author"], name if ":" in name else "run:x", "prod")
    still_good(cast)


# -- when ------------------------------------------------------------------------------------------


def test_what_contradicts_what_is_recorded(cast: Cast):
    register(cast)
    trainer = cast["trainer"]
    first = trainer.emit("external.observed", "external:x", system="one")
    used = json.loads(cast.recorder.rows(first.index, 1)[0].payload or b"")
    same_id = encode(cast, id=first.id)
    same_number = encode(cast, emitter=used["emitter"], sequence=used["sequence"])
    head = cast.recorder.head()
    leaf = cast.recorder.leaf_hashes(3, 4)[0].hex()
    request = {"environment": "prod", "digest": digest(MODEL)}

    def ask(**more: Any) -> Attempt:
        return lambda: cast["p-author"].emit("approval.requested", MODEL, {**request, **more})

    cases: list[tuple[str, Attempt, str, bool]] = [
        ("same id", lambda: cast.admin.append(seal(same_id, cast.keys["trainer"])), f"index {first.index}", True),
        ("same id through emit", lambda: trainer.emit("external.observed", "external:x", system="two",
                                                     event_id=first.id), f"index {first.index}", True),
        ("same number", lambda: cast.admin.append(seal(same_number, cast.keys["trainer"])), "sequence number", True),
        ("stale", lambda: trainer.emit("run.failed", "run:credit-scoring-1", reason="x",
                                       expect={"run:credit-scoring-1": 0}), "moved on", True),
        ("a stream that does not exist", lambda: trainer.emit("run.failed", "run:r", reason="x", expect={"run:q": 1}),
         "run:q", True),
        ("other bytes of a data set", lambda: trainer.emit(
            "dataset.registered", "dataset:credit-scoring-1@1", digest=digest("x")), "already registered", True),
        ("other bytes of a version", lambda: trainer.emit(
            "version.registered", MODEL, digest=digest("x"), owner="p-author", tier="high"),
         "already registered", True),
        ("another tier of a version", lambda: trainer.emit(
            "version.registered", MODEL, digest=digest(MODEL), owner="p-author", tier="low",
            run="run:credit-scoring-1"), "already registered with tier high", True),
        ("another history", ask(seen={"size": head.size, "root": "0" * 64}), "another history", False),
        ("a future", ask(seen={"size": head.size + 1, "root": head.root().hex()}), "another history", False),
        ("other evidence", ask(evidence=[{"index": 4, "leaf_hash": leaf}]), "index 4", False),
        ("evidence to come", ask(evidence=[{"index": head.size, "leaf_hash": leaf}]), f"index {head.size}", False),
    ]  # fmt: skip
    for what, attempt, words, hint in cases:
        with refused(cast, what, ConflictError, words, hint=hint):
            attempt()
    assert ask(seen={"size": head.size, "root": head.root().hex()}, evidence=[{"index": 3, "leaf_hash": leaf}])()
    same = {"digest": digest(MODEL), "owner": "p-author", "tier": "high", "run": "run:credit-scoring-1"}
    assert trainer.emit("version.registered", MODEL, same).index
    still_good(cast)


# -- the rules -------------------------------------------------------------------------------------


def decision(cast: Cast, actor: str, kind: str, request: str, **changes: Any) -> Attempt:
    body = {"environment": "prod", "digest": digest(MODEL), "request": request, "rationale": "because", **changes}
    return lambda: cast[actor].emit(kind, MODEL, {"evidence": cast.cites(), **body})


def test_decisions_the_rules_refuse(cast: Cast):
    cast.enrol("p-second", "person", ["approver", "owner", "emitter"])
    cast.enrol("p-boss", "person", ["owner"])
    cast.enrol("bot", "service", ["approver", "emitter"], "p-author")
    author, approver, deployer = cast["p-author"], cast["p-approver"], cast["p-deployer"]
    never = str(uuid4())

    with refused(cast, "request of nothing", PolicyError, "not registered", hint=True):
        author.emit("approval.requested", "model:none@1", environment="prod", digest=digest(MODEL))
    with refused(cast, "authorise nothing", PolicyError, "not registered", hint=True):
        deployer.emit("deployment.authorised", PROD, model="model:none@1", digest=digest(MODEL))
    register(cast, passed=False)
    with refused(cast, "no request", PolicyError, "no open request", hint=True):
        decision(cast, "p-approver", "approval.granted", never)()
    with refused(cast, "no request, by command", PolicyError, "no open request", hint=True):
        commands.approve(approver, MODEL, rationale="x")
    with refused(cast, "reject what nobody asked", PolicyError, "no open request", hint=True):
        decision(cast, "p-approver", "approval.rejected", never)()
    with refused(cast, "request of other bytes", PolicyError, "registered as"):
        author.emit("approval.requested", MODEL, environment="prod", digest=digest("x"))
    with refused(cast, "request by a role that may not", NotAllowedError, "role"):
        deployer.emit("approval.requested", MODEL, environment="prod", digest=digest(MODEL))

    request = cast["trainer"].emit(
        "approval.requested", MODEL, environment="prod", digest=digest(MODEL), on_behalf_of="p-boss"
    ).id  # fmt: skip
    with refused(cast, "no role", NotAllowedError, "approver"):
        decision(cast, "p-author", "approval.granted", request)()
    with refused(cast, "no evaluation", PolicyError, "evaluation", hint=True):
        decision(cast, "p-approver", "approval.granted", request)()
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={}, verdict="fail", digest=digest(MODEL))
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={"auc": 0.9}, verdict="pass", digest=digest("others"))
    with refused(cast, "failed, or of other bytes", PolicyError, "passed evaluation", hint=True):
        decision(cast, "p-approver", "approval.granted", request)()
    cast["trainer"].emit("evaluation.completed", MODEL, metrics={"auc": 0.9}, verdict="pass", digest=digest(MODEL))

    with refused(cast, "other digest than asked", PolicyError, "another environment or digest"):
        decision(cast, "p-approver", "approval.granted", request, digest=digest("x"))()
    with refused(cast, "other environment than asked", PolicyError, "another environment or digest"):
        decision(cast, "p-approver", "approval.granted", request, environment="dev")()
    with refused(cast, "unapproved", PolicyError, "needs 1 approval(s) for prod", hint=True):
        commands.authorise(deployer, PROD, MODEL)
    with refused(cast, "authorise by a role that may not", NotAllowedError, "deployer"):
        commands.authorise(author, PROD, MODEL)

    decision(cast, "p-approver", "approval.granted", request)()
    with refused(cast, "approved twice by one", ConflictError, "already approved"):
        decision(cast, "p-approver", "approval.granted", request)()
    with refused(cast, "authorise other bytes", PolicyError, "registered as"):
        deployer.emit("deployment.authorised", PROD, model=MODEL, digest=digest("x"))
    with refused(cast, "authorise elsewhere", PolicyError, "for stage", hint=True):
        commands.authorise(deployer, "deployment:stage/scoring", MODEL)
    commands.authorise(deployer, PROD, MODEL)
    decision(cast, "p-second", "approval.rejected", request)()
    with refused(cast, "approve what was turned down", PolicyError, "no open request"):
        decision(cast, "p-second", "approval.granted", request)()
    with refused(cast, "authorise what was turned down", PolicyError, "and has 0"):
        commands.authorise(deployer, PROD, MODEL)
    still_good(cast)


def test_nobody_approves_their_own(cast: Cast):
    """Requester, run author, registrant, and whoever one of them acted for; by person, not by account."""
    cast.enrol("p-all", "person", ["approver", "owner", "emitter"])
    cast.enrol("p-boss", "person", ["approver"])
    cast.enrol("bot-author", "service", ["approver", "emitter"], "p-author")
    cast.enrol("bot-all", "service", ["emitter", "owner"], "p-all")
    number = 0

    def version(run_by: str = "trainer", registered_by: str = "trainer", **options: Any) -> str:
        nonlocal number
        number += 1
        model, run = f"model:m@{number}", f"run:r{number}"
        cast[run_by].emit("run.completed", run, **options.get("run", {}))
        cast[registered_by].emit(
            "version.registered", model, digest=digest(model), owner="p-author", tier="high", run=run,
            **options.get("version", {}),
        )  # fmt: skip
        cast["trainer"].emit("evaluation.completed", model, metrics={"auc": 0.9}, verdict="pass", digest=digest(model))
        commands.request_approval(cast[options.get("asked_by", "p-author")], model, "prod", **options.get("ask", {}))
        return model

    own = {"on_behalf_of": "p-boss"}
    cases: list[tuple[str, str, str]] = [
        ("the requester", "p-all", version(asked_by="p-all")),
        ("the run's author", "p-all", version(run_by="p-all")),
        ("the registrant", "p-all", version(registered_by="p-all")),
        ("a service of the requester's person", "bot-author", version()),
        ("the person behind the requesting service", "p-all", version(asked_by="bot-all")),
        ("the person behind the training service", "p-all", version(run_by="bot-all")),
        ("whom the requester acted for", "p-boss", version(ask=own)),
        ("whom the run was for", "p-boss", version(run=own)),
        ("whom the registration was for", "p-boss", version(version=own)),
    ]
    for what, approver, model in cases:
        with refused(cast, what, NotAllowedError, "another person", hint=True):
            commands.approve(cast[approver], model, rationale="mine is good")
        with refused(cast, f"{what}, through another account", NotAllowedError, ""):
            commands.approve(cast["p-approver"], model, rationale="for them", on_behalf_of="p-author")
        assert commands.approve(cast["p-approver"], model, rationale="independent").index
    mine = version()
    with refused(cast, "for somebody unknown", AuthenticationError, "'p-unknown', who is not enrolled"):
        commands.approve(cast["p-approver"], mine, rationale="for a stranger", on_behalf_of="p-unknown")
    body = {"digest": digest("n"), "owner": "p-author", "tier": "high", "run": "run:not-recorded"}
    cast["trainer"].emit("version.registered", "model:n@1", body)
    cast["trainer"].emit("evaluation.completed", "model:n@1", metrics={"auc": 0.9}, verdict="pass", digest=digest("n"))
    commands.request_approval(cast["p-author"], "model:n@1", "prod")
    with refused(cast, "made by nobody knows whom", NotAllowedError, "cannot be resolved", hint=True):
        commands.approve(cast["p-approver"], "model:n@1", rationale="who is behind it?")
    cast["trainer"].emit("run.completed", "run:not-recorded")
    commands.approve(cast["p-approver"], "model:n@1", rationale="now it is known")
    still_good(cast)


def test_what_no_rule_covers_is_refused(quick_url: str):
    only_dev = RuleSet(
        name="dev only",
        rules=(Rule(environment="dev", tier="low", authorisation=False, approvals=0, evaluation=False),),
    )
    cast = make_cast(quick_url, rules=only_dev)
    register(cast, tier="low")
    register(cast, "model:risky@1", tier="high")
    with refused(cast, "environment", PolicyError, "no rule covers"):
        commands.request_approval(cast["p-author"], MODEL, "prod")
    with refused(cast, "tier", PolicyError, "no rule covers"):
        commands.request_approval(cast["p-author"], "model:risky@1", "dev")
    with refused(cast, "authorisation", PolicyError, "no rule covers"):
        commands.authorise(cast["p-deployer"], PROD, MODEL)
    commands.request_approval(cast["p-author"], MODEL, "dev")
    commands.approve(cast["p-approver"], MODEL, rationale="no evaluation needed")
    still_good(cast)


def test_facts_and_protection_are_never_refused_for_policy(cast: Cast):
    """The same world in which every decision is refused records what happened, and marks it."""
    cast["p-author"].emit("run.completed", "run:mine")
    deployer = cast["p-deployer"]
    receipt = deployer.emit("deployment.completed", PROD, model="model:none@1", digest=digest("x"))
    assert receipt.marks == ("unauthorised",)
    assert cast["trainer"].emit("evaluation.completed", "model:none@1", metrics={}).marks == ("unknown-version",)
    back = cast["trainer"].emit("rollback.completed", PROD, model="model:older@1", digest=digest("y"))
    assert back.marks == ("never-live",)
    cast["trainer"].emit("rollback.authorised", PROD, model="model:older@1", digest=digest("y"))
    other = {"title": "x", "seen": {"size": 3, "root": "0" * 64}}
    assert cast["p-approver"].emit("incident.opened", "incident:1", other).marks == ("other-history",)
    still_good(cast)
