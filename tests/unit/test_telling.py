"""Telling a platform: a command without a shell and without our secrets, a webhook that follows nobody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import ConfigurationError
from ledger.telling import MAX_TOLD, Command, Webhook, read_secret

KEY = "019b0000-0000-7000-8000-000000000001"
BODY = b'{"action":"hold"}'
SECRET = b"a secret of enough bytes"


def python(code: str, *arguments: str, **options: Any) -> Command:
    return Command((sys.executable, "-c", code, *arguments), **options)


# -- commands -------------------------------------------------------------------------------------------------------


def test_a_command_gets_the_body_and_few_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUNIMENT_WEBHOOK_SECRET", "never")
    monkeypatch.setenv("KUBECONFIG", "/etc/kube")
    out = tmp_path / "out"
    code = "import json, os, sys; json.dump([sys.stdin.read(), dict(os.environ)], open(sys.argv[1], 'w'))"
    found = python(code, str(out), pass_on=("KUBECONFIG", "NOT_SET")).tell(KEY, BODY)
    assert (found.told, found.attempts, found.status, found.reason) == (True, 1, 0, "")
    text, environment = json.loads(out.read_text())
    assert text.encode() == BODY
    assert environment.pop("MUNIMENT_DECISION") == KEY
    assert environment["KUBECONFIG"] == "/etc/kube"
    assert set(environment) <= {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "KUBECONFIG", "LC_CTYPE"}


def test_no_shell_reads_the_command(tmp_path: Path):
    out = tmp_path / "out"
    command = Command.parse(
        f"{sys.executable} -c 'import sys; print(sys.argv)' '$(touch {out})' ; touch {out}", seconds=9
    )
    assert command.arguments[-3:] == (";", "touch", str(out))
    assert command.tell(KEY, BODY).told
    assert not out.exists()
    name, mark = command.recipient.split("#")
    assert (name, len(mark)) == (sys.executable, 6), "arguments may be secret"
    assert len({Command.parse(text, seconds=9).recipient for text in ("sh -c A", "sh -c B", "sh  -c A")}) == 2


@pytest.mark.parametrize("text", ["", "  ", "a 'b"])
def test_a_command_that_is_none(text: str):
    with pytest.raises(ConfigurationError):
        Command.parse(text, seconds=1)


def test_a_command_that_fails_is_not_there_or_reads_nothing():
    found = python("import sys; sys.exit(3)").tell(KEY, BODY * 5000)
    assert (found.told, found.status, found.reason) == (False, 3, "it ended with 3")
    found = Command(("/nowhere/at-all",)).tell(KEY, BODY)
    assert (found.told, found.status) == (False, None)
    assert "cannot be run" in found.reason


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path):
    out = tmp_path / "pid"
    hangs = ("sh", "-c", 'sleep 300 & echo $! > "$0"; sleep 300', str(out))  # a shell is there at once, also under load
    started = time.monotonic()
    found = Command(hangs, seconds=2).tell(KEY, BODY)
    assert time.monotonic() - started < 60
    assert (found.told, "more than 2 s" in found.reason) == (False, True)
    child = Path("/proc") / out.read_text().strip()
    for _ in range(1200):
        if not child.exists() or (child / "stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("what it started goes on")


# -- webhooks -------------------------------------------------------------------------------------------------------


class Platform:
    """A server on this machine that answers what it is told to, and remembers."""

    def __init__(self, answers: list[Any]) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                platform.seen.append((self.path, dict(self.headers), self.rfile.read(length)))
                answer = answers.pop(0) if answers else 200
                if answer == "cut":
                    self.connection.close()
                    return
                if answer == "slow":
                    time.sleep(1)
                    return
                self.send_response(answer)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def platform() -> Iterator[Callable[..., Platform]]:
    made: list[Platform] = []

    def make(*answers: Any) -> Platform:
        made.append(Platform(list(answers)))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def test_a_webhook_is_signed_as_standard_webhooks_say(platform: Callable[..., Platform]):
    there = platform()
    before = int(time.time())
    found = Webhook(there.url + "/hook?token=t", SECRET).tell(KEY, BODY)
    assert (found.told, found.attempts, found.status) == (True, 1, 200)
    ((path, headers, body),) = there.seen
    assert (path, body, headers["Content-Type"]) == ("/hook?token=t", BODY, "application/json")
    assert headers["webhook-id"] == headers["Idempotency-Key"] == KEY
    stamp = headers["webhook-timestamp"]
    assert before <= int(stamp) <= before + 60
    signed = hmac.new(SECRET, f"{KEY}.{stamp}.".encode() + BODY, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(signed).decode()


def test_the_vector_of_standard_webhooks():
    """The example of its specification's reference implementations."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = Webhook("https://x.example/", secret).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", body, 1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_without_a_secret_it_is_not_signed(platform: Callable[..., Platform]):
    there = platform()
    assert Webhook(there.url).tell(KEY, BODY).told
    assert "webhook-signature" not in there.seen[0][1]


