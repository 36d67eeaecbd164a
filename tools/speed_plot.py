"""Measure value and gradient of two losses, ours and the peers', and draw docs/speed.png and docs/speed.svg.

    python tools/speed_plot.py               measures (minutes, on a quiet machine), writes docs/speed.json, draws
    python tools/speed_plot.py --replot      draws docs/speed.json again
    python tools/speed_plot.py --quick --output /tmp/speed        small and fast: does it run?
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

OURS, FLOOR = "fusedloss", "STREAM triad"
COLORS = {OURS: "#d1495b", "NumPy": "#30638e", "NumPy in chunks": "#7fb2d9", "scikit-learn": "#edae49",
          "torch": "#8f5aa8", "torch by hand": "#c5a3d6", "JAX": "#3c9d78", FLOOR: "#777777"}
NAMES = {"squared_error": "Squared error", "binary_cross_entropy": "Binary cross-entropy"}
DTYPES = ["float64", "float32"]
SIZES = [10**2, 316, 10**3, 3162, 10**4, 31623, 10**5, 316228, 10**6, 3162278, 10**7]


# ---- measuring ---------------------------------------------------------------------------------------------------


def measure(sizes, rounds):
    """{"conditions": ..., "points": [{"loss", "dtype", "n", "who", "ns"}]}: medians, taken interleaved."""
    sys.path.insert(0, str(REPOSITORY / "asv_benchmarks"))
    from benchmarks.bars import machine

    points = []
    for loss in NAMES:
        for dtype in DTYPES:
            for n in sizes if loss == "binary_cross_entropy" else sizes[-1:]:
                found = nanoseconds(loss, dtype, n, rounds)
                points += [{"loss": loss, "dtype": dtype, "n": n, "who": who, "ns": ns} for who, ns in found.items()]
                print(loss, dtype, n, {who: float(f"{ns:.3g}") for who, ns in found.items()}, file=sys.stderr)
    return {"conditions": machine(), "rounds": rounds, "points": points}


def nanoseconds(loss, dtype, n, rounds):
    """{who: ns per sample}. Small arrays are computed many times in a row."""
    import numpy as np
    from benchmarks.bench_peers import peers
    from benchmarks.common import example, interleaved, problem

    p = problem(example(loss), n, dtype)
    functions = {OURS: p.value_and_grad, FLOOR: p.triad, **peers(p)}
    times = max(1, min(500, 200_000 // n))
    seconds = interleaved(rounds, *[functools.partial(repeat, f, times) for f in functions.values()], pause=0.005)
    return dict(zip(functions, np.median(seconds, axis=0) / times / n * 1e9, strict=True))


def repeat(function, times):
    for _ in range(times):
        function()


# ---- drawing -----------------------------------------------------------------------------------------------------


def draw(data, output):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({
        "font.family": "DejaVu Sans", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": "#999999", "xtick.color": "#555555", "ytick.color": "#555555", "axes.titlelocation": "left",
        "axes.titlesize": 11, "axes.titleweight": "bold", "svg.hashsalt": "fusedloss", "svg.fonttype": "none",
    })
    largest = max(point["n"] for point in data["points"])
    figure, grid = plt.subplots(len(DTYPES), 3, figsize=(14, 7.8), width_ratios=[1, 1, 1.25])
    for row, dtype in zip(grid, DTYPES, strict=True):
        for axes, loss in zip(row, NAMES, strict=False):
            ranking(axes, select(data, loss=loss, dtype=dtype, n=largest))
            axes.set_title(f"{NAMES[loss]}, {dtype}, n = {power(largest)}")
        sweep(row[2], select(data, loss="binary_cross_entropy", dtype=dtype), largest)
        row[2].set_title(f"Binary cross-entropy, {dtype}, over n")
    for axes in grid[-1]:
        axes.set_xlabel("ns per sample" if axes is not grid[-1, 2] else "samples n")
    figure.text(0.012, 0.985, "Value and gradient of a loss: time per sample (log scale, lower is better)", ha="left",
                va="top", fontsize=14, fontweight="bold")
    machine, _, software = data["conditions"].partition("; ")
    figure.text(0.012, 0.012, f"{machine}. {software}. Medians of {data['rounds']} interleaved rounds, buffers "
                "preallocated where a library can use them.\n"
                "STREAM triad: a[i] = b[i] + s*c[i] over the same arrays: the speed of memory. NumPy has one thread; "
                "in chunks: 8192 samples at a time, by hand. torch by hand: the gradient written out, no graph.",
                fontsize=8, color="#555555", va="bottom", linespacing=1.5)
    figure.tight_layout(rect=(0, 0.06, 1, 0.96), w_pad=2.5, h_pad=2)
    figure.savefig(output.with_suffix(".png"), dpi=130)
    figure.savefig(output.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)


def select(data, **wanted):
    return [point for point in data["points"] if all(point[key] == value for key, value in wanted.items())]


def ranking(axes, points):
    """Each library's distance from the floor: on a log axis its length is the ratio."""
    floor = next(point["ns"] for point in points if point["who"] == FLOOR)
    ours = next(point["ns"] for point in points if point["who"] == OURS)
    ranked = sorted((point for point in points if point["who"] != FLOOR), key=lambda point: -point["ns"])
    axes.set_xscale("log")
    axes.axvline(floor, color=COLORS[FLOOR], linestyle=(0, (4, 3)), linewidth=1.3, zorder=1)
    for height, point in enumerate(ranked):
        color, bold = COLORS[point["who"]], "bold" if point["who"] == OURS else "normal"
        axes.plot([floor, point["ns"]], [height, height], color=color, linewidth=2.5, solid_capstyle="butt", zorder=2)
        axes.plot(point["ns"], height, "o", color=color, markersize=8, zorder=3)
        times = "" if point["who"] == OURS else f"  {point['ns'] / ours:.2g}× ours"
        axes.annotate(f"{point['ns']:.3g} ns{times}", (max(point["ns"], floor), height), (9, 0),
                      textcoords="offset points", va="center", fontsize=9, color="#333333", fontweight=bold)
    axes.set_yticks(range(len(ranked)), [point["who"] for point in ranked])
    for label in axes.get_yticklabels():
        label.set_color("#222222")
        label.set_fontweight("bold" if label.get_text() == OURS else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(ranked) - 0.1)
    axes.annotate(f"{FLOOR} {floor:.2g}", (floor, len(ranked) - 0.1), (4, 0), textcoords="offset points", va="top",
                  fontsize=8.5, color=COLORS[FLOOR])
    low, high = min(floor, ours), max(point["ns"] for point in points)
    axes.set_xlim(low / 1.25, high * max(2, (high / low) ** 0.75))  # room for the numbers
    plain_ticks(axes.xaxis, (1, 3))


