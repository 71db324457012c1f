"""The folder of an experiment: which steps are done, by what they depend on, and what earlier recipes made.

``steps.json`` holds a record of every target: its content in short, and the keys of the steps that made it. What is
there and was made otherwise is moved to ``earlier/`` before it is made anew, and taken back when it is wanted again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from klimit.errors import InputError
from klimit.experiments.inputs import digest_of
from klimit.experiments.steps import Step
from klimit.models.extras import needed
from klimit.reports.files import write_files

RECORDS = "steps.json"
EARLIER = "earlier"
State = Literal["done", "begun", "to do"]
Record = dict[str, Any]


class Store:
    """What an experiment's folder holds.

    Args:
        folder: of the experiment.

    Raises:
        InputError: it is a file, or holds other content.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._digests: dict[tuple[str, int, int], str] = {}
        self._records = self._read()

    def missing(self, step: Step) -> list[str]:
        """The parts of a step that are not done."""
        place, record = self._find(step)
        parts = list(step.keys)
        if record is None or not all((self.folder / name).exists() for name in step.also):
            return parts
        mark = record["mark"]
        if mark is not None and mark != self._digest(place):
            return parts
        done = record["steps"].get(step.kind, {}).get("keys", {})
        return [part for part in parts if done.get(part) != step.keys[part]]

    def state(self, step: Step) -> State:
        """How far a step is."""
        if not self.missing(step):
            return "done"
        return "begun" if self._unfinished(step).is_dir() else "to do"

    def take_back(self, step: Step) -> None:
        """Put a step's target in its place, where it lies among what was made earlier."""
        here = self.folder / step.target
        place, record = self._find(step)
        if record is None or place == here:
            return
        here.parent.mkdir(parents=True, exist_ok=True)
        self._set_aside(step.target, anything=True)
        os.replace(place, here)
        del self._records[EARLIER][step.target][step.made_by]
        self._records["targets"][step.target] = record
        self._write()

    def prepare(self, step: Step) -> None:
        """Make room for a step, whose target may be there, made otherwise."""
        _, record = self._find(step)
        (self.folder / step.target).parent.mkdir(parents=True, exist_ok=True)
        if step.makes and not step.keep:
            self._records["targets"].pop(step.target, None)
        elif step.makes and step.target in self._records["targets"]:
            self._set_aside(step.target)
        elif record is not None:
            record["mark"] = None  # it is written to, and may be there before that is recorded
        self._write()

    def finished(self, step: Step, seconds: float | None, versions: dict[str, str]) -> None:
        """Record that all parts of a step are done.

        Args:
            step: that is.
            seconds: that it took; None where it was begun before.
            versions: of what did it.
        """
        known = self._records["targets"].setdefault(
            step.target, {"made_by": step.made_by, "mark": None, "steps": {}}
        )
        before = {} if step.makes else known["steps"].get(step.kind, {}).get("keys", {})
        known["steps"][step.kind] = {
            "says": step.says,
            "keys": {**before, **step.keys},
            "pace": step.pace,
            "size": step.size,
            "seconds": None if seconds is None else round(seconds, 2),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions,
        }
        known["mark"] = self._digest(self.folder / step.target)
        self._write()

    def was_begun(self, step: Step) -> bool:
        """Whether parts of a step lie there from before."""
        return self._unfinished(step).is_dir()

    def paces(self) -> dict[str, float]:
        """Seconds for a unit of work, of the steps that were timed."""
        spent: dict[str, list[float]] = {}
        for record in self._records["targets"].values():
            for step in record["steps"].values():
                if step["seconds"] is not None:
                    seconds, size = spent.setdefault(step["pace"], [0.0, 0.0])
                    spent[step["pace"]] = [seconds + step["seconds"], size + step["size"]]
        return {pace: seconds / size for pace, (seconds, size) in spent.items()}

    def record(self, step: Step) -> Record:
        """What is recorded of a step that is done."""
        _, record = self._find(step)
        assert record is not None
        return dict(record["steps"][step.kind])

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the folder for one process.

        Raises:
            InputError: another has it, or it cannot be written.
        """
        filelock = needed("filelock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.folder / ".lock")
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(
                f"{self.folder}: another process runs an experiment there; wait for it"
            ) from None
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written ({error.strerror or error})") from None
        try:
            self._records = self._read()
            yield
        finally:
            lock.release()

    def _find(self, step: Step) -> tuple[Path, Record | None]:
        """Where a step's target lies, as the steps before it want it, and its record; None where it does not."""
        record = self._records["targets"].get(step.target)
        here = self.folder / step.target
        if record is not None and record["made_by"] == step.made_by and here.exists():
            return here, record
        kept = self._records[EARLIER].get(step.target, {}).get(step.made_by)
        there = self._aside(step.target, step.made_by)
        if kept is not None and there.exists():
            return there, kept
        return here, None

    def _set_aside(self, target: str, *, anything: bool = False) -> None:
        """Move what is there, made otherwise or changed since, out of the way; what is not recorded if ``anything``."""
        here, record = self.folder / target, self._records["targets"].pop(target, None)
        if not here.exists() or (record is None and not anything):
            return
        name = "unknown" if record is None else record["made_by"]
        if record is None or record["mark"] not in (None, self._digest(here)):
            name = f"{name}-changed-{self._digest(here)[:8]}"
        there = self._aside(target, name)
        there.parent.mkdir(parents=True, exist_ok=True)
        if not there.exists():
            os.replace(here, there)
            if record is not None:
                self._records[EARLIER].setdefault(target, {})[name] = record

    def _aside(self, target: str, key: str) -> Path:
        path = self.folder / EARLIER / target
        return path.with_name(f"{path.name.removesuffix(path.suffix)}-{key}{path.suffix}")

    def _unfinished(self, step: Step) -> Path:
        target = self.folder / step.target
        return target.with_name(f"{target.name}.parts")

    def _digest(self, path: Path) -> str:
        """Of a file's content, or a folder's; looked at once as long as it does not change."""
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        stats = [file.stat() for file in files]
        seen = (str(path), sum(each.st_size for each in stats), sum(each.st_mtime_ns for each in stats))
        if seen not in self._digests:
            self._digests[seen] = digest_of(path, whole=path.is_file())
        return self._digests[seen]

    def _read(self) -> Record:
        file = self.folder / RECORDS
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder}: is a file; name a folder with -o")
        if not file.is_file():
            others = self.folder.is_dir() and any(each.name != ".lock" for each in self.folder.iterdir())
            if others:
                raise InputError(
                    f"{self.folder}: holds other content (no {RECORDS}); name another folder with -o"
                )
            return {"targets": {}, EARLIER: {}}
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            return {"targets": dict(found["targets"]), EARLIER: dict(found[EARLIER])}
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{file}: cannot be read; remove {self.folder} to begin again") from None

    def _write(self) -> None:
        write_files({str(self.folder / RECORDS): (json.dumps(self._records, indent=1) + "\n").encode()})
