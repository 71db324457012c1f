"""``klimit.audit`` is the function, whatever was imported before; `import klimit` loads none of it."""

import subprocess
import sys

import pytest


def python(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "first",
    [
        "pass",
        "klimit.Audit",
        "import klimit.audits.result",
        "from klimit.audits import parts",
        "klimit.audit",
    ],
)
def test_the_name_is_the_function(first):
    python(f"import klimit\n{first}\nassert callable(klimit.audit) and klimit.audit.__name__ == 'audit'")


def test_the_names_are_offered():
    python(
        "import klimit\nassert {'audit', 'Audit', 'Audits', 'Value'} <= set(klimit.__all__) & set(dir(klimit))"
    )


def test_importing_the_package_loads_nothing_heavy():
    python(
        "import sys, klimit\nassert not {'numpy', 'scipy', 'numba', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
