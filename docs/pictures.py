"""The picture of the idea, from a world whose every number is known: ``python docs/pictures.py`` draws it anew."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from klimit.reports.style import BAND, BEST, DPI, GREY, LIMIT, POLICY, SMALL, TEXT
from klimit.testsystems import PolicyTables, Tables, random_tables

IDEA = Path(__file__).parent / "images" / "idea.png"
SIZES = (2, 4, 8, 16)


def trained_policy() -> PolicyTables:
    """The GRPO-like policy of the tutorial on audits: a price of its own for each prompt, and drift."""
    base, reward = random_tables(200, 24, n_levels=6, seed=1)
    mean = (base * reward).sum(axis=1, keepdims=True)
    spread = np.sqrt((base * (reward - mean) ** 2).sum(axis=1))
    drift = np.random.default_rng(0).normal(size=base.shape)
    policy = PolicyTables.misallocated(base, reward, 0.6 * spread).policy * np.exp(1.3 * drift)
    return PolicyTables(base, policy / policy.sum(axis=1, keepdims=True), reward)


def draw_idea(ax: Axes) -> None:
    """The limit, best-of-N under it, and a trained policy with what it missed and what it wasted."""
    policy = trained_policy()
    world = Tables(probabilities=policy.base, rewards=policy.rewards)
    kl = np.linspace(0, np.sqrt(1.9), 200)[1:] ** 2
    limit = world.frontier(kl)
    x, y = np.concatenate([[0], kl]), np.concatenate([[0], limit])
    top = 1.22 * limit[-1]
    ax.fill_between(x, y, top, color=BAND, alpha=0.28, linewidth=0)
    ax.plot(x, y, color=LIMIT, linewidth=2.6)
    best = world.best_of_n(SIZES)
    ax.plot(best.kl, best.gain, "o", color="white", markeredgecolor=BEST, markeredgewidth=1.8, markersize=7)
    for n, at, gain in zip(SIZES, best.kl, best.gain, strict=True):
        words = f"best-of-{n}" if n == SIZES[0] else f"{n}"
        ax.annotate(words, (at, gain), (3, -13), textcoords="offset points", color=BEST, fontsize=SMALL)
    gain, spent = policy.gain, policy.kl
    ax.plot([0], [0], "s", color=GREY, markersize=7, clip_on=False, zorder=5)
    ax.plot([spent], [gain], "D", color=POLICY, markersize=8, zorder=5)
    for end in ((policy.least_kl, gain), (spent, float(world.frontier([spent])[0]))):
        ax.annotate(
            "", end, (spent, gain), arrowprops={"arrowstyle": "->", "color": POLICY, "linewidth": 1.2}
        )
    say = {"fontsize": SMALL, "color": POLICY}
    ax.text(spent + 0.04, gain - 0.006, "a trained policy", va="top", **say)
    ax.text((policy.least_kl + spent) / 2, gain - 0.006, "wasted KL", ha="center", va="top", **say)
    ax.text(spent + 0.04, gain + 0.045, "missing\nreward", va="center", **say)
    ax.text(0.03, 0.012, "base model", fontsize=SMALL, color=GREY)
    ax.text(
        0.06, 0.93 * top, "no policy lives here,\nwhatever its training", fontsize=TEXT, color=LIMIT, va="top"
    )
    ax.text(1.88, limit[-1] + 0.012, "the limit", fontsize=TEXT, color=LIMIT, weight="bold", ha="right")
    ax.set(xlim=(0, 1.9), ylim=(0, top), xlabel="KL from the base model, nats per completion")
    ax.set_xticks(np.arange(0, 2, 0.5))
    ax.set_ylabel("reward gained over the base model")
    ax.spines[["top", "right"]].set_visible(False)
    ax.xaxis.label.set_size(TEXT)
    ax.yaxis.label.set_size(TEXT)


def main(path: Path = IDEA) -> None:
    """Draw and save it."""
    figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    draw_idea(ax)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
