"""Disks that are full, readers that leave, Ctrl-C, bugs: one line at most, and nothing half written."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
MAIN = "from klimit.cli import main; main()"


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def command(*arguments, code=MAIN, **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("step", ["os.fsync", "os.replace"])
def test_a_full_disk_leaves_what_was_there_and_nothing_else(run, samples, tmp_path, monkeypatch, step):
    (tmp_path / "out.json").write_text("precious")
    real, calls = getattr(os, step.split(".")[1]), []

    def full_after_the_check(*arguments):
        # The first writes are the check before the work: it has to pass.
        calls.append(arguments)
        return real(*arguments) if step == "os.fsync" and len(calls) <= 2 else no_space()

    monkeypatch.setattr(step, full_after_the_check)
    done = run(
        "frontier",
        samples,
        "--reward",
        "reward",
        "--json",
        tmp_path / "out.json",
        "--plot",
        tmp_path / "o.svg",
    )
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "cannot be written (No space left on device); nothing was written" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "samples.parquet"]
    assert (tmp_path / "out.json").read_text() == "precious"


@needs_full
def test_a_device_that_is_full(run, samples):
    done = run("frontier", samples, "--reward", "reward", "--json", FULL)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "No space left" in done.err


@needs_full
def test_a_full_disk_behind_stdout(samples):
    with FULL.open("w") as full:
        process = command("frontier", samples, "--reward", "reward", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.splitlines()[-1] == "klimit: error: No space left on device"
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_a_reader_who_leaves_early_ends_it_without_a_word():
    process = command("frontier", "--help")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert err == ""


SLEEP = "        time.sleep(60)\n"
SLEEP_AS_A_DATABASE = (
    "        try:\n"
    "            time.sleep(60)\n"
    "        except KeyboardInterrupt:\n"
    "            raise InputError('query interrupted')\n"
)


@pytest.mark.parametrize("work", [SLEEP, SLEEP_AS_A_DATABASE])
def test_ctrl_c_exits_with_130_and_one_line(samples, tmp_path, work):
    wait = (
        "import signal, time, klimit.samples\n"
        # A run started in the background inherits a SIGINT that is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from klimit.errors import InputError\n"
        "def slow(*_, **__):\n"
        "        print('ready', flush=True)\n"
        f"{work}"
        "klimit.samples.as_samples = slow\n"
    )
    process = command("frontier", samples, "--json", tmp_path / "out.json", code=wait + MAIN)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == ("", "klimit: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["samples.parquet"]


def test_a_bug_is_one_line_that_says_how_to_see_more(run, samples, monkeypatch):
    def bug(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("klimit.streams.engines.open_samples", bug)
    monkeypatch.delenv("KLIMIT_TRACEBACK", raising=False)
    done = run("frontier", samples)
    assert done.status == 1
    assert done.err == (
        "klimit: this is a bug in klimit, please report it: ZeroDivisionError: division by zero "
        "(KLIMIT_TRACEBACK=1 shows where)\n"
    )
    monkeypatch.setenv("KLIMIT_TRACEBACK", "1")
    assert "Traceback" in run("frontier", samples).err


def test_a_job_without_a_figure_loads_nothing_heavy(samples):
    code = (
        "import sys\n"
        "from klimit.cli.entry import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "heavy = {'matplotlib', 'pandas', 'arviz_stats', 'pyarrow', 'scipy.stats'} & set(sys.modules)\n"
        "sys.exit(str(sorted(heavy)) if heavy else 0)\n"
    )
    process = command("frontier", samples, "--reward", "reward", "--json", "-", code=code)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
