"""RFC 3161 timestamps over signed heads: asking an authority for one, and checking what is stored.

What is timestamped is the signed note exactly as the log signed it, without cosignatures. So a token shows that the
head and the log's signature on it existed at that time, and with the tree every entry below its size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cryptography import x509

from ledger.checkpoint import Checkpoint
from ledger.entry import format_time
from ledger.errors import (
    ConfigurationError,
    InputError,
    LedgerError,
    StorageError,
    TrustStateError,
    VerificationError,
)
from ledger.findings import Anchor, Finding
from ledger.recorders.sql import SqlRecorder
from ledger.statefile import read_state_file
from ledger.stored import LogReader, attestations_behind, head_at
from ledger.verdicts import Fault, Gap, GapKind
from ledger.witnesshttp import check_url, exchange

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse

__all__ = [
    "KIND",
    "TSA_FILE",
    "Stamp",
    "StampCheck",
    "check_stamps",
    "read_roots",
    "request_stamp",
    "stamp_head",
    "verify_stamp",
]

#: Kind of these attestations in the store.
KIND = "rfc3161"
#: Name of the file with pinned certificates beside trust.json.
TSA_FILE = "tsa-roots.pem"

_SHA256 = "2.16.840.1.101.3.4.2.1"
#: How far a store's clock may be ahead of an authority's before an entry counts as recorded later than it was seen.
#: The same five seconds that an append allows between clocks.
CLOCK_SLACK = 5_000_000
#: It says nothing of the store, which is where the next step after a failed check would look.
_WRONG_ANSWER = (
    "Nothing was stored. Is it the authority whose certificates --tsa-certs FILE, or .muniment/tsa-roots.pem, holds? "
    "If so, tell who runs it; otherwise ask another: --tsa URL"
)


def _library() -> ModuleType:
    try:
        import rfc3161_client  # noqa: PLC0415 - only who asks for timestamps needs it
    except ImportError as error:
        raise ConfigurationError(
            "timestamps need the package rfc3161-client, which is not installed",
            hint="pip install 'muniment[anchors]'",
        ) from error
    return rfc3161_client


@dataclass(frozen=True, slots=True)
class Stamp:
    """A verified timestamp.

    Attributes:
        authority: subject of the certificate that signed it.
        time: when, microseconds since the Unix epoch.
        accuracy: how far that may be off, microseconds.
        serial: serial number of the token.
    """

    authority: str
    time: int
    accuracy: int
    serial: int


def read_roots(path: Path) -> list[x509.Certificate]:
    """Read the certificates of the authorities that are trusted.

    Args:
        path: PEM; roots, and intermediates that tokens do not carry.

    Raises:
        ConfigurationError: there is none.
        TrustStateError: it is damaged, or may be written by others.
    """
    data = read_state_file(path)
    if data is None:
        raise ConfigurationError(
            f"there is no {path}, which would say which timestamp authorities are trusted",
            hint=f"Name the authority's root certificate: --tsa-certs FILE, or keep it as .muniment/{TSA_FILE}",
        )
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise TrustStateError(f"{path} holds no certificates in PEM: {error}") from error


def _decode(body: bytes) -> TimeStampResponse:
    try:
        found: TimeStampResponse = _library().decode_timestamp_response(body)
        if found.status in (0, 1):
            _ = found.tst_info
    except (ValueError, KeyError) as error:
        raise InputError(f"this is no timestamp: {error}") from error
    return found


def _signer(response: TimeStampResponse) -> str:
    infos = list(response.signed_data.signer_infos)
    for der in response.signed_data.certificates:
        cert = x509.load_der_x509_certificate(der)
        if infos and (cert.issuer, cert.serial_number) == (infos[0].issuer, infos[0].serial_number):
            return cert.subject.rfc4514_string()
    raise VerificationError("the timestamp does not carry the certificate that signed it", fault="anchor")


def _accuracy(response: TimeStampResponse) -> int:
    try:
        found: Any = response.tst_info.accuracy
    except ValueError:
        return 0
    if found is None:  # whatever its type promises: it is optional
        return 0
    return (found.seconds or 0) * 1_000_000 + (found.millis or 0) * 1000 + (found.micros or 0)


def _check_imprint(response: TimeStampResponse, note: bytes) -> None:
    imprint = response.tst_info.message_imprint
    if imprint.hash_algorithm.dotted_string != _SHA256 or imprint.message != hashlib.sha256(note).digest():
        raise InputError("the timestamp is not over this signed head")


def check_form(body: bytes, note: bytes) -> None:
    """Check that a token is a timestamp over a signed head, whoever signed it.

    Raises:
        InputError: it is none, or not over this head.
        ConfigurationError: the package that reads timestamps is not installed.
    """
    _check_imprint(_decode(body), note)


def verify_stamp(body: bytes, note: bytes, roots: Sequence[x509.Certificate], nonce: int | None = None) -> Stamp:
    """Check a timestamp over a signed head (RFC 3161 2.4.2).

    Args:
        body: the response of the authority, DER.
        note: the signed head, verbatim.
        roots: certificates of trusted authorities, valid at the time that the token states.
        nonce: what was sent, None when it is no longer known.

    Returns:
        What it says.

    Raises:
        InputError: it is no timestamp, or not over this head.
        VerificationError: fault ``anchor``: no trusted authority signed it, or it did not as it must.
    """
    library = _library()
    response = _decode(body)
    if response.status != 0:
        raise VerificationError("the authority did not grant this timestamp", fault="anchor")
    _check_imprint(response, note)
    builder = library.VerifierBuilder()
    for cert in dict.fromkeys(roots):
        own = cert.issuer == cert.subject
        builder = builder.add_root_certificate(cert) if own else builder.add_intermediate_certificate(cert)
    if nonce is not None:
        if response.tst_info.nonce != nonce:
            raise VerificationError("the timestamp answers another request", fault="anchor")
        builder = builder.nonce(nonce)
    try:
        builder.build().verify(response, hashlib.sha256(note).digest())
    except (library.VerificationError, ValueError) as error:
        raise VerificationError(f"no trusted authority signed this timestamp: {error}", fault="anchor") from error
    since = response.tst_info.gen_time.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return Stamp(
        _signer(response), since // timedelta(microseconds=1), _accuracy(response), response.tst_info.serial_number
    )


def request_stamp(url: str, note: bytes, roots: Sequence[x509.Certificate], *, seconds: float) -> tuple[bytes, Stamp]:
    """Ask an authority for a timestamp over a signed head, and check it (RFC 3161 3.4).

    Args:
        url: of the authority, http or https: the token is signed, so nothing rests on the transport.
        note: the signed head.
        roots: certificates of trusted authorities.
        seconds: how long to wait.

    Returns:
        The response, DER, and what it says.

    Raises:
        ConfigurationError: the URL is none.
        StorageError: no timestamp came.
        VerificationError: what came is not what was asked for, or not from a trusted authority.
    """
    library = _library()
    try:
        check_url(url)
    except ConfigurationError:
        raise ConfigurationError(f"{url[:200]!r} is not the http or https URL of a timestamp authority") from None
    builder = library.TimestampRequestBuilder().data(note).hash_algorithm(library.HashAlgorithm.SHA256)
    request: Any = builder.cert_request(cert_request=True).nonce(nonce=True).build()
    try:
        reply = exchange("POST", url, request.as_bytes(), seconds=seconds, kind="application/timestamp-query")
    except StorageError as error:
        raise StorageError(
            f"{url} gave no timestamp: {error.message}", hint="Try again; nothing was stored."
        ) from error
    if reply.status != 200 or reply.kind != "application/timestamp-reply":
        what = f"HTTP status {reply.status} with content of type {reply.kind[:60]!r}"
        raise StorageError(f"{url} gave no timestamp: {what}", hint="Is it the URL of an RFC 3161 authority?")
    try:
        if _decode(reply.body).status not in (0, 1):
            raise StorageError(f"{url} refused to give a timestamp", hint="Ask who runs it for its conditions.")
        return reply.body, verify_stamp(reply.body, note, roots, request.nonce)
    except (InputError, VerificationError) as error:
        raise VerificationError(
            f"the authority {url} gave a wrong answer: {error.message}", fault="anchor", hint=_WRONG_ANSWER
        ) from error


def stamp_head(
    recorder: SqlRecorder, head: Checkpoint, url: str, roots: Sequence[x509.Certificate], *, seconds: float
) -> tuple[Stamp, bool]:
    """Have a signed head in the store timestamped, and keep the token.

    Args:
        recorder: the store.
        head: the signed head.
        url: of the authority.
        roots: certificates of trusted authorities.
        seconds: how long to wait.

    Returns:
        What the token says, and whether it is new.

    Raises:
        StorageError, VerificationError, ConfigurationError: as `request_stamp`.
    """
    note = head_at(recorder, head.size)
    if note is None:
        raise InputError(f"no head of size {head.size} was signed here")
    body, stamp = request_stamp(url, note, roots, seconds=seconds)
    return stamp, recorder.add_attestation(head.size, KIND, stamp.authority[:4096] or "?", body)


@dataclass(slots=True)
class StampCheck:
    """What the timestamps in a store come to.

    Attributes:
        anchors: heads that trusted authorities vouch for, to be compared with the log.
        stamps: what they say, as (size, stamp).
        unknown: tokens that no trusted authority signed, as (size, why); they count for nothing.
        findings: tokens that were altered, and entries recorded later than an authority saw them.
    """

    anchors: list[Anchor] = field(default_factory=list)
    stamps: list[tuple[int, Stamp]] = field(default_factory=list)
    unknown: list[tuple[int, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def gaps(self) -> list[Gap]:
        """What was not verified: one that no trusted authority signed is named, and counts for nothing."""
        if not self.unknown:
            return []
        size, why = self.unknown[0]
        words = f"{len(self.unknown)} timestamp(s) not verified and not counted, the first over size {size}: {why}"
        return [Gap(GapKind.ATTESTATIONS, words)]


def check_stamps(
    recorder: LogReader, roots: Sequence[x509.Certificate], verify_head: Callable[[bytes], Checkpoint]
) -> StampCheck:
    """Check every timestamp in a store against the authorities that are trusted.

    Args:
        recorder: the store.
        roots: their certificates; none makes all of them unknown.
        verify_head: checks a signed head under the keys of the log.

    Returns:
        What was found; the anchors are not compared with the log yet.

    Raises:
        ConfigurationError: there are timestamps and the package that reads them is not installed.
    """
    found = StampCheck()
    for item in attestations_behind(recorder, (KIND,)):
        size, body, note = item.size, item.body, head_at(recorder, item.size)
        try:
            if note is None:
                raise InputError("the signed head it is over is not in the store")
            check_form(body, note)
            if not roots:
                found.unknown.append((size, f"no authority is trusted here: .muniment/{TSA_FILE} names them"))
                continue
            stamp = verify_stamp(body, note, roots)
            head = verify_head(note)
        except VerificationError as error:
            found.unknown.append((size, error.message))
            continue
        except ConfigurationError:
            raise
        except LedgerError as error:
            found.findings.append(
                Finding(Fault.ANCHOR, None, f"a timestamp of the head of size {size}: {error.message}")
            )
            continue
        by = f"the timestamp authority {stamp.authority} at {format_time(stamp.time)}"
        found.anchors.append(Anchor(by, head, note))
        found.stamps.append((size, stamp))
        found.findings += _recorded_later(recorder, head.size, stamp, by)
    return found


def _recorded_later(recorder: LogReader, size: int, stamp: Stamp, by: str) -> list[Finding]:
    """Entries below a timestamped head that claim to have been recorded after it: times never go back by order."""
    limit = stamp.time + stamp.accuracy + CLOCK_SLACK
    low, high = 0, size  # the first entry beyond the limit lies in low..high
    while low < high:
        middle = (low + high) // 2
        rows = recorder.rows(middle, 1)
        if not rows or rows[0].entry.index != middle:
            return []  # what is missing is found by the verification
        low, high = (low, middle) if rows[0].entry.recorded_at > limit else (middle + 1, high)
    if low == size:
        return []
    at = format_time(recorder.rows(low, 1)[0].entry.recorded_at)
    message = f"it says that it was recorded on {at}, and {by} had seen a head over it already"
    return [Finding(Fault.ANCHOR, low, message)]
