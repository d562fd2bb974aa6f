"""Texts and bytes that can be equal and nothing else: who asks which one is greater has mistaken one for the other."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, Never

from pydantic import BaseModel


class Text(str):
    """A text without an order."""

    __slots__ = ()

    def _has_no_order(self, other: object) -> Never:
        raise AssertionError(f"which is greater, {self!r} or {other!r}? No rule may rest on that")

    __lt__ = __le__ = __gt__ = __ge__ = _has_no_order


class Bytes(bytes):
    """Bytes without an order."""

    __slots__ = ()

    def _has_no_order(self, other: object) -> Never:
        raise AssertionError(f"which is greater, {self!r} or {other!r}? Nothing may rest on that")

    __lt__ = __le__ = __gt__ = __ge__ = _has_no_order


def unordered(value: Any) -> Any:
    """The same value, all texts and bytes in it without an order, but for keys of mappings.

    Args:
        value: texts, bytes, data classes and models of these, one in another; others are given back.
    """
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, bytes):
        return Bytes(value)
    if isinstance(value, tuple | list):
        return type(value)(map(unordered, value))
    if isinstance(value, dict):
        return {key: unordered(item) for key, item in value.items()}
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: unordered(getattr(value, name)) for name in type(value).model_fields})
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{item.name: unordered(getattr(value, item.name)) for item in fields(value)})
    return value
