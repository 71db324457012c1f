"""Files larger than memory: read in parts, with the results of reading them whole."""

from __future__ import annotations

import errno
import tempfile
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import klimit
from klimit.errors import InputError, KlimitWarning
from klimit.samples.parts import open_parts
from klimit.streams import engines
from klimit.streams.spilled import Spilled
from klimit.streams.summarise import _Pass

ARRAYS = ("kl", "gain", "gain_low", "gain_high", "beta")
CURVES = ("kl", "kl_low", "kl_high", "gain", "gain_low", "gain_high", "win_rate")
SHARES = ("efficiency", "efficiency_low", "efficiency_high")


def table(kind="normal", *, prompts=60, seed=0, few=24, many=40):
    """Ragged samples, prompts one after the other."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(few, many, prompts)
    prompt = np.repeat(np.arange(prompts), counts)
    reward = rng.normal(size=len(prompt)) * rng.uniform(0.5, 1.5, prompts)[prompt]
    if kind == "binary":
        reward = (reward > 0.6).astype(float)
    elif kind == "ties":
        reward = np.round(2 * reward)
    elif kind == "large":
        reward = 1e9 + 1e3 * reward
    sample = np.concatenate([np.arange(n) for n in counts])
    return pl.DataFrame({"prompt_id": prompt, "sample_id": sample, "reward": reward})


def write(frame, folder, *, files=1, shuffled=False):
    """As one Parquet file, or several."""
    if shuffled:
        frame = frame.sample(fraction=1.0, shuffle=True, seed=1)
    size = -(-len(frame) // files)
    paths = [folder / f"{i}.parquet" for i in range(files)]
    for i, path in enumerate(paths):
        frame[i * size : (i + 1) * size].write_parquet(path, row_group_size=100)
    return paths


def answers(samples):
    """Limit and best-of-N."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)
        limit = klimit.frontier(samples)
        return limit, klimit.best_of_n(samples, limit=limit)


def assert_same(found, expected, *, rtol=1e-9):
    (limit, best), (other, other_best) = found, expected
    assert limit.horizon == pytest.approx(other.horizon, rel=rtol)
    for one, two, names in ((limit, other, ARRAYS), (best, other_best, CURVES + SHARES)):
        for name in names:
            a, b = getattr(one, name), getattr(two, name)
            scale = np.nanmax(np.abs(b), initial=0.0)
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=name)


@pytest.mark.parametrize("kind", ["normal", "binary", "ties", "large"])
@pytest.mark.parametrize("layout", ["grouped", "shuffled", "several files", "shuffled over files"])
def test_results_are_those_of_reading_whole_whatever_the_order_of_the_rows(kind, layout, tmp_path):
    files = 3 if "files" in layout else 1
    paths = write(table(kind), tmp_path, files=files, shuffled="shuffled" in layout)
    assert_same(answers(klimit.summarise(paths, part=300)), answers(klimit.read_samples(paths)))


@pytest.mark.parametrize("part", [1, 37, 500, 10**9])
def test_results_do_not_depend_on_the_size_of_the_parts(part, tmp_path):
    paths = write(table(), tmp_path)
    assert_same(answers(klimit.summarise(paths, part=part)), answers(klimit.summarise(paths, part=120)))


def test_another_seed_has_other_results(tmp_path):
    paths = write(table(), tmp_path)
    one, other = (klimit.frontier(klimit.summarise(paths, seed=seed), seed=seed) for seed in (0, 1))
    assert np.nanmax(np.abs(one.gain - other.gain)) > 1e-6


def test_conditions_costs_and_names_are_those_of_reading_whole(tmp_path):
    frame = table(prompts=80).with_columns(cost=-pl.col("reward"), text="t" + pl.col("prompt_id").cast(str))
    paths = write(frame, tmp_path, shuffled=True)
    options = {"prompt": "text", "where": "prompt_id % 3 > 0", "lower_is_better": True}
    found = klimit.summarise(paths, reward="cost", part=200, **options)
    whole = klimit.read_samples(paths, rewards="cost", **options)
    assert found.prompt_ids.tolist() == whole.prompt_ids.tolist()
    assert found.counts.tolist() == whole.counts.tolist()
    assert_same(answers(found), answers(whole))