def sweep(axes, points, largest):
    """ns per sample over n, each line named at its left end, where they lie apart."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    floor = next((point["ns"] for point in points if point["who"] == FLOOR and point["n"] == largest), None)
    axes.axhline(floor, color=COLORS[FLOOR], linestyle=(0, (4, 3)), linewidth=1.3)
    axes.annotate(f"{FLOOR}, n = {power(largest)}", (min(point["n"] for point in points), floor), (2, -4),
                  textcoords="offset points", va="top", fontsize=8.5, color=COLORS[FLOOR])
    low, high = min(point["ns"] for point in points) / 2.2, max(point["ns"] for point in points) * 1.3
    axes.set_ylim(low, high)
    left = {}
    for who in (who for who in COLORS if who != FLOOR):
        line = sorted((point["n"], point["ns"]) for point in points if point["who"] == who)
        if not line:
            continue
        n, ns = zip(*line, strict=True)
        ours = who == OURS
        axes.plot(n, ns, color=COLORS[who], linewidth=2.8 if ours else 1.6, marker="o", markersize=4 if ours else 3,
                  zorder=3 if ours else 2)
        left[who] = ns[0]
    for who, height in spread(left, (high / low) ** 0.05).items():
        axes.annotate(who, (min(point["n"] for point in points), height), (-8, 0), textcoords="offset points",
                      ha="right", va="center", fontsize=9, color=COLORS[who],
                      fontweight="bold" if who == OURS else "normal")
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel("ns per sample")
    axes.spines["left"].set_visible(False)
    axes.spines["right"].set_visible(True)
    axes.grid(True, which="major", color="#eeeeee", zorder=0)
    axes.set_axisbelow(True)
    plain_ticks(axes.yaxis, (1,))


def spread(heights, ratio):
    """Heights on a log axis moved apart until neighbours differ by `ratio`, around where they were."""
    names = sorted(heights, key=heights.get)
    placed = [heights[name] for name in names]
    for _ in range(200):
        for k in range(len(placed) - 1):
            gap = placed[k + 1] / placed[k]
            if gap < ratio:
                push = (ratio / gap) ** 0.5
                placed[k], placed[k + 1] = placed[k] / push, placed[k + 1] * push
    return dict(zip(names, placed, strict=True))


def plain_ticks(axis, subs):
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def power(n):
    digits = str(n)
    return f"1e{len(digits) - 1}" if digits == "1" + "0" * (len(digits) - 1) else f"{n:,}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replot", action="store_true", help="draw the stored numbers")
    parser.add_argument("--quick", action="store_true", help="up to 1e5 samples, three rounds")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs" / "speed", help="without suffix")
    options = parser.parse_args()
    numbers = options.output.with_suffix(".json")
    if options.replot:
        data = json.loads(numbers.read_text())
    else:
        data = measure(SIZES[:7:2] if options.quick else SIZES, 3 if options.quick else options.rounds)
        lines = ",\n".join(f"  {json.dumps(point)}" for point in data["points"])
        head = json.dumps({key: value for key, value in data.items() if key != "points"})[1:-1]
        numbers.write_text(f'{{{head},\n "points": [\n{lines}\n]}}\n')
    draw(data, options.output)


if __name__ == "__main__":
    main()
