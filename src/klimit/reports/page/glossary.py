"""What the words of a page mean, for readers who did not make it."""

from __future__ import annotations

from klimit.reports.page.content import Content

_ALWAYS = {
    "KL": (
        "KL(policy || base): how far a policy has moved from the base model, in nats per whole completion, averaged "
        "over prompts. 1 nat = 1.44 bits."
    ),
    "gain": "mean reward above that of the base model.",
    "limit": (
        "the most gain that any method whatever (training, search, selection) can reach at a KL; it follows from the "
        "base model's samples and their rewards alone."
    ),
    "band": "interval that holds the true limit of the population of prompts as often as its level says.",
    "horizon": (
        "largest KL at which these samples support an estimate of the limit. Beyond it there are bounds only, never an "
        "extrapolation: more completions of each prompt move it."
    ),
    "bounds": (
        "beyond the horizon: the limit lies between what best-of-N surely reaches and the tangent at the horizon, "
        "above which it cannot rise."
    ),
    "best-of-N": "draw N completions of the base model and keep the one with the highest reward.",
    "beta": "price of KL: the reward that the next nat buys at the limit; the KL penalty of training.",
    "square-root law": "what earlier work takes the limit to be: right for small KL only.",
    "effective sample size (ESS)": (
        "share of the completions that carry the estimate at the horizon's tilt; few carry much where it is small."
    ),
    "k-hat": "Pareto shape of the heaviest weights; above 0.7 their tail is too heavy for so few completions.",
}
_POLICIES = {
    "efficiency": "a policy's gain over the limit at its own KL.",
    "needed KL": "the least KL with which any method gets the same gain.",
    "allocation": "KL lost by spending too much on some prompts and too little on others.",
    "shape": "KL lost within prompts, by another law of the reward than the best one.",
    "off-reward": "KL spent on changes that the reward does not see: style, length, wording.",
}
_PROXIES = {
    "proxy, gold": "the reward that is optimised, and the reward that is meant.",
    "turns down": "KL from which optimising the proxy further lowers gold: the hacking threshold.",
}
_ENSEMBLE = {
    "ensemble": "the proxies as one reward, each standardised within prompts first.",
    "gap": "gold's own limit less the gold that optimising the ensemble gets, at one KL.",
}


def glossary(content: Content) -> dict[str, str]:
    """The words that the page uses, with their meanings."""
    return {
        **_ALWAYS,
        **(_POLICIES if content.audits is not None else {}),
        **(_PROXIES if content.hackings else {}),
        **(_ENSEMBLE if content.ensemble is not None else {}),
    }