def test_grouped_files_are_read_as_they_are(tmp_path):
    (tmp_path / "shuffled").mkdir()
    for shuffled, folder in ((False, tmp_path), (True, tmp_path / "shuffled")):
        with open_parts(write(table(), folder, shuffled=shuffled), part=100) as parts:
            assert parts.grouped is not shuffled
            cuts = list(parts.cuts())
            assert [first for first, _ in cuts] == [0, *(last for _, last in cuts[:-1])]
            assert all(parts.counts[a:b].sum() <= 100 or b == a + 1 for a, b in cuts)


@pytest.mark.parametrize("shuffled", [False, True])
def test_nothing_is_left_in_the_folder_for_temporary_files(shuffled, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    samples = klimit.summarise(write(table(), tmp_path, shuffled=shuffled), part=200)
    assert list(scratch.iterdir()) == []
    assert klimit.frontier(samples).linearise([0.3]).influence.shape == (60, 1)
    bad = table().with_columns(
        reward=pl.when(pl.col("sample_id") == 3).then(float("nan")).otherwise("reward")
    )
    with pytest.raises(InputError):
        klimit.summarise(write(bad, tmp_path, shuffled=shuffled), part=200)
    assert list(scratch.iterdir()) == []


def broken(kind):
    frame = table(prompts=20)
    row = pl.int_range(pl.len()) == 333
    changes = {
        "missing": {"reward": pl.when(row).then(None).otherwise("reward")},
        "nan": {"reward": pl.when(row).then(float("nan")).otherwise("reward")},
        "infinite": {"reward": pl.when(row).then(float("inf")).otherwise("reward")},
        "no prompt": {"prompt_id": pl.when(row).then(None).otherwise("prompt_id")},
        "repeated": {"sample_id": pl.when(row).then(pl.col("sample_id").shift()).otherwise("sample_id")},
        "text": {"reward": pl.lit("good")},
    }
    return frame.with_columns(**changes[kind])


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("kind", ["missing", "nan", "infinite", "no prompt", "repeated", "text"])
def test_bad_rows_are_named_as_reading_whole_names_them(kind, shuffled, tmp_path):
    paths = write(broken(kind), tmp_path, files=2, shuffled=shuffled)
    with pytest.raises(InputError) as whole:
        klimit.read_samples(paths, rewards="reward")
    with pytest.raises(InputError) as parts:
        klimit.summarise(paths, reward="reward", part=100)
    places = [str(error.value).partition("(row")[2].partition(")")[0] for error in (whole, parts)]
    assert "\n" not in str(parts.value)
    if kind not in ("text", "no prompt"):
        assert places[0] == places[1] != ""


def test_a_truncated_file_among_others_is_named(tmp_path):
    paths = write(table(), tmp_path, files=3)
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"1\.parquet: not a readable Parquet file: truncated"):
        klimit.summarise(paths)


