"""Output files are whole or not there."""

import errno
import os

import pytest

from klimit.errors import InputError
from klimit.reports.files import check_outputs, write_files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_are_written_and_nothing_else_stays(tmp_path):
    write_files({str(tmp_path / "a"): b"one", str(tmp_path / "b"): b"two"})
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "b").read_bytes() == b"two"


def test_a_failure_at_the_last_file_leaves_the_first_untouched(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    calls = []

    def full_at_the_second(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_at_the_second)
    with pytest.raises(
        InputError, match=r"b: cannot be written \(No space left on device\); nothing was written"
    ):
        write_files({str(tmp_path / "a"): b"new", str(tmp_path / "b"): b"new"})
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_an_interruption_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_files({str(tmp_path / "a"): b"new"})
    assert names(tmp_path) == []


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o600)
    write_files({str(tmp_path / "a"): b"new"})
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_link_is_followed_not_replaced(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_files({str(tmp_path / "link"): b"new"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_checking_leaves_no_trace_and_changes_nothing(tmp_path):
    (tmp_path / "old").write_bytes(b"old")
    check_outputs([str(tmp_path / "old"), str(tmp_path / "new")])
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "is not a path"),
        ("a\0b", "is not a path"),
        ("{folder}", "is a folder"),
        ("{folder}/none/a", "there is no folder"),
        ("{folder}/input", "would destroy it"),
        ("{folder}/sub/../input", "would destroy it"),
    ],
)
def test_paths_that_cannot_be_written_are_refused(tmp_path, path, said):
    (tmp_path / "input").write_bytes(b"samples")
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match=said):
        check_outputs([path.format(folder=tmp_path)], inputs=[tmp_path / "input"])


def test_one_file_for_two_outputs_is_refused(tmp_path):
    with pytest.raises(InputError, match="named for two outputs"):
        check_outputs([str(tmp_path / "a"), str(tmp_path / "a")])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="Permission denied"):
        check_outputs([str(tmp_path / "locked" / "a")])
