"""Resource quantities (`500m`, `1.5Gi`, `12e6`), exact to a nano unit.

Source: k8s.io/apimachinery/pkg/api/resource. A quantity remembers which family of suffixes it was written with, because its canonical
form stays in it: BinarySI (Ki, Mi...), DecimalSI (n, u, m, "", k, M...) or DecimalExponent (e3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, total_ordering
from typing import Literal

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

NANO = 10**9
_MAX = (1 << 63) - 1

FORMAT_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
NUMERIC = "unable to parse numeric part of quantity"
SUFFIX = "unable to parse quantity's suffix"

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_NAMES = {exponent: name for name, exponent in _DECIMAL.items()}
_BINARY_NAMES = {exponent: name for name, exponent in _BINARY.items()}

_quantity_re = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)")


class QuantityError(ValueError):
    """No quantity; the text is apimachinery's."""


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """A value in nano units. Compares and hashes by value alone: `1024Mi == 1Gi`, `1000m == 1`."""

    nanos: int
    format: Format = "DecimalSI"

    @staticmethod
    def of(value: int, format: Format = "DecimalSI") -> Quantity:
        """So many whole units."""
        return Quantity(value * NANO, format)

    @staticmethod
    def of_milli(value: int, format: Format = "DecimalSI") -> Quantity:
        return Quantity(value * 1_000_000, format)

    def value(self) -> int:
        """Whole units, rounded up (away from zero)."""
        return _divide_up(self.nanos, NANO)

    def milli_value(self) -> int:
        """Thousandths, rounded up (away from zero)."""
        return _divide_up(self.nanos, 1_000_000)

    def is_zero(self) -> bool:
        return self.nanos == 0

    def sign(self) -> int:
        return (self.nanos > 0) - (self.nanos < 0)

    def __float__(self) -> float:
        return self.nanos / NANO

    def __add__(self, other: Quantity) -> Quantity:
        """A zero takes the other's format, as Go's Add does."""
        return Quantity(self.nanos + other.nanos, other.format if self.nanos == 0 else self.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos - other.nanos, other.format if self.nanos == 0 else self.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nanos, self.format)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __lt__(self, other: Quantity) -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __str__(self) -> str:
        """Canonical: no fraction, the largest suffix that keeps it whole. Binary below 1024 or with a fraction is written as DecimalSI."""
        if self.nanos == 0:
            return "0"
        if self.format == "BinarySI" and abs(self.nanos) >= 1024 * NANO and self.nanos % NANO == 0:
            number, exponent = self.nanos // NANO, 0
            while number % 1024 == 0 and exponent < 60:
                number //= 1024
                exponent += 10
            return f"{number}{_BINARY_NAMES[exponent] if exponent else ''}"
        number, exponent = self.nanos, -9
        while number % 1000 == 0:
            number //= 1000
            exponent += 3
        if self.format == "DecimalExponent":
            return f"{number}e{exponent}" if exponent else str(number)
        while exponent > 18:
            number *= 1000
            exponent -= 3
        return f"{number}{_DECIMAL_NAMES[exponent]}"


def _divide_up(value: int, unit: int) -> int:
    return -(-value // unit) if value >= 0 else value // unit


ZERO = Quantity(0)


@lru_cache(maxsize=4096)
def parse(text: str) -> Quantity:
    """Raises QuantityError. Digits past a nano round up; very large values stop at 2^63-1 as in Go."""
    if not text:
        raise QuantityError(FORMAT_WRONG)
    match = _quantity_re.fullmatch(text)
    if match is None:
        raise QuantityError(FORMAT_WRONG)
    sign, whole, fraction, suffix = match[1], match[2].lstrip("0"), match[3] or "", match[4]
    base, exponent, format = _suffix(suffix)
    digits = int((whole + fraction) or "0")
    if not match[2] and not fraction:
        raise QuantityError(NUMERIC)
    if base == 10:
        nanos, exact = _scaled(digits, exponent - len(fraction) + 9)
        capped = len(whole) + len(fraction) > 18 or exponent - len(fraction) < -9
    else:
        nanos, exact = _scaled(digits << exponent, 9 - len(fraction))
        capped = bool(fraction) or len(whole) + exponent * 3 // 10 + 1 > 15
    if not exact:
        nanos += 1
    if capped:
        nanos = min(nanos, _MAX * NANO)
    if format == "BinarySI" and 0 < nanos < NANO:
        format = "DecimalSI"
    return Quantity(-nanos if sign == "-" else nanos, format)


def _suffix(suffix: str) -> tuple[int, int, Format]:
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], "DecimalSI"
    if suffix in _BINARY:
        return 2, _BINARY[suffix], "BinarySI"
    if len(suffix) > 1 and suffix[0] in "eE":
        try:
            exponent = int(suffix[1:])
        except ValueError:
            raise QuantityError(SUFFIX) from None
        if abs(exponent) > 1000:
            # Go's arithmetic would go on for ever with it; no quantity means this
            raise QuantityError(SUFFIX)
        return 10, exponent, "DecimalExponent"
    raise QuantityError(SUFFIX)


def _scaled(digits: int, power: int) -> tuple[int, bool]:
    """digits * 10^power, cut to an integer, and whether nothing was cut."""
    if power >= 0:
        return digits * 10**power, True
    whole, rest = divmod(digits, 10**-power)
    return whole, rest == 0


def canonical(text: str) -> str:
    """The form Kubernetes stores: `1000m` -> `1`, `1024Mi` -> `1Gi`, `0.5` -> `500m`."""
    return str(parse(text))


def of(value: str | int | float | None) -> Quantity:
    """A JSON value where a quantity is expected: text or a number (YAML `cpu: 1`); None is zero."""
    if value is None:
        return ZERO
    return parse(value if isinstance(value, str) else format_number(value))


def format_number(value: int | float) -> str:
    """A JSON number as the decoder hands it to the quantity parser: its literal text."""
    return repr(value)
