"""A run can be stopped at any moment: nothing is lost but the batch in flight, nothing doubled, nothing mixed."""

from __future__ import annotations

import errno
import os
import signal
import time

import filelock
import numpy as np
import polars as pl
import pytest

import klimit
from klimit.errors import InputError
from klimit.models import local
from klimit.models.engine import OutOfMemory

SETTINGS = {"n": 60, "max_new_tokens": 4, "seed": 3, "batch_size": 2}


def draw(model, prompts, output, **settings):
    return klimit.sample(model=str(model), prompts=prompts, output=output, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def whole(tiny_model, prompts_file, tmp_path_factory):
    """An uninterrupted run."""
    return pl.read_parquet(draw(tiny_model, prompts_file, tmp_path_factory.mktemp("whole") / "out.parquet"))


@pytest.fixture
def interrupted(tiny_model, prompts_file, tmp_path, monkeypatch):
    """A run that was interrupted after five batches; gives its output path."""
    seen = []
    sample = local.LocalEngine.sample

    def until_five(self, draws):
        seen.append(len(draws))
        if len(seen) > 5:
            raise KeyboardInterrupt
        return sample(self, draws)

    with monkeypatch.context() as patched:
        patched.setattr(local.LocalEngine, "sample", until_five)
        with pytest.raises(KeyboardInterrupt):
            draw(tiny_model, prompts_file, tmp_path / "out.parquet")
    return tmp_path / "out.parquet"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_twenty_random_points_it_ends_with_the_same_rows(tiny_model, prompts_file, tmp_path, whole):
    output = tmp_path / "out.parquet"
    random = np.random.default_rng(0)
    kills, longest = 0, 0.5
    while kills < 20:
        child = os.fork()
        if child == 0:
            draw(tiny_model, prompts_file, output)
            os._exit(0)
        time.sleep(random.uniform(0.0, longest))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if output.exists():  # it was done before it was killed: begin again, and be quicker
            assert pl.read_parquet(output).equals(whole)
            output.unlink()
            longest *= 0.8
        kills += os.WIFSIGNALED(status)
    draw(tiny_model, prompts_file, output)
    assert pl.read_parquet(output).equals(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_an_interrupted_run_keeps_its_batches_and_no_output(interrupted, tiny_model, prompts_file, whole):
    assert not interrupted.exists()
    said = []
    draw(tiny_model, prompts_file, interrupted, say=said.append)
    assert said == ["10 of 180 completions are there already", f"wrote {interrupted}"]
    assert pl.read_parquet(interrupted).equals(whole)


def test_a_rerun_of_a_complete_run_does_nothing(tiny_model, prompts_file, tmp_path):
    output = draw(tiny_model, prompts_file, tmp_path / "out.parquet", n=2)
    written = output.stat().st_mtime_ns
    said = []
    draw(tiny_model, prompts_file, output, n=2, say=said.append)
    assert said == [f"{output} is complete already"]
    assert output.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": 0.5}, "temperature 1.0 before, 0.5 now"),
        ({"seed": 4}, "seed 3 before, 4 now"),
        ({"n": 61}, "n 60 before, 61 now"),
    ],
)
def test_other_settings_are_never_mixed_in(setting, message, interrupted, tiny_model, prompts_file):
    with pytest.raises(InputError, match=message):
        draw(tiny_model, prompts_file, interrupted, **setting)


def test_other_weights_under_the_same_name_are_never_mixed_in(interrupted, other_tiny_model, prompts_file):
    with pytest.raises(InputError, match=r"weights .* before, .* now"):
        draw(other_tiny_model, prompts_file, interrupted)


def test_other_prompts_are_never_mixed_in(interrupted, tiny_model, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "c"}')
    with pytest.raises(InputError, match=r"prompts .* before, .* now"):
        draw(tiny_model, tmp_path / "p.jsonl", interrupted)


