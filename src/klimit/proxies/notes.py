"""What the reader of a hacking curve must know besides the numbers: one line each, the gravest first."""

from __future__ import annotations

import numpy as np

from klimit.limit.notes import warnings_of as warnings_of_limit
from klimit.proxies.result import Hacking


def warnings_of(found: Hacking) -> list[str]:
    """Limitations that change how the answer may be used."""
    lines = []
    if found.horizon <= 0:
        lines.append(
            f"no KL can be trusted along the tilt by {found.proxy_name!r}: sample more completions a prompt, or label "
            "more; best-of-N by it stands"
        )
    elif not np.isfinite(found.threshold.estimate):
        lines.append(
            f"{found.gold_name!r} does not turn down along the tilt within the horizon ({found.horizon:.3g} nats); "
            "more completions a prompt would show more"
        )
    total = found.samples.n_completions
    if found.n_labels < total:
        lines.append(
            f"{found.gold_name!r} is known for {found.n_labels:,} of {total:,} completions: "
            "which ones must be up to chance"
        )
    if found.gold_frontier is None:
        lines.append(
            f"too few {found.gold_name!r} labels a prompt for its own limit: no comparison with the ideal"
        )
    lines += warnings_of_limit(found.proxy_limit)
    return lines
