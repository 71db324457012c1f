"""How functions are compiled: those called from Python, and those called from compiled code only."""

from __future__ import annotations

from typing import Any

# Divisions by zero give infinities, not exceptions: tests for them would keep loops from becoming vector code.
OUTER: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
# Their code is kept with that of their callers; without a door to Python they compile in about half the time.
INNER: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
