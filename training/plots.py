"""Plots of an evaluation, each onto a figure that the caller saves."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

# matplotlib is imported where a figure is made: no other part of an evaluation needs it.
Figure: TypeAlias = Any
Points = Mapping[int, float] | Mapping[float, float]


def save(path: Path, draw: Callable[[Figure], None], size: tuple[float, float] = (6.0, 3.5)) -> None:
    """Draw onto a new figure of `size` inches and save it."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=size, layout="constrained")
    draw(figure)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def lines(figure: Figure, found: Mapping[str, Points], x: str, y: str, title: str, whole: bool = False) -> None:
    """A line for each name; `y` values are shares, drawn in percent. With `whole` x counts something."""
    axes = figure.add_subplot()
    for name, points in found.items():
        axes.plot(list(points), [100 * share for share in points.values()], marker="o", label=name)
    axes.set(xlabel=x, ylabel=f"{y} (%)", ylim=(0, None), title=title)
    if whole:
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def bars(figure: Figure, found: Mapping[str, Mapping[str, float | None]], title: str) -> None:
    """For each group a bar of each name, in percent; `found` is name -> group -> share."""
    axes = figure.add_subplot()
    groups = list(dict.fromkeys(group for own in found.values() for group in own))
    width = 0.8 / len(found)
    for k, (name, own) in enumerate(found.items()):
        heights = [100 * (own.get(group) or 0.0) for group in groups]
        places = np.arange(len(groups)) + (k - (len(found) - 1) / 2) * width
        drawn = axes.bar(places, heights, width * 0.92, label=name)
        axes.bar_label(drawn, fmt="%.0f", fontsize=7, padding=1)
    axes.set_xticks(np.arange(len(groups)), groups, rotation=0 if len(groups) < 6 else 30)
    for label in axes.get_xticklabels() if len(groups) >= 6 else ():
        label.set_horizontalalignment("right")
    axes.set(ylabel="Dice (%)", title=title)
    if len(found) > 1:
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def rows(figure: Figure, panels: Mapping[str, Mapping[str, tuple[float, int]]], longest: int) -> None:
    """Horizontal bars, a panel for each kind: group -> (share, count); the `longest` most frequent groups of each."""
    heights = [min(len(own), longest) + 1.5 for own in panels.values()]
    grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
    for k, (kind, own) in enumerate(panels.items()):
        axes = figure.add_subplot(grid[k])
        kept = sorted(own.items(), key=lambda each: each[1][1], reverse=True)[:longest]
        kept.sort(key=lambda each: each[1][0])
        drawn = axes.barh([name for name, _ in kept], [100 * share for _, (share, _) in kept])
        axes.bar_label(drawn, [f"{100 * share:.0f}  (n = {n})" for _, (share, n) in kept], fontsize=7, padding=2)
        axes.set(title=f"Dice (%) by {kind}", xlim=(0, 100))
        axes.tick_params(axis="y", labelsize=8)
        axes.margins(y=0.02)


def reliability(figure: Figure, bins: Sequence[Mapping[str, Any]], groups: Mapping[str, Sequence[float]]) -> None:
    """Mean IoU against mean quality in each bin, and how the scores of each group spread."""
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="0.7", linestyle="--", label="as foretold")
    sizes = [20 + 200 * each["n"] / sum(own["n"] for own in bins) for each in bins]
    left.plot([each["quality"] for each in bins], [each["iou"] for each in bins], color="C0")
    left.scatter(
        [each["quality"] for each in bins], [each["iou"] for each in bins], sizes, color="C0", label="measured"
    )
    left.set(xlabel="mean quality of the bin", ylabel="mean IoU", xlim=(0, 1), ylim=(0, 1), title="Reliability")
    left.legend(frameon=False)
    edges = np.linspace(0, 1, 21)
    for name, values in groups.items():
        weights = np.full(len(values), 100 / max(1, len(values)))
        right.hist(values, edges, weights=weights, alpha=0.6, label=f"{name} (n = {len(values)})")
    right.set(xlabel="quality", ylabel="rounds (%)", xlim=(0, 1), title="Spread")
    right.legend(frameon=False)
