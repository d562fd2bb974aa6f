"""Keys on PKCS#11 tokens, with SoftHSM: for actors, roots and heads; the PIN is seen nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.errors import AuthenticationError, ConfigurationError, InputError
from ledger.keys import format_public_key
from ledger.keystore import Keystore, open_key
from ledger.tokens import TokenSigner, parse_key_uri
from tests.cli.support import ORIGIN, Result, run
from tests.fork_server import quick_script
from tests.tokens.conftest import PIN, Token

NewToken = Callable[..., Token]


def signer(token: Token, key: str = "key") -> TokenSigner:
    found = open_key(token.uri(key))
    assert isinstance(found, TokenSigner)
    return found


def test_a_key_on_a_token_signs_like_any_other(new_token: NewToken):
    token = new_token("plain", "key", "other")
    key = signer(token)
    signature = key.sign(b"message")
    key.public.verify(signature, b"message")
    with pytest.raises(AuthenticationError):
        key.public.verify(signature, b"another")
    assert signer(token).public == key.public
    other = signer(token, "other")
    assert other.public != key.public
    by_id = parse_key_uri(f"pkcs11:token={token.label};id=%6Be%79?module-path={token.library}")
    assert TokenSigner(by_id, lambda _: PIN.encode()).public == key.public
    assert PIN not in repr(key)


def test_threads_and_children_sign_with_one_key(new_token: NewToken):
    key = signer(new_token("many", "key"))
    bad: list[Exception] = []

    def sign() -> None:
        try:
            for number in range(20):
                message = b"%d" % number
                key.public.verify(key.sign(message), message)
        except Exception as error:
            bad.append(error)

    threads = [threading.Thread(target=sign) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert bad == []
    child = os.fork()
    if child == 0:
        try:
            key.public.verify(key.sign(b"child"), b"child")
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    key.public.verify(key.sign(b"parent"), b"parent")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pkcs11:object=key", "must name a token and a key"),
        ("pkcs11:token=a", "must name a token and a key"),
        ("pkcs11:token=a;object=b?pin-value=1234", "does not belong into a key URI"),
        ("pkcs11:token=a;object=b;pin-value=1234", "does not belong into a key URI"),
        ("pkcs11:token=a;object=b;secret=1234", "path of the key URI is malformed"),
        ("pkcs11:token=a;token=b;object=c", "path of the key URI is malformed"),
        ("pkcs11:token=a;object=b?other=1234", "query of the key URI is malformed"),
        ("pkcs11:token=a;object=%zz", "path of the key URI is malformed"),
        ("pkcs11:token=%ff;object=b", "not UTF-8"),
        ("pkcs11:token=a;object=b;type=public", "does not name a private key"),
        ("PKCS11:token=a;object=b", "begins with pkcs11:"),
    ],
)
def test_a_malformed_key_uri_is_refused_without_being_repeated(text: str, words: str):
    with pytest.raises(InputError, match=words) as caught:
        parse_key_uri(text)
    assert "1234" not in f"{caught.value.message} {caught.value.hint}"


def test_what_cannot_be_opened_says_why(new_token: NewToken, tmp_path: Path, monkeypatch):
    token = new_token("faults", "key", "twin", "twin")
    good = token.uri("key", pin=False)

    def refused(uri: str, words: str, pin: bytes | None = PIN.encode()) -> None:
        with pytest.raises(ConfigurationError, match=words) as caught:
            TokenSigner(parse_key_uri(uri), lambda _: pin)
        assert PIN not in f"{caught.value.message} {caught.value.hint}"

    refused(token.uri("nothing"), "no such key")
    refused(token.uri("twin"), "several keys")
    refused(good.replace(token.label, "nobody"), "no such token")
    refused(good.replace(token.library, "/nowhere.so"), "cannot be opened")
    refused(good.partition("?")[0], "no PKCS#11 library is named")
    refused(good, "needs its PIN", None)
    refused(good, "not UTF-8", b"\xff")
    for text, mode, words in (("", 0o600, "one line"), ("a\nb", 0o600, "one line"), (PIN, 0o644, "by others")):
        path = tmp_path / "bad.pin"
        path.write_text(text)
        path.chmod(mode)
        refused(f"{good}&pin-source=file:{path}", words)
    refused(f"{good}&pin-source={tmp_path}/none", "cannot be read")
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    refused(good, "python-pkcs11")


def test_a_wrong_pin_is_said_and_not_shown(new_token: NewToken):
    """In a process of its own: a login is the whole process's."""
    token = new_token("pin", "key")
    wrong = token.pin_file.with_name("wrong.pin")
    wrong.write_text("wrong-pin-9c\n")
    wrong.chmod(0o600)
    uri = token.uri("key").replace(str(token.pin_file), str(wrong))
    done = subprocess.run([quick_script(), "root", "public", "--key", uri], capture_output=True, text=True, check=False)
    assert done.returncode == 8
    assert "the PIN is wrong" in done.stderr
    assert "wrong-pin-9c" not in done.stderr + done.stdout


