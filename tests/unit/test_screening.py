"""Secrets are hidden in facts and refuse decisions; real events pass untouched; hostile text takes no long time."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import time
from typing import Any

import pytest

from ledger.errors import ConfigurationError, InputError
from ledger.events import Category, all_event_types, find_event_type
from ledger.events.base import load_body
from ledger.screen import Screening
from ledger.screening import REDACTED, find_secrets, redact_secrets
from ledger.secretpatterns import PATTERNS
from tests.unit.secret_corpus import B62, HEX, KINDS, events, secrets, text

SEED = 20261126


def _shown(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False)


@pytest.mark.parametrize("seed", [SEED, SEED + 1, SEED + 2])
def test_all_of_200_secrets_are_caught_and_gone_from_what_is_signed(seed: int):
    missed = []
    for kind, body, secret in secrets(seed, 200):
        clean, found = redact_secrets(body)
        if not found or secret in _shown(clean) or find_secrets(clean):
            missed.append((kind, body, clean))
    assert missed == []
    assert len(KINDS) > 50


def test_nothing_in_10_000_real_events_is_taken_for_a_secret():
    alarms = []
    for type_, subject, body in events(SEED, 10_000):
        clean, found = redact_secrets(body)
        named = find_secrets({"subject": subject})
        if found or named or clean is not body:
            alarms.append((type_, found + named, body))
    assert alarms == []


def test_a_decision_or_a_name_with_a_secret_is_refused_and_the_secret_is_not_in_the_error():
    screening = Screening()
    for kind, body, secret in secrets(SEED, 200):
        with pytest.raises(InputError) as caught:
            screening.screen("approval.granted", "model:a@1", {"rationale": body})
        assert secret not in str(caught.value) + caught.value.hint, kind
    token = next(secret for kind, _, secret in secrets(SEED, 200) if kind == "github")
    with pytest.raises(InputError, match="subject") as caught:
        screening.screen("run.completed", f"run:{token}", {})
    assert token not in caught.value.message
    with pytest.raises(InputError, match="correlation_id"):
        screening.screen("run.completed", "run:a", {}, (token, None))


def test_what_was_hidden_is_said_in_the_event_and_in_a_line_without_the_secret():
    token = next(secret for kind, _, secret in secrets(SEED, 200) if kind == "hugging face")
    screening = Screening()
    lines: list[str] = []
    screening.notify = lines.append
    body = screening.screen("run.completed", "run:a", {"params": {"x": f"use {token} here", token: 1}, "n": 1})
    assert body["params"] == {"x": "use [redacted: huggingface-token] here", "[redacted: huggingface-token]": 1}
    assert body[REDACTED] == [
        {"field": "params.x", "pattern": "huggingface-token"},
        {"field": "params.(name)", "pattern": "huggingface-token"},
    ]
    assert len(lines) == 1
    assert token not in lines[0]


def test_a_name_that_is_a_secret_is_not_shown_in_the_path_of_another():
    token = next(secret for kind, _, secret in secrets(SEED, 200) if kind == "github")
    _, found = redact_secrets({token: {"password": "hunter22"}})
    assert token not in str(found)


def test_warn_signs_it_and_says_so_and_off_does_not_look():
    token = next(secret for kind, _, secret in secrets(SEED, 200) if kind == "github")
    lines: list[str] = []
    for type_ in ("run.completed", "approval.granted"):
        screening = Screening("warn")
        screening.notify = lines.append
        assert screening.screen(type_, "model:a@1", {"note": token}) == {"note": token}
        off = Screening("off")
        off.notify = lines.append
        assert off.screen(type_, "model:a@1", {"note": token}) == {"note": token}
    assert len(lines) == 2
    assert not any(token in line for line in lines)
    with pytest.raises(ConfigurationError, match="no setting"):
        Screening("yes")


def test_a_field_can_be_allowed_by_its_path():
    token = next(secret for kind, _, secret in secrets(SEED, 200) if kind == "github")
    body = {"params": {"sample": token, "other": token}}
    clean, found = redact_secrets(body, ["params.sam*"])
    assert clean["params"]["sample"] == token
    assert [item.field for item in found] == ["params.other"]


def test_every_fact_may_carry_the_list_of_what_was_hidden_in_it():
    facts = [kind for kind in all_event_types() if kind.category in (Category.FACT, Category.PROTECTION)]
    assert facts
    assert [kind.name for kind in facts if kind.body.model_config.get("extra") != "allow"] == []
    body, _ = redact_secrets({"params": {"password": "hunter22"}})
    load_body(find_event_type("run.completed"), body)


@pytest.mark.parametrize(
    ("words", "secret"),
    [
        ('db_password: "correct horse battery"', "correct horse battery"),
        ("PASSWORD = 'two words'", "two words"),
        ("password=$ecr3t!x9", "$ecr3t!x9"),
        ("password: <3hunter", "<3hunter"),
        ("password=%40hunter", "%40hunter"),
        ("password=/x9!hunter", "/x9!hunter"),
        ("postgres://app:pa/ss#1@db.internal/x", "pa/ss#1"),
        ("postgres://app:p?ss@[::1]:5432/x", "p?ss"),
    ],
)
def test_passwords_of_any_form_are_hidden(words: str, secret: str):
    clean, found = redact_secrets({"note": words})
    assert found
    assert secret not in clean["note"]


@pytest.mark.parametrize(
    "words",
    [
        "password=$DB_PASSWORD", "password=${DB_PASSWORD}", "password=$(cat x)", "password: <your password>",
        "password=%PASSWORD%", "password=%(password)s", "password=%s", "password=/run/secrets/db",
        'password: "changeme"', "http://db.internal:8080/teams/a@b", "http://[::1]:8080/x@y", "oci://registry:5000/a@sha256",
        "https://docs.example/a:b@c",
    ],
)  # fmt: skip
def test_what_stands_for_a_password_is_left(words: str):
    assert not find_secrets({"note": words})


def test_a_hash_under_a_name_for_one_passes_and_the_same_under_a_name_for_a_secret_does_not():
    value = text(random.Random(1), HEX, 64)
    assert not find_secrets({"digest": value, "note": value, "tags": {"run_id": value}})
    assert find_secrets({"api_key": value})


_KEY = text(random.Random(2), HEX, 64)
_TOKEN = text(random.Random(3), B62, 20)


@pytest.mark.parametrize(
    ("body", "secret"),
    [
        ({"config": {"encryption_key": _KEY}}, _KEY),
        ({"params": {"webhookSigningKey": _KEY.upper()}}, _KEY.upper()),
        ({"config": {"api_secret": "hunter2pass"}}, "hunter2pass"),
        ({"env": {"WEBHOOK_SECRET": "hunter2pass"}}, "hunter2pass"),
        ({"params": {"db_pass": "hunter2pass"}}, "hunter2pass"),
        ({"params": {"smtpPass": "hunter2pass"}}, "hunter2pass"),
        ({"params": {"user_pwd": "hunter2pass"}}, "hunter2pass"),
        ({"params": {"ssh_passphrase": "hunter2pass"}}, "hunter2pass"),
        ({"env": [{"name": "DB_PASSWORD", "value": "hunter2pass"}]}, "hunter2pass"),
        ({"tags": [{"key": "api_key", "value": _KEY}]}, _KEY),
        ({"params": {"password": {"value": "hunter2pass"}}}, "hunter2pass"),
        ({"command": "mysql --password Sup3rSecret -h db"}, "Sup3rSecret"),
        ({"command": "mysql --db-password 'hunter2pass' -h db"}, "hunter2pass"),
        ({"command": f"train --api-key {_KEY}"}, _KEY),
        ({"command": f"train --hub-token {_TOKEN}"}, _TOKEN),
        ({"command": ["mysql", "--db-password", "hunter2pass", "-h", "db"]}, "hunter2pass"),
        ({"note": f"encryption_key={_KEY}"}, _KEY),
        ({"note": "export DB_PASS=hunter2pass"}, "hunter2pass"),
    ],
    ids=str,
)
def test_what_a_name_beside_it_calls_a_secret_is_hidden(body: dict[str, Any], secret: str):
    clean, found = redact_secrets(body)
    assert found
    assert secret not in _shown(clean)
    assert find_secrets(clean) == []


@pytest.mark.parametrize("kind", ["aws key id", "github", "github fine", "gitlab", "openai", "npm", "grafana", "slack"])
def test_a_token_that_is_cut_in_pieces_side_by_side_is_hidden(kind: str):
    chance = random.Random(kind)
    missed = []
    for _ in range(20):
        secret = KINDS[kind](chance)
        first = chance.randrange(15 if len(secret) > 22 else 8, len(secret) - 6)
        cuts = [secret[:first], secret[first:]]
        three = (
            [secret[:11], secret[11:first], secret[first:]] if first > 14 else [secret[:5], secret[5:10], secret[10:]]
        )
        for body in (
            {"args": ["--token", *cuts, "--verbose"]},
            {"params": {"a": cuts[0], "b": cuts[1], "lr": 0.1}},
            {"params": {"token_part_a": cuts[0], "token_part_b": cuts[1]}},
            {"note": ["the", *three]},
            {"x": [{"y": cuts}]},
        ):
            clean, found = redact_secrets(body)
            # Where a piece alone has the form of a token, as long ones do, what follows it may stay.
            if not found or cuts[0] in _shown(clean) or three[1] in _shown(clean) or find_secrets(clean):
                missed.append((body, clean))
    assert missed == []


def test_words_beside_a_token_stay():
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    clean, _ = redact_secrets({"args": ["train", token, "churn", "--seed", "42"]})
    assert clean["args"] == ["train", "[redacted: github-token]", "churn", "--seed", "42"]
    clean, _ = redact_secrets({"args": [f"--token={token}", "nightly2"]})
    assert clean["args"][1] == "nightly2"


def test_what_is_encoded_is_hidden_as_a_whole_and_other_text_in_base_64_is_left():
    token = base64.b64encode(b'{"aws": "AKIA' + b"ABCDEFGHIJ234567" + b'"}').decode()
    clean, found = redact_secrets({"data": {"config": f"x {token} y"}})
    assert (clean["data"]["config"], found[0].pattern) == ("x [redacted: base64] y", "base64")
    for plain in (
        b'{"lr": 0.001, "epochs": 10, "model": "churn"}',
        b"password=${DB_PASSWORD} token=none",
        bytes(range(60)),
    ):
        assert find_secrets({"data": {"config_digest": base64.b64encode(plain).decode()}}) == []


@pytest.mark.parametrize(
    "words",
    [
        "MFA is enforced for ACCOUNTADMINROLE2", "the prototype of HOTPATHOPTIMIZER23",
        "otp: this that with some more word",
        "authenticator GOOGLEAUTHENTICATOR", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "A2B3C4D5E6F7A2B3C4D5E6F7A2B3C4D5",
        "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHG",
    ],
)  # fmt: skip
def test_what_is_no_base_32_by_chance_is_left(words: str):
    assert find_secrets({"note": words}) == []


def test_names_of_keys_and_words_about_passwords_pass():
    uuid = "6f1d7f1e-7d0e-4c3a-9a65-0f2c9f9f3c7e"
    for body in (
        {"params": {"encryption_key": uuid, "signing_key": "ed25519:" + _KEY, "master_key": "alias/ml-prod-eu-1"}},
        {"params": {"encryption_key": f"arn:aws:kms:eu-west-1:123456789012:key/{uuid}", "kms_key": uuid}},
        {"params": {"encryption_key": "projects/ml/locations/eu/keyRings/prod1/cryptoKeys/model-key"}},
        {"params": {"image_pull_secret": "regcred", "kubernetes_secret": "wandb-v2", "secret_name": "wandb-v2"}},
        {"params": {"forward_pass": "full2", "pass": "second", "bypass": "none1", "idempotency_key": uuid}},
        {"env": [{"name": "SEED", "value": "42"}, {"name": "DB_PASSWORD", "valueFrom": "regcred"}]},
        {"tags": [{"key": "config_digest", "value": "q" + _TOKEN * 2}]},
        {"note": "give --password once; --password must be set, --db-password FILE, --token is optional"},
        {"command": "train --password-file /run/secrets/db2 --tokenizer BAAI/bge-large-en-v1.5 --password $DB2"},
        {"command": ["train", "--password", "--verbose", "--key", "customer_id"]},
    ):
        assert find_secrets(body) == [], body


def _hostile() -> dict[str, str]:
    n = 65_536
    found = {
        "nothing": "a" * n,
        "base 64": "aB3" * (n // 3),
        "slashes": "/" * n,
        "equals": "=" * n,
        "schemes": "://" * (n // 3),
        "users": "://a:" * (n // 5),
        "at": "://a:b@" * (n // 7),
        "spaces": "password" + " " * n,
        "settings": "password=" * (n // 9),
        "tokens": "token:" * (n // 6),
        "bearer": "bearer " * (n // 7),
        "blocks": "-----BEGIN PRIVATE KEY-----" * (n // 27),
        "begins": "-----BEGIN " * (n // 11),
        "quotes": '"kty"' + '"d":"' * (n // 5),
        "dots": "eyJ" + "a.b" * (n // 3),
        "dashes": "eyJa-" * (n // 5),
    }
    n //= 8  # there are hundreds of these
    for pattern in PATTERNS:
        for trigger in pattern.triggers:
            found[f"{pattern.name} {trigger}"] = trigger * (n // len(trigger))
            found[f"{pattern.name} {trigger}a"] = (trigger + "aB3-_.") * (n // (len(trigger) + 6))
    return found


def _seconds(hostile: str) -> float:
    """Processor time; when it is long, the better of two."""
    took: list[float] = []
    while not took or (len(took) < 2 and took[0] > 0.05):
        start = time.process_time()
        find_secrets({"note": hostile})
        took.append(time.process_time() - start)
    return min(took)


def test_hostile_text_of_64_kib_is_looked_through_in_linear_time():
    for name, hostile in _hostile().items():
        took = _seconds(hostile)
        assert took < 2.0, name
        if took > 0.05:  # four times the text takes four times as long; it would be sixteen if it were quadratic
            assert took < _seconds(hostile[: len(hostile) // 4]) * 10, name


def test_a_process_that_emits_one_clean_event_compiles_no_pattern():
    program = (
        "import ledger.screen, ledger.secretpatterns as p; "
        "body = {'metrics': {'auc': 0.9}, 'params': {'lr': '0.1'}}; "
        "ledger.screen.Screening().screen('run.completed', 'run:a', body); "
        "print(p._compiled.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
