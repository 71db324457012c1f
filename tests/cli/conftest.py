"""Running commands in this process: arguments in; status, stdout and stderr out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_samples import table

from klimit.cli.entry import run as run_command


@dataclass(frozen=True)
class Finished:
    status: int
    out: str
    err: str


Run = Callable[..., Finished]


@pytest.fixture
def run(capsys) -> Run:
    def run_with(*arguments: object) -> Finished:
        capsys.readouterr()
        status = run_command([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Finished(status, out, err)

    return run_with


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A good file of samples, the only one in its folder."""
    path = tmp_path / "samples.parquet"
    table().to_parquet(path)
    return path
