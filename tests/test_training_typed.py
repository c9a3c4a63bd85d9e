"""Plain data to dataclasses."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from poseact.training.typed import typed


@dataclass(frozen=True)
class Inner:
    size: int
    pair: tuple[float, str] = (0.5, "a")


@dataclass(frozen=True)
class Outer:
    inner: Inner
    named: dict[str, Inner] = field(default_factory=dict)
    many: tuple[int, ...] = ()
    kind: Literal["one", "two"] | None = None
    flag: bool = False
    rate: float = 1.0


def test_nested_data():
    content = {
        "inner": {"size": 3, "pair": [1, "b"]},
        "named": {"x-y": {"size": 4}},
        "many": [1, 2],
        "kind": "two",
        "flag": True,
        "rate": "1e-3",
    }
    expected = Outer(Inner(3, (1.0, "b")), {"x-y": Inner(4)}, (1, 2), "two", True, 0.001)
    made = typed(Outer, content)
    assert made == expected and isinstance(made.inner.pair[0], float)


def test_defaults_and_none():
    assert typed(Outer, {"inner": {"size": 1}, "kind": None}) == Outer(Inner(1))


@pytest.mark.parametrize(("change", "message"), [
    ({"inner": 3}, "inner: expected a mapping, got 3"),
    ({"inner": {}}, r"inner\.size: is missing"),
    ({"inner": {"size": 1.5}}, r"inner\.size: expected a whole number, got 1\.5"),
    ({"inner": {"size": True}}, r"inner\.size: expected a whole number, got True"),
    ({"inner": {"size": 1, "sise": 2}}, r"inner\.sise: no such key; expected one of size, pair"),
    ({"inner": {"size": 1, "pair": [1]}}, r"inner\.pair: expected a list of 2"),
    ({"inner": {"size": 1, "pair": [1, 2]}}, r"inner\.pair: expected text, got 2"),
    ({"named": {"x": None}}, r"named\.x: expected a mapping"),
    ({"named": []}, "named: expected a mapping"),
    ({"many": 1}, "many: expected a list, got 1"),
    ({"kind": "three"}, "kind: expected one of one, two, got 'three'"),
    ({"kind": ["one"]}, "kind: expected one of"),
    ({"flag": 1}, "flag: expected true or false"),
    ({"rate": "fast"}, "rate: expected a number, got 'fast'"),
    ({"rate": True}, "rate: expected a number"),
    ({"rate": None}, "rate: expected a number"),
])  # fmt: skip
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        typed(Outer, {"inner": {"size": 1}} | change)
