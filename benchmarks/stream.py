"""Files larger than memory: time and peak memory of the limit and best-of-N, against the engine alone.

    python benchmarks/stream.py                    # 1e6 to 1e8 rewards, into stream.csv
    python benchmarks/stream.py --sizes 9          # 1e9 rewards: 4 GB of Parquet, some minutes

Every measurement is a process of its own, ours and the engine's in turn. ``engine``: DuckDB reads the rewards and
groups them by prompt, for count, mean and variance. ``klimit``: :func:`klimit.summarise`, then the limit and best-of-N
with all their intervals, from those files. Peak memory is the largest resident size of the process. Files are grouped
by prompt, or their rows shuffled; for these DuckDB also writes a grouped copy, in 1.5 GB (``regroup``).
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

COMPLETIONS = 1000
OUTPUT = Path(__file__).with_suffix(".csv")
FIELDS = (
    "rewards", "prompts", "rows", "cores", "engine_s", "klimit_s", "ratio", "engine_gb", "klimit_gb", "regroup_s",
)  # fmt: skip

_PEAK = "import resource; peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6\n"
_MAKE = """
import duckdb, sys
path, prompts, n, shuffled = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "shuffled"
connection = duckdb.connect()
connection.execute("SET memory_limit = '1500MB'; SET enable_progress_bar = false")
rows = f'''SELECT i // {n} AS prompt_id, (i % {n})::INTEGER AS sample_id,
    (sqrt(-2 * ln((hash(i) >> 11)::DOUBLE / 9007199254740992 + 1e-17))
        * cos(6.283185307179586 * ((hash(i + 12345678901) >> 11)::DOUBLE / 9007199254740992))
        + (i // {n} * 0.6180339887) % 1)::FLOAT AS reward
    FROM range({n} * {prompts}) AS t(i)'''
order = " ORDER BY hash(i * 31 + 7)" if shuffled else ""
connection.execute(f"COPY ({rows}{order}) TO '{path}' (FORMAT parquet)")
"""
_ENGINE = """
import json, sys, time
start = time.perf_counter()
import duckdb
connection = duckdb.connect()
connection.execute("SET memory_limit = '1500MB'; SET enable_progress_bar = false")
query = '''SELECT count(*), avg(m), avg(v) FROM (
    SELECT count(*), avg(reward) AS m, var_samp(reward) AS v FROM read_parquet(?) GROUP BY prompt_id)'''
connection.execute(query, [sys.argv[1]]).fetchall()
seconds = time.perf_counter() - start
"""
_REGROUP = """
import json, sys, time, os
start = time.perf_counter()
import duckdb
connection = duckdb.connect()
connection.execute("SET memory_limit = '1500MB'; SET enable_progress_bar = false")
connection.execute(f"COPY (SELECT prompt_id, sample_id, reward FROM read_parquet('{sys.argv[1]}') "
    f"ORDER BY prompt_id) TO '{sys.argv[1]}.grouped' (FORMAT parquet)")
os.unlink(sys.argv[1] + ".grouped")
seconds = time.perf_counter() - start
"""
_OURS = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
start = time.perf_counter()
import klimit
samples = klimit.summarise(sys.argv[1], reward="reward")
limit = klimit.frontier(samples)
limit.gain, klimit.best_of_n(samples, limit=limit).efficiency
seconds = time.perf_counter() - start
"""
_SAY = "print(json.dumps([seconds, peak]))\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="6,7,8", help="powers of ten of the number of rewards")
    parser.add_argument("--rows", default="grouped,shuffled")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = list(csv.DictReader(OUTPUT.open())) if OUTPUT.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        for size in map(int, options.sizes.split(",")):
            for order in options.rows.split(","):
                found = measure(Path(folder) / "rewards.parquet", 10**size, order, options.repeats)
                rows = [row for row in rows if (row["rewards"], row["rows"]) != (str(10**size), order)]
                rows.append({name: str(found[name]) for name in FIELDS})
                print(found, flush=True)
                _write(sorted(rows, key=lambda row: (row["rows"], int(row["rewards"]))))


def measure(path: Path, n_rewards: int, order: str, repeats: int) -> dict[str, object]:
    """One row of the table: the quickest of the repeats."""
    import os

    prompts = n_rewards // COMPLETIONS
    run(_MAKE, path, prompts, COMPLETIONS, order)
    engine, ours, regroup = [], [], []
    for _ in range(repeats):
        engine.append(run(_ENGINE + _PEAK + _SAY, path))
        ours.append(run(_OURS + _PEAK + _SAY, path))
        if order == "shuffled":
            regroup.append(run(_REGROUP + _PEAK + _SAY, path))
    seconds = [min(each[0] for each in found) for found in (engine, ours)]
    return {
        "rewards": n_rewards,
        "prompts": prompts,
        "rows": order,
        "cores": os.cpu_count(),
        "engine_s": round(seconds[0], 2),
        "klimit_s": round(seconds[1], 2),
        "ratio": round(seconds[1] / seconds[0], 2),
        "engine_gb": round(max(each[1] for each in engine), 2),
        "klimit_gb": round(max(each[1] for each in ours), 2),
        "regroup_s": round(min(each[0] for each in regroup), 2) if regroup else "",
    }


def run(code: str, *arguments: object) -> list[float]:
    """A program's seconds and peak in GB."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    found: list[float] = json.loads(done.stdout) if done.stdout else []
    return found


def _write(rows: list[dict[str, str]]) -> None:
    with OUTPUT.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