def test_files_that_change_while_they_are_read_are_refused(tmp_path):
    paths = write(table(), tmp_path)
    with open_parts(paths, part=100) as parts:
        reading = iter(parts)
        next(reading)
        write(table(seed=5), tmp_path)
        with pytest.raises(InputError, match="changed"):
            list(reading)


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    class Full:
        def seek(self, *where):
            return 0

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(self, n_points):
        Spilled.__dict__["_begin"](self, n_points)
        self._file = Full()

    monkeypatch.setattr(Spilled, "_begin", Spilled.__init__, raising=False)
    monkeypatch.setattr(Spilled, "__init__", full)
    with pytest.raises(InputError, match=r"No space left on device.* set TMPDIR to a folder with room"):
        klimit.summarise(write(table(), tmp_path))


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda s: klimit.frontier(s).diagnostics(), "of single prompts needs the rewards themselves"),
        (lambda s: klimit.frontier(s).pieces(1.0), "needs the rewards themselves"),
        (lambda s: klimit.frontier(s, transform="rank"), "transform='rank' needs"),
        (lambda s: klimit.frontier(s, budget="per-prompt"), "budget='per-prompt' needs"),
        (lambda s: klimit.frontier(s, estimator="plug-in"), "estimator='plug-in' needs"),
        (lambda s: klimit.frontier(s, seed=3), "made with seed 0"),
        (lambda s: klimit.best_of_n(s, n=[3]), r"N = 3: the summary has N = 1, 2, 4, .* n=\[3\]"),
        (lambda s: klimit.best_of_n(s, target="these-prompts"), "target='these-prompts' needs"),
        (lambda s: klimit.best_of_poisson(s, mu=[3.0]), "needs the rewards themselves"),
        (lambda s: klimit.hacking(s, proxy="reward", gold="reward"), "needs the rewards themselves|both"),
    ],
)
@pytest.mark.filterwarnings("ignore::klimit.KlimitWarning")
def test_what_a_summary_cannot_give_is_refused(ask, said, tmp_path):
    samples = klimit.summarise(write(table(), tmp_path))
    with pytest.raises(InputError, match=said) as error:
        ask(samples)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::klimit.KlimitWarning")
def test_other_n_can_be_asked_for_when_summarising(tmp_path):
    paths = write(table(), tmp_path)
    found = klimit.best_of_n(klimit.summarise(paths, n=[3, 5]), n=[5, 3])
    whole = klimit.best_of_n(klimit.read_samples(paths), n=[5, 3])
    np.testing.assert_allclose(found.gain, whole.gain, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::klimit.KlimitWarning")
@pytest.mark.parametrize("target", ["population", "these-prompts"])
@pytest.mark.parametrize("estimator", ["extrapolated", "richardson", "jackknife"])
def test_every_estimator_and_target_of_the_limit_is_that_of_reading_whole(target, estimator, tmp_path):
    paths = write(table(), tmp_path)
    options = {"target": target, "estimator": estimator}
    found = klimit.frontier(klimit.summarise(paths, part=300), **options)
    whole = klimit.frontier(paths, engine="memory", **options)
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-9)
    price = float(found.beta[3])
    for name in ("kl", "gain", "gain_low", "gain_high", "kl_reverse"):
        assert getattr(found.at(beta=price), name) == pytest.approx(
            getattr(whole.at(beta=price), name), rel=1e-8
        )


@pytest.mark.filterwarnings("ignore::klimit.KlimitWarning")
@pytest.mark.parametrize("kind", ["constant", "two completions"])
def test_samples_that_support_no_estimate_are_bracketed_as_when_read_whole(kind, tmp_path):
    frame = table(few=2, many=4) if kind == "two completions" else table().with_columns(reward=pl.lit(1.5))
    paths = write(frame, tmp_path)
    found, whole = klimit.frontier(klimit.summarise(paths)), klimit.frontier(paths, engine="memory")
    assert found.horizon == whole.horizon == 0.0
    np.testing.assert_allclose(found.gain_high, whole.gain_high)
    np.testing.assert_allclose(found.gain_low, whole.gain_low)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (pl.DataFrame({"prompt_id": [1], "reward": [1.0]}), "from Parquet files alone"),
        (np.zeros((2, 4)), "from Parquet files alone"),
    ],
)
def test_only_parquet_is_read_in_parts(source, said):
    with pytest.raises(InputError, match=said):
        klimit.summarise(source)


def test_lists_and_messages_are_refused(tmp_path):
    lists = pl.DataFrame({"prompt_id": [1, 2], "reward": [[1.0, 2.0], [3.0, 4.0]]})
    with pytest.raises(InputError, match="'reward' holds lists"):
        klimit.summarise(write(lists, tmp_path))
    message = [{"role": "user", "content": "hello"}]
    messages = pl.DataFrame({"prompt": [message, message], "reward": [1.0, 2.0]})
    with pytest.raises(InputError, match="'prompt' holds messages; parts need a column of prompt ids"):
        klimit.summarise(write(messages, tmp_path))


