"""Numbers as people read them."""

import numpy as np
import pytest

from klimit.reports.numbers import RewardFormat, kl_text, nats, percent_interval, plural
from klimit.reports.values import Unit
from klimit.values import Value


@pytest.mark.parametrize(
    ("size", "value", "text"),
    [
        (0.45, 0.4519, "+0.452"),
        (4.5, 4.519, "+4.52"),
        (450, 451.9, "+452"),
        (0.0045, 0.004519, "+0.00452"),
        (4.5e9, 4.519e9, "+4.52e+09"),
        (4.5e-9, 4.519e-9, "+4.52e-09"),
        (0.45, -0.0001, "+0.000"),
        (0.45, -0.2, "-0.200"),
        (0, 0.0, "+0.000"),
        (0.45, np.inf, "unbounded"),
        (0.45, np.nan, "unknown"),
    ],
)
def test_gains_have_a_sign_and_three_digits_of_their_size(size, value, text):
    assert RewardFormat.fitting(size).gain(value) == text


def test_ends_of_an_interval_have_the_digits_of_its_estimate():
    value = Value(4.0123456e8, 3.33563e8, 4.71641e8)
    assert Unit.fitting(value, signed=True).full(value) == "+4.01e+08 [3.34e+08, 4.72e+08]"
    value = Value(-1.2, -1.5, 0.25)
    assert Unit.fitting(value, signed=True).full(value) == "-1.20 [-1.50, 0.25]"


def test_rewards_share_the_decimals_of_gains_and_keep_digits_beside_an_exponent():
    assert RewardFormat.fitting(0.45).reward(12.3456) == "12.346"
    assert RewardFormat.fitting(4e9).reward(1.00125e12) == "1.00125e+12"


def test_intervals_that_are_not_finite_are_words():
    form = RewardFormat.fitting(0.5)
    assert form.estimate(0.5, 0.4, 0.6) == "+0.500 [0.400, 0.600]"
    assert form.estimate(0.5, -np.inf, np.inf) == "+0.500, no interval"


@pytest.mark.parametrize(
    ("kl", "text"),
    [(0, "0.00"), (0.25, "0.25"), (1, "1.00"), (0.0456, "0.046"), (0.0001, "1e-04"), (np.nan, "-")],
)
def test_kls_have_two_decimals_or_three_where_small(kl, text):
    assert kl_text(kl) == text


@pytest.mark.parametrize(
    ("kl", "text"), [(1, "1 nat"), (2, "2 nats"), (0.25, "0.25 nats"), (1.5, "1.5 nats"), (10, "10 nats")]
)
def test_kls_in_sentences_carry_their_unit(kl, text):
    assert nats(kl) == text


def test_shares_have_a_decimal_only_where_the_interval_is_narrow():
    assert percent_interval(0.989, 0.985, 0.993) == "98.9% [98.5, 99.3]"
    assert percent_interval(0.88, 0.85, 0.91) == "88% [85, 91]"
    assert percent_interval(0.88, np.nan, np.nan) == "88%"


def test_counts_have_thousands_and_plurals():
    assert plural(1, "prompt") == "1 prompt"
    assert plural(2000, "prompt") == "2,000 prompts"