def test_a_reference_names_exactly_one_key(new_token: NewToken, tmp_path: Path):
    token = new_token("store", "key", "other")
    store = Keystore(tmp_path / "keys")
    path = store.attach("ci", signer(token))
    assert path.stat().st_mode & 0o777 == 0o600
    assert PIN not in path.read_text()
    assert store.load("ci").public == signer(token).public
    assert store.has("ci", keyid=signer(token).public.keyid)
    assert [key.on_token for key in store.list()] == [True]
    path.write_text(path.read_text().replace("object=key", "object=other"))
    with pytest.raises(ConfigurationError, match="not the one that"):
        store.load("ci")
    path.write_text("{}\n")
    with pytest.raises(ConfigurationError, match="damaged"):
        store.load("ci")
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="by others"):
        store.load("ci")


@pytest.fixture
def home(empty: Path) -> Path:
    run("init", "--origin", ORIGIN, "--keys", "keys").good()
    return empty


def test_an_actor_a_root_and_the_heads_sign_on_tokens(new_token: NewToken, home: Path):
    """One ledger whose every key is on a token."""
    token = new_token("all", "root-a", "root-b", "heads", "ci")
    printed = []

    def do(*arguments: object) -> str:
        done = run(*arguments).good()
        printed.append(done.out + done.err)
        return done.out

    for name in ("root-a", "root-b"):
        Path(f"{name}.pub").write_text(do("root", "public", "--key", token.uri(name)))
    (first,) = (home / ".muniment" / "keys").glob("root.*.pem")
    roots = ("--root", "root-a.pub", "--root", "root-b.pub")
    do("root", "propose", "roots", *roots, "--threshold", "2", "--reason", "tokens")
    for key in (first, token.uri("root-a"), token.uri("root-b")):
        do("root", "sign", "proposal.ceremony", "--key", key, "--yes")
    do("root", "submit", "proposal.ceremony")
    first.unlink()
    do(
        "actor",
        "enrol",
        "ci",
        "--kind",
        "service",
        "--role",
        "emitter",
        "--responsible",
        admin(home),
        "--key",
        token.uri("ci"),
    )
    do("emit", "external.observed", "external:x", "-d", "system=test", "--as", "ci")
    do("root", "propose", "checkpoint-key", "--key", token.uri("heads"), "--reason", "x", "--out", "heads.ceremony")
    for name in ("root-a", "root-b"):
        do("root", "sign", "heads.ceremony", "--key", token.uri(name), "--yes")
    do("root", "submit", "heads.ceremony")
    do("emit", "external.observed", "external:y", "-d", "system=test", "--as", "ci")
    assert do("checkpoint", "show").count("— ") == 1
    do("verify", "log", "--all")
    do("doctor", "--prod")
    keys = home / ".muniment" / "keys"
    assert {path.suffix for path in keys.glob("ci.*")} == {".pkcs11"}
    assert all(PIN not in path.read_text(errors="replace") for path in keys.iterdir())
    assert all(PIN not in text for text in printed)
    token.destroy()
    dead = subprocess.run(
        [quick_script(), "emit", "external.observed", "external:z", "-d", "system=test", "--as", "ci"],
        capture_output=True, text=True, check=False, cwd=home,
    )  # fmt: skip
    assert dead.returncode == 8
    assert "no such token" in dead.stderr


def admin(home: Path) -> str:
    from ledger.home import Home

    return str(Home.find(str(home)).settings.actor)


def ask(home: Path, uri: str) -> Result:
    return run("key", "request", "--by", admin(home), "--role", "approver", "--key", uri, "-o", "json").good()


def test_a_person_brings_a_key_on_a_token(new_token: NewToken, home: Path):
    token = new_token("person", "mine")
    made = ask(home, token.uri("mine"))
    run("actor", "enrol", "--request", "key.request", "--yes").good()
    run("incident", "open", "incident:1", "--title", "x", "--as", made.json["actor"]).good()
    assert made.json["key"] == format_public_key(signer(token, "mine").public)
    run("verify", "log").good()


def test_a_key_is_attached_after_it_was_enrolled(new_token: NewToken, home: Path):
    token = new_token("late", "mine")
    made = ask(home, token.uri("mine"))
    run("actor", "enrol", "--request", "key.request", "--yes").good()
    Path(made.json["private_key"]).unlink()
    run("incident", "open", "incident:1", "--title", "x", "--as", made.json["actor"]).refused(8, "no private key")
    run("key", "attach", made.json["actor"], token.uri("mine")).good()
    run("incident", "open", "incident:1", "--title", "x", "--as", made.json["actor"]).good()
