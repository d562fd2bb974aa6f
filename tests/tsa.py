"""A timestamp authority of our own: keys and tokens by the openssl command, served on loopback."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

_CONFIG = """
[tsa]
default_tsa = tsa_config
[tsa_config]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[timestamping]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = {usage}
"""


class Authority:
    """A root, and an authority under it.

    Args:
        folder: made here.
        usage: extended key usage of the authority's certificate.
        days: how long that certificate is valid; 0 has expired.
    """

    def __init__(self, folder: Path, *, usage: str = "critical,timeStamping", days: int = 30) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        (folder / "serial").write_text("01\n")
        (folder / "config").write_text(_CONFIG.format(folder=folder, usage=usage))
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        root = ("-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=Test Root", "-days", "60")
        self._run("req", "-x509", *key, *root)
        self._run("req", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test Authority")
        self._run(
            "x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
            "-out", "tsa.pem", "-days", str(days), "-extfile", "config", "-extensions", "timestamping",
        )  # fmt: skip
        self.roots = folder / "root.pem"
        self.roots.chmod(0o600)

    def _run(self, *arguments: str) -> bytes:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def answer(self, query: bytes) -> bytes:
        """The response to a request, both DER."""
        (self.folder / "query").write_bytes(query)
        self._run("ts", "-reply", "-config", "config", "-queryfile", "query", "-out", "reply")
        return (self.folder / "reply").read_bytes()

    def accepts(self, token: Path, data: Path) -> bool:
        """Whether openssl itself accepts a token over a file."""
        command = ["openssl", "ts", "-verify", "-in", str(token), "-data", str(data), "-CAfile", str(self.roots)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode == 0 and "Verification: OK" in done.stdout + done.stderr


@contextmanager
def serve(authority: Authority, *, status: int = 200, spoil: str = "") -> Iterator[str]:
    """Serve an authority on loopback.

    Args:
        authority: which.
        status: of HTTP.
        spoil: what is wrong with its answers: ``other`` (answers the first request always), ``cut``, ``garbage``,
            ``type``, ``large``.
    """
    first: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            first.append(query)
            body = authority.answer(first[0] if spoil == "other" else query)
            body = {"cut": body[:-40], "garbage": b"hello", "large": body + bytes(100_000)}.get(spoil, body)
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if spoil == "type" else "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsr"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
