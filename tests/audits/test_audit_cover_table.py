"""The committed table of ``benchmarks/audit_cover.py``: every interval it holds covers."""

import csv
from pathlib import Path

TABLE = Path(__file__).parents[2] / "benchmarks" / "audit_cover.csv"
QUANTITIES = {
    "kl",
    "gain",
    "efficiency",
    "missing_reward",
    "wasted_kl",
    "necessary",
    "allocation",
    "shape",
    "off_reward",
    "slope",
    "r_squared",
    "distance",
    "win_rate",
}


def rows():
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_interval_covers_with_a_thousand_redraws():
    for row in rows():
        if int(row["repetitions"]) >= 1000:
            assert float(row["cover"]) >= 93 - 2 * float(row["standard_error"]), row


def test_every_quantity_of_seven_policies_was_studied():
    found = rows()
    for world in {row["world"] for row in found}:
        policies = {row["policy"] for row in found if row["world"] == world}
        assert len(policies) == 7
        for policy in policies - {"losing", "permuted"}:
            assert {
                row["quantity"] for row in found if (row["world"], row["policy"]) == (world, policy)
            } >= QUANTITIES
