"""The ensemble as users meet it: a column like any other, its account, and what is refused or warned of."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factor_models import INDEPENDENT, UNITS, FactorModel

from klimit.ensembles import aggregate, ensemble
from klimit.ensembles.inputs import standardise
from klimit.errors import InputError, KlimitWarning
from klimit.limit.frontier import frontier
from klimit.policies import best_of_n
from klimit.samples import Samples

NAMES = INDEPENDENT.names
SAMPLES = INDEPENDENT.samples(0, 60, 20, 30)
SHARED = replace(INDEPENDENT, errors=INDEPENDENT.errors + 0.3)


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)
        return ensemble(*arguments, **options)


class TestColumn:
    @pytest.mark.parametrize("how", ["mean", "median", "min", "uwo:0.5", "soft-min:0.2", "quantile:0.3"])
    def test_is_the_aggregate_of_proxies_standardised_within_prompts(self, how):
        found = ensemble(SAMPLES, proxies=NAMES, aggregate=how)
        columns = [
            pd.Series(SAMPLES.rewards[name]).groupby(np.repeat(np.arange(60), SAMPLES.counts))
            for name in NAMES
        ]
        standard = np.stack([one.transform(lambda x: (x - x.mean()) / x.std(ddof=1)) for one in columns])
        np.testing.assert_allclose(found.reward, aggregate(standard, how), rtol=1e-9, atol=1e-11)
        assert found.name == f"ensemble_{how}"
        assert "within prompts" in found.standardisation

    def test_keeps_the_order_of_completions_and_all_other_columns(self):
        found = ensemble(SAMPLES, proxies=NAMES[:3], name="panel")
        assert list(found.samples.rewards) == [*NAMES, "gold", "panel"]
        assert found.samples.rewards["gold"] is SAMPLES.rewards["gold"]
        assert "panel" not in SAMPLES.rewards
        np.testing.assert_array_equal(found.standardised, standardise(SAMPLES, NAMES[:3]))

    def test_can_be_used_wherever_a_reward_can(self):
        found = ensemble(SAMPLES, proxies=NAMES)
        limit = frontier(found.samples, reward=found.name, kl=[0.2])
        assert limit.at(kl=0.2).gain > 0
        assert best_of_n(found.samples, reward=found.name, n=[2]).gain[0] > 0

    def test_a_proxy_constant_within_a_prompt_is_0_there(self):
        values = np.array(SAMPLES.rewards[NAMES[0]])
        values[SAMPLES.offsets[4] : SAMPLES.offsets[6]] = 0.1
        changed = SAMPLES.with_reward(NAMES[0], values)
        found = quietly(changed, proxies=NAMES)
        assert found.constant_prompts.tolist() == [2, 0, 0, 0, 0]
        np.testing.assert_array_equal(found.standardised[0, SAMPLES.offsets[4] : SAMPLES.offsets[6]], 0)

    def test_units_and_levels_per_prompt_change_nothing(self):
        shift = np.repeat(np.random.default_rng(0).normal(size=60), SAMPLES.counts)
        changed = SAMPLES.with_reward(NAMES[1], 7 * SAMPLES.rewards[NAMES[1]] + shift)
        first, second = (quietly(one, proxies=NAMES, gold="gold") for one in (SAMPLES, changed))
        np.testing.assert_allclose(first.reward, second.reward, atol=1e-9)
        np.testing.assert_allclose(first.errors.covariance, second.errors.covariance, rtol=1e-9)
        first_c, second_c = first.collocation, second.collocation
        assert first_c.mean_correlation.estimate == pytest.approx(
            second_c.mean_correlation.estimate, rel=1e-9
        )

    def test_subsets_of_members_are_columns_too(self):
        found = ensemble(SAMPLES, proxies=NAMES)
        sizes = found.subsets(most=4)
        assert [len(one.members) for one in sizes] == [4, 4, 4, 4, 1]
        pair = found.column((0, 3))
        np.testing.assert_allclose(pair, quietly(SAMPLES, proxies=[NAMES[0], NAMES[3]]).reward)
        np.testing.assert_array_equal(found.column([NAMES[0], NAMES[3]]), pair)
        np.testing.assert_array_equal(found.with_subset((0, 3), "pair").rewards["pair"], pair)
        np.testing.assert_array_equal(found.column((0, 3), "min"), found.standardised[[0, 3]].min(axis=0))


class TestAccount:
    def test_without_gold_there_is_collocation_alone(self):
        found = ensemble(SAMPLES, proxies=NAMES)
        assert (found.gold_name, found.correlation, found.errors, found.weights) == (None, None, None, None)
        assert found.collocation.blind_to_shared_errors
        assert found.warnings == ()
        assert len(found.collocation.assumptions) == 3

    def test_with_gold_collocation_can_be_held_against_the_truth(self):
        found = ensemble(SAMPLES, proxies=NAMES, gold="gold")
        for value, truth in zip(found.collocation.reliability, INDEPENDENT.reliability(), strict=True):
            assert value.low - 0.05 < truth < value.high + 0.05
        assert found.errors.floor.estimate < 0.1 * found.errors.rest.estimate

    def test_shared_errors_show_with_gold_and_not_without(self):
        alike = FactorModel(np.ones(4), 0.8 + np.diag(np.full(4, 0.5)), UNITS[:4])
        found = ensemble(alike.samples(1, 100, 40), proxies=alike.names, gold="gold")
        assert found.errors.ceiling.high < 0.8
        assert found.collocation.mean_correlation.low > 0.95
        assert found.collocation.test.p_value > 0.01
        assert found.warnings == ()

    def test_correlation_is_that_of_the_column(self):
        for how in ("mean", "min", "weighted:1,0,0,0,0"):
            found = ensemble(SAMPLES, proxies=NAMES, gold="gold", aggregate=how)
            gold, column = (
                rewards
                - np.repeat(np.add.reduceat(rewards, SAMPLES.offsets[:-1]) / SAMPLES.counts, SAMPLES.counts)
                for rewards in (SAMPLES.rewards["gold"], found.reward)
            )
            weight = 1 / np.repeat(SAMPLES.counts - 1, SAMPLES.counts)
            plain = (weight * gold * column).sum() / np.sqrt(
                (weight * gold**2).sum() * (weight * column**2).sum()
            )
            # The members' moments are rid of the bias of standardising by few completions: about 1 per cent.
            assert found.correlation.estimate == pytest.approx(plain, rel=0.02)
            assert found.correlation.low < plain < found.correlation.high
        assert found.correlation == found.errors.correlation[0]

    def test_the_mean_s_correlation_is_that_of_all_members(self):
        found = ensemble(SAMPLES, proxies=NAMES, gold="gold")
        known, other = found.correlation, found.errors.mean_correlation
        for end in ("estimate", "low", "high"):  # summed in another order
            assert getattr(known, end) == pytest.approx(getattr(other, end), rel=1e-12)

    def test_best_weights_can_be_the_next_aggregator(self):
        from klimit.ensembles import weighted_by

        first = ensemble(SAMPLES, proxies=NAMES, gold="gold")
        best = weighted_by([one.estimate for one in first.weights.weights])
        again = ensemble(SAMPLES, proxies=NAMES, gold="gold", aggregate=best)
        assert again.correlation.estimate > first.correlation.estimate

    def test_gold_alike_in_all_prompts_loses_nothing_by_standardising_unlike_does(self):
        alike = replace(INDEPENDENT, spreads=(1.0,), shares=(1.0,))
        same = ensemble(alike.samples(2, 300, 30), proxies=NAMES, gold="gold").errors.standardising
        other = ensemble(INDEPENDENT.samples(2, 300, 30), proxies=NAMES, gold="gold").errors.standardising
        sd, var = (
            np.dot(INDEPENDENT.shares, np.sqrt(INDEPENDENT.spreads)),
            np.dot(INDEPENDENT.shares, INDEPENDENT.spreads),
        )
        assert same.estimate == pytest.approx(1, abs=0.01)
        assert sd / np.sqrt(var) in other


class TestReading:
    def frame(self):
        columns = {name: values.copy() for name, values in SAMPLES.rewards.items()}
        return pd.DataFrame({"prompt_id": np.repeat(np.arange(60), SAMPLES.counts), **columns})

    def test_frames_and_files_give_what_samples_give(self, tmp_path):
        self.frame().to_parquet(tmp_path / "scored.parquet")
        expected = ensemble(SAMPLES, proxies=NAMES, gold="gold")
        for source in (self.frame(), tmp_path / "scored.parquet"):
            found = ensemble(source, proxies=NAMES, gold="gold")
            np.testing.assert_array_equal(found.reward, expected.reward)
            assert found.correlation == expected.correlation

    def test_costs_are_turned_round_together(self):
        frame = self.frame()
        frame[[*NAMES, "gold"]] *= -1
        found = ensemble(frame, proxies=NAMES, gold="gold", lower_is_better=True)
        assert found.correlation.estimate == pytest.approx(
            ensemble(SAMPLES, proxies=NAMES, gold="gold").correlation.estimate
        )

    def test_one_incomplete_proxy_is_refused_with_the_condition_that_leaves_its_gaps_out(self):
        frame = self.frame()
        frame.loc[7, NAMES[1]] = np.nan
        with pytest.raises(InputError, match=r"'proxy_1': 1 missing .*where='isfinite\(proxy_1\)'"):
            ensemble(frame, proxies=NAMES)

    def test_several_incomplete_proxies_are_refused_with_one_condition_that_works(self):
        frame = self.frame()
        frame.loc[7, NAMES[1]] = np.nan
        frame.loc[9:12, NAMES[3]] = np.inf
        with pytest.raises(InputError) as caught:
            ensemble(frame, proxies=NAMES, where="prompt_id < 50")
        said = str(caught.value)
        assert "\n" not in said
        assert "proxy_3 has such rows as well" in said
        condition = said.split("where='")[1].split("'")[0]
        found = ensemble(frame, proxies=NAMES, where=condition)
        assert found.samples.n_completions == SAMPLES.offsets[50] - 5

    def test_samples_with_gaps_name_the_prompt(self):
        values = np.array(SAMPLES.rewards[NAMES[2]])
        values[SAMPLES.offsets[11]] = np.nan
        with pytest.raises(InputError, match=r"'proxy_2': 1 missing .* prompt .*11"):
            ensemble(SAMPLES.with_reward(NAMES[2], values), proxies=NAMES)

    def test_a_gap_in_a_column_that_is_not_asked_for_does_not_matter(self):
        values = np.array(SAMPLES.rewards[NAMES[4]])
        values[3] = np.nan
        found = ensemble(SAMPLES.with_reward(NAMES[4], values), proxies=NAMES[:3])
        np.testing.assert_array_equal(found.reward, ensemble(SAMPLES, proxies=NAMES[:3]).reward)

    def test_gold_known_in_part_is_refused_with_what_to_do(self):
        gold = np.array(SAMPLES.rewards["gold"])
        gold[::2] = np.nan
        rewards = {name: SAMPLES.rewards[name] for name in NAMES}
        partly = replace(SAMPLES, rewards=rewards, labels={"gold": gold})
        with pytest.raises(InputError, match=r"gold 'gold' is known for 751 of 1,502 completions") as caught:
            ensemble(partly, proxies=NAMES, gold="gold")
        assert "numpy.isfinite(samples.labels['gold'])" in str(caught.value)
        known = partly.rows(np.isfinite(gold))
        found = quietly(known, proxies=NAMES, gold="gold")
        assert found.samples.n_completions == np.isfinite(gold).sum()


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"proxies": "proxy_0"}, "give a list of reward columns"),
            ({"proxies": ["proxy_0"]}, "at least 2 members"),
            ({"proxies": ["proxy_0", "proxy_0"]}, "given twice"),
            ({"proxies": ["proxy_0", "proxy_9"]}, "no reward 'proxy_9'"),
            ({"proxies": ["proxy_0", "gold"], "gold": "gold"}, "gold judges them"),
            ({"name": "gold"}, "there is a reward 'gold' already"),
            ({"aggregate": "best"}, "no such aggregator"),
            ({"aggregate": "weighted:1,2"}, "needs 2 members; there are 5"),
            ({"level": 1.0}, "give a probability"),
            ({"folds": 1}, "folds=1: give a whole number of at least 2"),
            ({"most_subsets": 2.5}, "whole number"),
            ({"where": "gold > 0"}, "where= needs a table"),
        ],
    )
    def test_options_that_cannot_be(self, options, message):
        with pytest.raises(InputError, match=message) as caught:
            ensemble(SAMPLES, **{"proxies": NAMES, **options})
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("column", "role"), [("proxy_3", "it adds nothing"), ("gold", "it can judge nothing")]
    )
    def test_what_never_varies_within_a_prompt(self, column, role):
        level = np.repeat(np.arange(60.0), SAMPLES.counts)
        with pytest.raises(InputError, match=f"{column!r} never varies within a prompt: {role}"):
            ensemble(SAMPLES.with_reward(column, level), proxies=NAMES, gold="gold")

    def test_prompts_with_too_few_completions(self):
        mask = np.ones(SAMPLES.n_completions, dtype=bool)
        mask[SAMPLES.offsets[3] + 2 : SAMPLES.offsets[4]] = False
        short = SAMPLES.rows(mask)
        with pytest.raises(InputError, match=r"1 of 60 prompts with fewer than 3 completions \(first: 3\)"):
            ensemble(short, proxies=NAMES)
        assert quietly(short.at_least(3), proxies=NAMES).samples.n_prompts == 59

    def test_proxies_that_fall_with_gold(self):
        negated = SAMPLES.with_reward("gold", -SAMPLES.rewards["gold"])
        with pytest.raises(InputError, match="does not rise with gold"):
            ensemble(negated, proxies=NAMES, gold="gold")


class TestWarnings:
    def warned(self, samples, proxies, **options):
        with pytest.warns(KlimitWarning) as caught:
            found = ensemble(samples, proxies=proxies, **options)
        said = [str(one.message) for one in caught]
        assert said == list(found.warnings)
        assert all("\n" not in line for line in said)
        return found, said

    def test_two_proxies_leave_no_collocation(self):
        found, said = self.warned(SAMPLES, NAMES[:2], gold="gold")
        assert found.collocation is None
        assert found.errors is not None
        assert said[0].startswith("collocation needs three proxies")

    def test_a_proxy_that_is_a_cost(self):
        flipped = SAMPLES.with_reward(NAMES[2], -SAMPLES.rewards[NAMES[2]])
        found, said = self.warned(flipped, NAMES, gold="gold")
        assert any(line.startswith("proxy_2 runs against the other proxies") for line in said)
        assert any(line.startswith("proxy_2 does not rise with gold") for line in said)
        assert found.collocation.correlation[2].estimate < 0

    def test_no_common_factor(self):
        rng = np.random.default_rng(0)
        z = rng.standard_normal((4, 100 * 30))
        rewards = {"a": z[0] + z[1], "b": z[1] + z[2], "c": z[0] - z[2]}
        samples = Samples(rewards=rewards, offsets=np.arange(101) * 30, prompt_ids=np.arange(100))
        found, said = self.warned(samples, ["a", "b", "c"])
        assert found.collocation is None
        assert any("no one thing in common" in line and "b and c" in line for line in said)

    def test_errors_that_some_share(self):
        errors = INDEPENDENT.errors.copy()
        errors[:2, :2] += 0.8
        found, said = self.warned(replace(INDEPENDENT, errors=errors).samples(1, 100, 40), NAMES)
        assert found.collocation.test.p_value < 0.01
        assert any("not to be trusted" in line for line in said)

    def test_one_opinion_given_twice(self):
        twice = SAMPLES.with_reward("again", 3 * SAMPLES.rewards[NAMES[0]] + 1)
        found, said = self.warned(twice, [*NAMES[:3], "again"], gold="gold")
        assert any(line.startswith("proxy_0 and again are the same within prompts") for line in said)
        assert any("no best weights" in line for line in said)
        assert found.weights is None

    def test_proxies_with_hardly_anything_in_common(self):
        model = FactorModel.independent([0.05, 0.05, 0.05, 0.05], [1.0] * 4)
        _, said = self.warned(model.samples(8, 30, 20), model.names)
        assert any("fewer than three proxies clearly" in line or "no one thing" in line for line in said)

    def test_few_prompts_and_few_completions(self):
        _, said = self.warned(INDEPENDENT.samples(3, 12, 8), NAMES, gold="gold")
        assert any("12 prompts are few" in line for line in said)
        assert any("only 8 completions" in line for line in said)

    def test_one_prompt_gives_the_column_and_no_interval(self):
        found, _ = self.warned(INDEPENDENT.samples(4, 1, 50), NAMES, gold="gold")
        assert found.reward.shape == (50,)
        assert found.errors.floor.low == -np.inf
        assert found.weights is None
        assert (found.correlation.low, found.correlation.high) == (-1, 1)
        assert found.collocation.test is None
