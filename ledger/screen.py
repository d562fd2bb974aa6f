"""What a ledger does about secrets in the events it signs: hides them in facts, refuses decisions that hold them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ledger.errors import ConfigurationError, InputError
from ledger.events import Category, find_event_type
from ledger.screening import Secret, find_secrets, redact_secrets

__all__ = ["SECRET_MODES", "Screening"]

#: Values of the setting ``secrets``.
SECRET_MODES = ("on", "warn", "off")


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)


def _words(found: Sequence[Secret]) -> str:
    first = ", ".join(f"{item.field} ({item.pattern})" for item in found[:5])
    return first if len(found) <= 5 else f"{first} and {len(found) - 5} more"


class Screening:
    """Looks through everything before it is signed.

    Args:
        mode: ``on`` hides secrets in facts and refuses decisions with one; ``warn`` only says so; ``off`` does
            not look.
        allow: paths of fields that are not looked at; ``*`` stands for any characters.

    Attributes:
        notify: called with one line whenever something was hidden, or found under ``warn``; a warning of Python's by
            default.

    Raises:
        ConfigurationError: there is no such mode.
    """

    def __init__(self, mode: str = "on", allow: Sequence[str] = ()) -> None:
        if mode not in SECRET_MODES:
            raise ConfigurationError(f"secrets = {mode!r} is no setting", hint=f"Write {', '.join(SECRET_MODES)}.")
        self._mode = mode
        self._allow = tuple(allow)
        self.notify: Callable[[str], None] = _warn

    def screen(
        self, type: str, subject: str, body: Mapping[str, Any], ids: tuple[str | None, str | None] = (None, None)
    ) -> dict[str, Any]:
        """Look through what an author is about to sign.

        Args:
            type: short name or full topic.
            subject: what the event is about.
            body: its body.
            ids: correlation and causation id.

        Returns:
            The body to sign.

        Raises:
            InputError: a secret where none can be hidden: in a decision, in a name or an id. It is not in the message.
        """
        if self._mode == "off":
            return dict(body)
        kind = find_event_type(type)
        found = self._in_names(subject, ids)
        fact = kind.category in (Category.FACT, Category.PROTECTION)
        if fact and not found and self._mode == "on":
            clean, hidden = redact_secrets(body, self._allow)
            if hidden:
                self.notify(f"hidden in {kind.name} before it was signed: {_words(hidden)}")
            return dict(clean)
        if not fact or self._mode == "warn":
            found += find_secrets(body, self._allow)
        self._refuse(kind.name, found, "signed")
        return dict(body)

    def check(
        self, type: str, subject: str, body: Mapping[str, Any], ids: tuple[str | None, str | None] = (None, None)
    ) -> None:
        """Look through what others have written down, so that nothing can be hidden in it any more.

        Args:
            type: short name or full topic.
            subject: what the event is about.
            body: its body.
            ids: correlation and causation id.

        Raises:
            InputError: there is a secret. It is not in the message.
        """
        if self._mode != "off":
            found = self._in_names(subject, ids) + find_secrets(body, self._allow)
            self._refuse(find_event_type(type).name, found, "taken")

    def _in_names(self, subject: str, ids: tuple[str | None, str | None]) -> list[Secret]:
        names = {"subject": subject}
        names.update((name, text) for name, text in zip(("correlation_id", "causation_id"), ids, strict=True) if text)
        return find_secrets(names, self._allow)

    def _refuse(self, name: str, found: Sequence[Secret], done: str) -> None:
        if not found:
            return
        if self._mode == "warn":
            self.notify(f"{name} holds what looks like a secret, for good: {_words(found)}")
            return
        raise InputError(
            f"{name} holds what looks like a secret, so it was not {done}: {_words(found)}",
            hint="Take it out, and replace the secret if it went anywhere; if it is none, name the field in "
            "secrets_allow in .muniment/config.toml, or in MUNIMENT_SECRETS_ALLOW",
        )
