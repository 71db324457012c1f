"""Token means are told from sums, however little entropy a model has; and turned into sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from klimit.audits.checks import check_policy
from klimit.audits.token_means import check_token_means, from_token_means, growth
from klimit.errors import InputError
from klimit.samples import Samples
from klimit.samples.columns import HeldBack


def completions(entropy, tokens=200.0, spread=0.3, n_prompts=200, n_completions=8, seed=0, **changes):
    """Completions of varying lengths whose tokens are mostly certain: a few, of about one nat each, are not.

    Args:
        entropy: nats a token.
        tokens: median length.
        spread: standard deviation of the log length.
    """
    rng = np.random.default_rng(seed)
    shape = (n_prompts, n_completions)
    n = np.maximum(2, np.rint(tokens * np.exp(spread * rng.standard_normal(shape)))).astype(np.int64).ravel()
    hardness = np.repeat(np.exp(0.3 * rng.standard_normal(n_prompts)), n_completions)
    branching = rng.binomial(n, min(1.0, entropy))
    surprise = (
        np.where(branching > 0, rng.gamma(np.maximum(branching, 1e-9)), 0.0) * entropy / min(1.0, entropy)
    )
    logprob = -hardness * surprise - 1e-4 * n
    samples = Samples.from_array(rng.random(shape))
    drift = np.abs(logprob) * rng.uniform(0.0, 0.2, len(n))
    return replace(
        samples, logprob=logprob, ref_logprob=logprob - drift, n_tokens=n, source="grpo.csv", **changes
    )


def as_means(samples: Samples) -> Samples:
    return replace(
        samples,
        logprob=samples.logprob / samples.n_tokens,
        ref_logprob=samples.ref_logprob / samples.n_tokens,
    )


@pytest.mark.parametrize("entropy", [0.02, 0.1, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("tokens", [10.0, 25.0, 200.0])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.5])
def test_sums_pass(entropy, tokens, spread):
    for seed in range(5):
        assert check_token_means(completions(entropy, tokens, spread, seed=seed)) == ()


@pytest.mark.parametrize("entropy", [0.05, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("tokens", [40.0, 400.0])
@pytest.mark.parametrize("spread", [0.2, 0.5])
def test_means_are_refused(entropy, tokens, spread):
    for seed in range(5):
        with pytest.raises(InputError, match="logprob and ref_logprob look like means over tokens"):
            check_token_means(as_means(completions(entropy, tokens, spread, seed=seed)))


def test_sums_of_few_completions_hardly_ever_alarm():
    alarms = 0
    for seed in range(300):
        try:
            check_token_means(completions(0.02, 60.0, 0.1, n_prompts=20, n_completions=4, seed=seed))
        except InputError:
            alarms += 1
    assert alarms <= 6  # 2%


def test_the_message_says_why_and_both_ways_on():
    means = as_means(completions(0.3))
    with pytest.raises(
        InputError,
        match=r"^grpo.csv: logprob and ref_logprob look like means over tokens: -0\.3\d* and -0\.3\d* nats on "
        r"average for completions of \d+ tokens \(0\.001\d and 0\.001\d a token\), and no larger for longer ones, as "
        r"sums would be; token_means=True \(--token-means\) multiplies by the number of tokens, token_means=False "
        r"\(--token-sums\) asserts that these are sums$",
    ):
        check_policy(means, means, reward="reward", name="grpo")
    assert check_policy(
        means, replace(means, logprob=None), reward="reward", name="grpo", sums=True
    ).has_logprobs


def test_one_mean_beside_a_sum_of_tokens_is_refused():
    samples = completions(0.5)
    mixed = replace(samples, logprob=samples.logprob / samples.n_tokens, per_token=frozenset({"ref_logprob"}))
    with pytest.raises(InputError, match=r"grpo.csv: logprob looks like a mean over tokens: -0.5"):
        check_token_means(mixed)


def test_what_was_given_per_token_is_beyond_doubt():
    means = replace(as_means(completions(0.3)), per_token=frozenset({"logprob", "ref_logprob"}))
    assert check_token_means(means) == ()


def test_a_collapsed_policy_passes_beside_its_reference():
    samples = completions(0.3)
    flat = replace(samples, logprob=-np.random.default_rng(1).random(samples.n_completions))
    assert check_token_means(flat) == ()


def test_lengths_that_hardly_vary_leave_a_doubt():
    (line,) = check_token_means(as_means(completions(0.3, spread=0.0)))
    assert line.startswith("logprob and ref_logprob may be means over tokens: -0.3")
    assert line.endswith("if so, token_means=True (--token-means) multiplies by the number of tokens")


def test_lengths_of_texts_where_tokens_are_not_counted():
    samples = completions(0.3)
    texts = np.array(["word" * n for n in samples.n_tokens], dtype=object)
    uncounted = replace(samples, n_tokens=None, completions=texts)
    assert check_token_means(uncounted) == ()
    means = replace(as_means(samples), n_tokens=None, completions=texts)
    with pytest.raises(
        InputError, match=r"completions of about 19\d tokens|completions of about 20\d tokens"
    ):
        check_token_means(means)
    assert check_token_means(replace(means, completions=None)) == ()  # nothing tells


def test_one_completion_a_prompt():
    samples = completions(0.3, spread=0.5, n_prompts=1000, n_completions=1)
    assert check_token_means(samples) == ()
    with pytest.raises(InputError, match="look like means"):
        check_token_means(as_means(samples))


def test_growth_by_hand():
    # Two prompts; in each the longer completion has twice the tokens and four times the value.
    found = growth(
        np.array([1.0, 4.0, 10.0, 40.0]), np.array([10.0, 20.0, 30.0, 60.0]), np.array([0, 0, 1, 1])
    )
    assert found.exponent == pytest.approx(2.0, abs=1e-12)
    flat = growth(np.array([2.0, 2.0, 2.0, 2.0]), np.array([10.0, 20.0, 30.0, 60.0]), np.array([0, 0, 1, 1]))
    assert flat.exponent == pytest.approx(0.0, abs=1e-12)
    assert flat.like_means
    assert not found.like_means


def test_the_error_of_growth_is_that_of_repeated_draws():
    found = [
        growth(-one.logprob, one.n_tokens.astype(float), np.repeat(np.arange(200), 8))
        for one in (completions(0.05, seed=seed) for seed in range(300))
    ]
    spread = np.std([one.exponent for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.15)
    assert np.mean([one.exponent for one in found]) == pytest.approx(1.0, abs=0.02)


# Turning means into sums.


def test_means_become_the_sums_they_were_taken_from():
    samples = completions(0.3, token_kl=np.full(1600, 5.0), sampling_logprob=np.full(1600, -7.0))
    means = replace(
        as_means(samples),
        token_kl=samples.token_kl / samples.n_tokens,
        sampling_logprob=samples.sampling_logprob / samples.n_tokens,
    )
    sums = from_token_means(means)
    for part in ("logprob", "ref_logprob", "token_kl", "sampling_logprob"):
        assert np.allclose(getattr(sums, part), getattr(samples, part), rtol=1e-12, atol=0.0)
    assert sums.notes[-1] == (
        "token means: multiplied logprob, ref_logprob, token_kl, sampling_logprob by the number of tokens"
    )


def test_what_was_summed_in_reading_is_not_multiplied():
    samples = completions(0.3, token_kl=np.ones(1600), per_token=frozenset({"logprob", "ref_logprob"}))
    sums = from_token_means(samples)
    assert np.array_equal(sums.logprob, samples.logprob)
    assert np.array_equal(sums.token_kl, samples.n_tokens)


def test_means_that_cannot_be_converted():
    samples = completions(0.3)
    with pytest.raises(
        InputError,
        match=r"grpo.csv: token_means=True needs the number of tokens of each completion: a column n_tokens, or ",
    ):
        from_token_means(replace(samples, n_tokens=None))
    held = {"n_tokens": HeldBack("grpo.csv: number of tokens 'n_tokens' is 2.5 in row 1", False, "n_tokens")}
    with pytest.raises(InputError, match=r"number of tokens 'n_tokens' is 2.5 in row 1"):
        from_token_means(replace(samples, n_tokens=None, held=held))
    with pytest.raises(
        InputError, match="multiplies log-probabilities, but they were given per token, and summed"
    ):
        from_token_means(replace(samples, per_token=frozenset({"logprob", "ref_logprob"})))
    with pytest.raises(InputError, match="multiplies log-probabilities, but they are missing"):
        from_token_means(replace(samples, logprob=None, ref_logprob=None))
