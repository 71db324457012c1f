"""What the reader of a hacking curve must know besides the numbers: one line each, the gravest first."""

from __future__ import annotations

import numpy as np

from klimit.limit.notes import warnings_of as warnings_of_limit
from klimit.policies.intervals import t_quantile
from klimit.proxies.along import Scored
from klimit.proxies.result import Hacking

_SURELY = 0.999  # level at which labels are said to depend on the proxy


def warnings_of(found: Hacking, scored: Scored) -> list[str]:
    """Limitations that change how the answer may be used."""
    lines = [*_chosen_labels(found, scored)]
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


def _chosen_labels(found: Hacking, scored: Scored) -> list[str]:
    """Whether the proxies of the labelled completions differ from their prompts' others: then chance did not choose."""
    total, labels = np.diff(scored.offsets), scored.labels
    mixed = (labels > 0) & (labels < total)
    if mixed.sum() < 2:
        return []
    proxy = (
        scored.proxy
        - np.add.reduceat(scored.proxy, scored.offsets[:-1])[scored.prompt] / total[scored.prompt]
    )
    sums = np.add.reduceat(np.where(scored.labelled, proxy, 0.0), scored.offsets[:-1])[mixed]
    # The sum of the others is the negative of this one.
    apart = sums / labels[mixed] + sums / (total - labels)[mixed]
    error = apart.std(ddof=1) / np.sqrt(len(apart))
    if not abs(apart.mean()) > t_quantile(_SURELY, len(apart)) * error:
        return []
    which = "larger" if apart.mean() > 0 else "smaller"
    return [
        f"chance did not choose the labels of {found.gold_name!r}: labelled completions have {which} "
        f"{found.proxy_name!r} than the others of their prompts, by {abs(apart.mean()):.3g} on average; nothing here "
        "holds, label anew at random"
    ]