class TestEngines:
    """``engine=``: what is chosen, and that it is said."""

    @pytest.fixture
    def paths(self, tmp_path):
        return write(table(), tmp_path)

    def test_auto_reads_small_files_whole(self, paths):
        assert klimit.frontier(paths).samples.in_memory

    def test_auto_reads_in_parts_what_would_take_more_than_half_of_the_free_memory(self, paths, monkeypatch):
        monkeypatch.setattr(engines, "_SMALL", 0)
        monkeypatch.setattr(engines, "free_memory", lambda: 100_000)
        samples = klimit.frontier(paths).samples
        assert not samples.in_memory
        assert "read in parts (engine 'stream')" in samples.notes[-1]
        assert klimit.frontier(paths, engine="memory").samples.in_memory
        monkeypatch.setattr(engines, "free_memory", lambda: 10**9)
        assert klimit.frontier(paths).samples.in_memory

    @pytest.mark.filterwarnings("ignore::klimit.KlimitWarning")
    def test_auto_reads_whole_where_a_summary_cannot_serve(self, paths, monkeypatch):
        monkeypatch.setattr(engines, "_SMALL", 0)
        monkeypatch.setattr(engines, "free_memory", lambda: 1000)
        assert klimit.frontier(paths, transform="standardised").samples.in_memory

    def test_stream_is_refused_where_a_summary_cannot_serve(self, paths):
        with pytest.raises(InputError, match="engine='stream' cannot give transform='rank'"):
            klimit.frontier(paths, engine="stream", transform="rank")

    def test_unknown_engines_are_refused(self, paths):
        with pytest.raises(InputError, match="engine='spark': choose one of 'auto', 'memory', 'stream'"):
            klimit.frontier(paths, engine="spark")

    def test_best_of_n_takes_an_engine_too(self, paths):
        found, whole = (klimit.best_of_n(paths, engine=engine) for engine in ("stream", "memory"))
        np.testing.assert_allclose(found.efficiency, whole.efficiency, rtol=1e-9)

    def test_progress_counts_all_completions(self, paths):
        seen = []
        samples = klimit.summarise(paths, part=500, progress=lambda done, total: seen.append((done, total)))
        assert len(seen) > 2
        assert seen == sorted(seen)
        assert seen[-1] == (samples.n_completions, samples.n_completions)


def test_a_temporary_file_of_log_partitions_combines_them_as_arrays_do(monkeypatch):
    from klimit.limit.kernels import PromptStatistics
    from klimit.streams import spilled

    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 50, 7))
    kept = Spilled(7)
    kept.append(values[:, :20])
    kept.append(values[:, 20:])
    whole = PromptStatistics(np.arange(7.0), values, values, values[0])
    weights = rng.normal(size=(3, 4, 7))
    for at_once in (spilled._AT_ONCE, 60):
        monkeypatch.setattr(spilled, "_AT_ONCE", at_once)
        np.testing.assert_allclose(kept.project(weights), whole.project(weights), rtol=1e-12)


def test_paths_may_hold_what_globs_are_made_of(tmp_path):
    folder = tmp_path / "a[1]"
    folder.mkdir()
    paths = write(table(), folder)
    assert klimit.summarise(Path(paths[0])).n_prompts == 60


def test_nothing_of_a_part_is_kept_but_what_is_known_of_its_prompts(tmp_path):
    with open_parts(write(table(), tmp_path), part=300) as parts:
        reading = _Pass(parts, None, 0)
        reading.run(lambda done, total: None)
    assert len(reading.rewards) > 3
    for part in reading.rewards:
        for name in ("values", "mean", "variance", "third", "top", "at_top", "best", "pairs"):
            array = getattr(part, name)
            whole = array if array.base is None else array.base  # what a view keeps in memory
            assert whole.nbytes <= 8 * 16 * part.n_prompts, name