@pytest.mark.parametrize(
    ("answers", "told", "attempts", "status"),
    [
        ((503, 429, 204), True, 3, 204),
        (("cut", 200), True, 2, 200),
        ((500, 500, 500, 200), False, 3, 500),
        ((400, 200), False, 1, 400),
        ((302, 200), False, 1, 302),
    ],
)
def test_when_it_is_tried_again(
    platform: Callable[..., Platform], answers: tuple[Any, ...], told: bool, attempts: int, status: int
):
    there = platform(*answers)
    found = Webhook(there.url, SECRET, pauses=(0.01, 0.01)).tell(KEY, BODY)
    assert (found.told, found.attempts, found.status, len(there.seen)) == (told, attempts, status, attempts)
    assert {headers["webhook-id"] for _, headers, _ in there.seen} == {KEY}
    assert bool(found.reason) is not told
    assert ("redirects are not followed" in found.reason) is (status == 302)


def test_silence_ends_in_time(platform: Callable[..., Platform]):
    there = platform("slow")
    found = Webhook(there.url, seconds=0.3, pauses=()).tell(KEY, BODY)
    assert (found.told, found.status) == (False, None)
    assert "0.3 s" in found.reason


def test_nobody_is_there_and_too_much_is_said():
    found = Webhook("http://127.0.0.1:1/", pauses=()).tell(KEY, BODY)
    assert (found.told, found.attempts) == (False, 1)
    assert "more than" in Webhook("http://127.0.0.1:1/").tell(KEY, b"x" * (MAX_TOLD + 1)).reason


@pytest.mark.parametrize(
    "url",
    [
        "http://deploy.example.com/", "http://127.0.0.1.example.com/", "ftp://127.0.0.1/", "https://", "https:///x", "",
        "https://user:pw@deploy.example.com/", "https://deploy.example.com/#x", "https://deploy.example.com:0/",
        "https://deploy.example.com:x/", "https://deploy.example.com/a b", "https://deploy.example.com/\n",
        "file:///etc/passwd", "http://10.0.0.1/", "http://[::2]/", "https://exämple.com/",
    ],
)  # fmt: skip
def test_a_webhook_that_is_refused(url: str):
    with pytest.raises(ConfigurationError) as caught:
        Webhook(url)
    assert "pw" not in caught.value.message


@pytest.mark.parametrize(
    "url", ["https://deploy.example.com:8443/x?token=t", "http://127.9.9.9/x", "http://[::1]:80/", "http://localhost/"]
)
def test_what_is_recorded_of_a_webhook_is_not_secret(url: str):
    hook = Webhook(url, SECRET)
    name, mark = hook.recipient.split("#")
    assert (name, len(mark)) == (url[: url.index("/", 9)], 6)
    assert hook.recipient != Webhook(url + "/other", SECRET).recipient
    assert "token" not in repr(hook)
    assert "secret" not in repr(hook)


# -- the secret -----------------------------------------------------------------------------------------------------


def test_where_the_secret_comes_from(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    file.chmod(0o600)
    assert read_secret(file, {"V": "of the environment"}, "V") == SECRET
    assert read_secret(None, {"V": "of the environment"}, "V") == b"of the environment"
    assert read_secret(None, {}, "V") is None
    assert read_secret(None, {"V": "whsec_" + base64.b64encode(SECRET).decode()}, "V") == SECRET


def test_a_secret_that_is_refused(tmp_path: Path):
    file = tmp_path / "secret"
    with pytest.raises(ConfigurationError, match="is not there"):
        read_secret(file, {}, "V")
    file.write_bytes(SECRET)
    for mode in (0o640, 0o604, 0o622):
        file.chmod(mode)
        with pytest.raises(ConfigurationError, match=r"(read|written) by others"):
            read_secret(file, {}, "V")
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        read_secret(link, {}, "V")
    for text in ("tiny-one", "whsec_!!!!", "whsec_c2hvcnQ="):
        with pytest.raises(ConfigurationError) as caught:
            read_secret(None, {"V": text}, "V")
        assert text not in caught.value.message
