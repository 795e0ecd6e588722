"""Charts of the numbers: SVG that reads on white and on black, small, and the same bytes for the same numbers."""

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from peers import ADAPTERS
from report import OURS, Results, of_peers, with_unit
from works import WORKS

GREY = "#808890"
ACCENT = "#d9480f"
PALE = "#80889070"
"""Of what is not encrypted."""
OTHERS = (
    "#3b82c4",
    "#2f9e6e",
    "#9a6fd0",
    "#b58900",
    "#c2568f",
    "#4aa3a3",
    "#7a8f3c",
    "#8a7560",
    "#6b7fd7",
    "#a05a5a",
    "#d08a4e",
)
THROUGHPUT = ("find-warm", "insert", "insert-at-once", "load", "scan", "equal", "equal-indexed", "save", "open")
GROWTH = ("find-warm", "insert", "open", "save", "equal", "equal-indexed")
STYLE: dict[str, Any] = {
    "svg.hashsalt": "poofdb",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": GREY,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "axes.titlesize": 10,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def panels(count: int, height: float) -> tuple[Any, list[Any]]:
    rows = (count + 2) // 3
    figure, axes = plt.subplots(rows, 3, figsize=(11, height * rows), layout="constrained", squeeze=False)
    flat = list(axes.flat)
    for axis in flat[count:]:
        axis.set_visible(False)
    return figure, flat[:count]


def throughput(results: Results, size: str, path: Path) -> None:
    """A panel for each work; the longer a bar the better, on a scale of powers of ten."""
    works = [work for work in WORKS if work.name in THROUGHPUT and work.name in results["values"][size]]
    encrypted = {adapter.name: adapter.encrypted for adapter in ADAPTERS}
    figure, axes = panels(len(works), 2.6)
    for work, axis in zip(works, axes, strict=True):
        medians = {peer: statistics.median(values) for peer, values in of_peers(results, size, work).items()}
        rates = {peer: value if work.unit == "/s" else 1000 / value for peer, value in medians.items()}
        order = sorted(rates, key=lambda peer: rates[peer])
        shortest = min(rates.values()) / 3
        axis.set_xscale("log")
        axis.set_xlim(shortest, max(rates.values()) * (max(rates.values()) / shortest) ** 0.35)
        colours = [ACCENT if peer == OURS else GREY if encrypted[peer] else PALE for peer in order]
        lengths = [rates[peer] - shortest for peer in order]
        axis.barh(order, lengths, left=shortest, color=colours, height=0.7)
        axis.set_title(work.title, loc="left")
        axis.xaxis.set_visible(False)
        axis.spines["bottom"].set_visible(False)
        axis.tick_params(length=0)
        for place, peer in enumerate(order):
            text = f" {with_unit(medians[peer], work.unit)}"
            axis.text(rates[peer], place, text, va="center", fontsize=8, color=ACCENT if peer == OURS else GREY)
    figure.suptitle(
        f"{int(size):,} documents; the longer the better, on a scale of powers of ten; pale: not encrypted",
        x=0.01,
        ha="left",
        color=GREY,
    )
    save(figure, path)


def growth(results: Results, path: Path) -> None:
    """A panel for each work; what it costs, by how many documents there are."""
    sizes = list(results["values"])
    works = [work for work in WORKS if work.name in GROWTH]
    figure, axes = panels(len(works), 2.8)
    names = [peer for peer in results["peers"] if peer != OURS]
    colours = {OURS: ACCENT, **dict(zip(names, OTHERS * 2, strict=False))}
    for work, axis in zip(works, axes, strict=True):
        for peer in [*names, OURS]:
            points = [
                (int(size), statistics.median(results["values"][size][work.name][peer]))
                for size in sizes
                if peer in results["values"][size].get(work.name, {})
            ]
            if points:
                x, y = zip(*points, strict=True)
                cost = [1000 / value if work.unit == "/s" else value for value in y]
                width = 2.5 if peer == OURS else 1.1
                axis.plot(x, cost, marker="o", markersize=3, linewidth=width, color=colours[peer], label=peer)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(f"{work.title}, ms", loc="left")
        axis.set_xticks([int(size) for size in sizes], [f"{int(size):,}" for size in sizes])
        axis.yaxis.set_major_formatter(lambda value, _place: f"{value:g}")
        axis.minorticks_off()
    lines = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(
        [lines[name] for name in [OURS, *names] if name in lines],
        [name for name in [OURS, *names] if name in lines],
        loc="outside lower center",
        ncols=6,
        frameon=False,
    )
    figure.suptitle("Milliseconds by number of documents: the lower the better", x=0.01, ha="left", color=GREY)
    save(figure, path)


def draw(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sizes = list(results["values"])
    with mpl.rc_context(STYLE):  # type: ignore[arg-type] # its keys are so many literals
        throughput(results, "100000" if "100000" in sizes else sizes[-1], folder / "throughput.svg")
        growth(results, folder / "growth.svg")
