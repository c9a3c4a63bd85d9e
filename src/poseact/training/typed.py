"""Plain data, as YAML and JSON have it, to frozen dataclasses by their annotations."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def typed(kind: type[T], value: Any, name: str = "") -> T:
    """``value`` as ``kind``: a dataclass, ``dict[str, X]``, ``tuple[X, ...]``, ``tuple[X, Y]``, a
    ``Literal``, ``X | None``, or one of str, bool, int and float.

    ``name``: of the key, for messages. Raises ``ValueError`` on an unknown or missing key and on a value
    of another type. Numbers may be written as text, for YAML reads 1e-3 as such.
    """
    return _read(kind, value, name)  # type: ignore[no-any-return]


def _read(kind: Any, value: Any, name: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, name)
    if origin is Literal:
        return _checked(value, value in parts and isinstance(value, str), name, f"one of {', '.join(parts)}")
    if origin in (types.UnionType, Union):  # X | None
        return None if value is None else _read(parts[0], value, name)
    if origin is dict:
        _checked(value, isinstance(value, dict), name, "a mapping")
        return {str(key): _read(parts[1], inner, _sub(name, str(key))) for key, inner in value.items()}
    if origin is tuple:
        return _tuple(parts, value, name)
    return _scalar(kind, value, name)


def _dataclass(kind: Any, value: Any, name: str) -> Any:
    _checked(value, isinstance(value, dict), name or kind.__name__, "a mapping")
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in value:
        if key not in fields:
            raise ValueError(f"{_sub(name, str(key))}: no such key; expected one of {', '.join(fields)}")
    for key, field in fields.items():
        optional = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        if key not in value and not optional:
            raise ValueError(f"{_sub(name, key)}: is missing")
    return kind(**{key: _read(hints[key], inner, _sub(name, key)) for key, inner in value.items()})


def _tuple(parts: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    endless = parts[-1] is ...
    expected = "a list" if endless else f"a list of {len(parts)}"
    _checked(value, isinstance(value, list | tuple) and (endless or len(value) == len(parts)), name, expected)
    kinds = [parts[0]] * len(value) if endless else parts
    return tuple(_read(kind, inner, name) for kind, inner in zip(kinds, value, strict=True))


def _scalar(kind: Any, value: Any, name: str) -> Any:
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return _checked(value, right, name, {str: "text", bool: "true or false", int: "a whole number"}.get(
        kind, "a number"
    ))  # fmt: skip


def _checked(value: Any, right: bool, name: str, expected: str) -> Any:
    if not right:
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return value


def _sub(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