def test_overwrite_begins_again(interrupted, tiny_model, prompts_file):
    draw(tiny_model, prompts_file, interrupted, seed=4, overwrite=True)
    draw(tiny_model, prompts_file, interrupted, seed=3, overwrite=True, n=2)
    assert len(pl.read_parquet(interrupted)) == 6


def test_a_complete_file_made_otherwise_is_not_touched(tiny_model, prompts_file, tmp_path):
    output = draw(tiny_model, prompts_file, tmp_path / "out.parquet", n=2)
    with pytest.raises(InputError, match=r"made with other settings \(n 2 before, 3 now\)"):
        draw(tiny_model, prompts_file, output, n=3)


def test_a_file_of_somebody_else_is_not_touched(tiny_model, prompts_file, tmp_path):
    output = tmp_path / "out.parquet"
    pl.DataFrame({"x": [1]}).write_parquet(output)
    with pytest.raises(InputError, match="is there already, not made by this step"):
        draw(tiny_model, prompts_file, output)
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="is no Parquet file"):
        draw(tiny_model, prompts_file, tmp_path / "text.parquet")


def test_two_writers_on_one_file_are_refused(interrupted, tiny_model, prompts_file):
    folder = interrupted.with_name("out.parquet.parts")
    with (
        filelock.FileLock(folder / "lock"),
        pytest.raises(InputError, match="another process is writing it"),
    ):
        draw(tiny_model, prompts_file, interrupted)


def test_a_batch_that_does_not_fit_is_halved_and_said_so(
    tiny_model, prompts_file, tmp_path, monkeypatch, whole
):
    sample = local.LocalEngine.sample

    def at_most_three(self, draws):
        if len(draws) > 3:
            raise OutOfMemory
        return sample(self, draws)

    monkeypatch.setattr(local.LocalEngine, "sample", at_most_three)
    said = []
    output = draw(tiny_model, prompts_file, tmp_path / "out.parquet", batch_size=16, say=said.append)
    assert said == [
        "out of memory at 16 completions at once; going on with 8",
        "out of memory at 8 completions at once; going on with 4",
        "out of memory at 4 completions at once; going on with 2",
        f"wrote {output}",
    ]
    assert pl.read_parquet(output).drop("logprob").equals(whole.drop("logprob"))


def test_a_single_completion_that_does_not_fit_is_an_error(tiny_model, prompts_file, tmp_path, monkeypatch):
    def never(self, draws):
        raise OutOfMemory

    monkeypatch.setattr(local.LocalEngine, "sample", never)
    with pytest.raises(InputError, match="out of memory with one of the completions at once"):
        draw(tiny_model, prompts_file, tmp_path / "out.parquet")


def test_a_torch_allocation_that_fails_is_out_of_memory():
    import torch

    with pytest.raises(OutOfMemory), local.out_of_memory(torch):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="size"), local.out_of_memory(torch):
        torch.ones(2) + torch.ones(3)


def test_a_full_disk_is_one_line_and_a_rerun_goes_on(tiny_model, prompts_file, tmp_path, monkeypatch, whole):
    output = tmp_path / "out.parquet"
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left on device"):
            draw(tiny_model, prompts_file, output)
    assert not output.exists()
    draw(tiny_model, prompts_file, output)
    assert pl.read_parquet(output).equals(whole)


def test_what_fitted_is_remembered(tiny_model, prompts_file, tmp_path, monkeypatch):
    sizes = []
    sample = local.LocalEngine.sample

    def small(self, draws):
        sizes.append(len(draws))
        if len(draws) > 10:
            raise OutOfMemory
        if len(sizes) == 8:
            raise KeyboardInterrupt
        return sample(self, draws)

    monkeypatch.setattr(local.LocalEngine, "sample", small)
    monkeypatch.setitem(local._BATCH, "cpu", 32)
    with pytest.raises(KeyboardInterrupt):
        draw(tiny_model, prompts_file, tmp_path / "out.parquet", batch_size=None)
    before = len(sizes)
    draw(tiny_model, prompts_file, tmp_path / "out.parquet", batch_size=None)
    assert set(sizes[before:-1]) == {8}
