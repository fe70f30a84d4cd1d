"""Quantities: parsing, canonical form, rounding, arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.meta import quantities


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"), ("0.5", "500m"), ("1000m", "1"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), (".001Ki", "1024m"),
        ("12e6", "12e6"), ("1200e4", "12e6"), ("1E3", "1e3"), ("100E", "100E"), ("0Ki", "0"), ("1500", "1500"), ("2000", "2k"),
        ("1n", "1n"), ("0.0000000001", "1n"), ("-1.5", "-1500m"), ("1023", "1023"), ("1Ki", "1Ki"), ("0.5Ki", "512"),
        ("+3", "3"), ("003", "3"), ("1.", "1"), ("1000Ki", "1000Ki"), ("123456789012345678901234567890", "9223372036854775807"),
    ],
)  # fmt: skip
def test_canonical_form(text: str, canonical: str) -> None:
    assert quantities.canonical(text) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", quantities.FORMAT_WRONG, id="empty"),
        pytest.param("abc", quantities.FORMAT_WRONG, id="letters"),
        pytest.param("1.2.3", quantities.FORMAT_WRONG, id="two-points"),
        pytest.param("1K", quantities.SUFFIX, id="capital-k"),
        pytest.param("1Mk", quantities.SUFFIX, id="no-suffix"),
        pytest.param("1e", quantities.SUFFIX, id="exponent-without-digits"),
    ],
)
def test_what_is_no_quantity(text: str, message: str) -> None:
    with pytest.raises(quantities.QuantityError) as caught:
        quantities.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(("text", "value", "milli"), [("1m", 1, 1), ("1500m", 2, 1500), ("-1500m", -2, -1500), ("1u", 1, 1)])
def test_value_rounds_away_from_zero(text: str, value: int, milli: int) -> None:
    quantity = quantities.parse(text)
    assert (quantity.value(), quantity.milli_value()) == (value, milli)


def test_equal_by_value_whatever_the_suffix() -> None:
    assert quantities.parse("1024Mi") == quantities.parse("1Gi")
    assert quantities.parse("1k") < quantities.parse("1Ki")


def test_sum_keeps_the_left_format_unless_it_is_zero() -> None:
    assert str(quantities.parse("1Gi") + quantities.parse("1Gi")) == "2Gi"
    assert str(quantities.parse("0") + quantities.parse("1Gi")) == "1Gi"
    assert str(quantities.parse("1Gi") - quantities.parse("1Gi")) == "0"


SUFFIXES = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "e3", "E2"])


@given(st.integers(-(10**9), 10**9), SUFFIXES)
def test_canonical_form_means_the_same_and_is_stable(number: int, suffix: str) -> None:
    quantity = quantities.parse(f"{number}{suffix}")
    again = quantities.parse(str(quantity))
    assert again == quantity
    assert str(again) == str(quantity)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_sum_and_difference_are_exact(a: int, b: int) -> None:
    left, right = quantities.parse(f"{a}m"), quantities.parse(f"{b}m")
    assert (left + right - right) == left
    assert (left + right).milli_value() == a + b
