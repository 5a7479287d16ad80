"""The files of a run directory that show a training: metrics.csv, validation.csv, curves.png and predictions.png."""

import csv
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from PIL import Image, ImageDraw, ImageFont

from deeplab_dpc.files import atomic_path

LOSS_PARTS = ("cross_entropy", "focal_loss", "dice_loss", "weight_decay")
SCORES = {"miou": "mIOU", "mean_class_accuracy": "mean class accuracy", "pixel_accuracy": "pixel accuracy"}
SMOOTHED_ABOVE = 50  # number of rows; fewer rows are drawn without smoothing
SMOOTHED_SHARE = 0.015  # standard deviation of the smoothing Gaussian, as a share of the number of rows
FEW_POINTS = 30  # fewer points are drawn with markers
COLORS = ("#1f5fa8", "#d1641a", "#2f8f4e", "#8a4fa0", "#7a7a7a")
TITLE_HEIGHT, TITLE_BACKGROUND, TITLE_INK = 26, (32, 32, 32), (235, 235, 235)

Row = dict[str, Any]


def write_metrics(workdir: pathlib.Path, rows: Sequence[Row], validations: Sequence[Row]) -> None:
    """Writes the rows to metrics.csv, the validations to validation.csv, and their curves to curves.png; empty files
    are not written.

    Args:
      workdir: the run directory.
      rows: rows of the training, each with `step`, `loss` and any further values, for example `learning_rate`.
      validations: evaluations, each with `step` and scores in [0, 1], for example `miou`; a `remark` is shown beside
        them.
    """
    if rows:
        _write_csv(workdir / "metrics.csv", rows)
    if validations:
        _write_csv(workdir / "validation.csv", validations)
    if not rows and not validations:
        return
    figure = draw_curves(rows, validations)
    with atomic_path(workdir / "curves.png") as partial:
        figure.savefig(partial, dpi=110, format="png")


def complete_metrics(workdir: pathlib.Path, rows: Sequence[Row], validations: Sequence[Row]) -> None:
    """Writes the same files if they lack rows, since a kill or a full disk was between a checkpoint and them."""
    for name, wanted in (("metrics.csv", rows), ("validation.csv", validations)):
        path = workdir / name
        lines = path.read_text(encoding="utf-8").count("\n") if path.exists() else 0
        if wanted and lines != len(wanted) + 1:
            write_metrics(workdir, rows, validations)
            return


def write_panels(workdir: pathlib.Path, step: int, panels: np.ndarray) -> None:
    """Writes predictions.png: the step, and below it the pictures, uint8 [number, height, width, 3], one per row."""
    number, height, width, _ = panels.shape
    canvas = Image.new("RGB", (width, TITLE_HEIGHT + number * height), TITLE_BACKGROUND)
    ImageDraw.Draw(canvas).text((6, 4), f"step {step:,}", TITLE_INK, ImageFont.load_default(15))
    for i, panel in enumerate(panels):
        canvas.paste(Image.fromarray(panel), (0, TITLE_HEIGHT + i * height))
    with atomic_path(workdir / "predictions.png") as partial:
        canvas.save(partial, format="PNG")


def _columns(rows: Sequence[Row]) -> list[str]:
    """Returns the names in all rows, in the order in which they appear."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _write_csv(path: pathlib.Path, rows: Sequence[Row]) -> None:
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=_columns(rows))
        writer.writeheader()
        writer.writerows(rows)


def draw_curves(rows: Sequence[Row], validations: Sequence[Row]) -> Figure:
    """Returns a figure of loss (with its parts), learning rate, gradient norm and scores over the steps, as far as the
    rows have them.
    """
    known = set(_columns(rows))
    draw: list[Callable[[Axes], None]] = []
    if "loss" in known:
        draw.append(lambda axes: _draw_loss(axes, rows))
    if validations:
        draw.append(lambda axes: _draw_scores(axes, validations))
    if "learning_rate" in known:
        draw.append(lambda axes: _draw_rate(axes, rows))
    if "gradient_norm" in known:
        draw.append(lambda axes: _draw_gradient_norm(axes, rows))
    num_columns = min(len(draw), 2)
    num_rows = -(-len(draw) // num_columns)
    figure = Figure(figsize=(5.2 * num_columns, 3.4 * num_rows), layout="constrained")
    grid = figure.subplots(num_rows, num_columns, squeeze=False).flatten()
    last = max(row["step"] for row in [*rows, *validations])
    for axes in grid[len(draw) :]:
        axes.set_axis_off()
    for axes, draw_into in zip(grid, draw, strict=False):
        draw_into(axes)
        axes.set(xlabel="step", xlim=(0, 1.03 * last))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_loss(axes: Axes, rows: Sequence[Row]) -> None:
    parts = [name for name in LOSS_PARTS if any(name in row for row in rows)]
    names = ["loss", *parts] if len(parts) > 1 else ["loss"]
    for name, color in zip(names, COLORS, strict=False):
        _plot_smoothed(axes, *_series(rows, name), color, name.replace("_", " "))
    axes.set(title="Loss", ylim=_limits(_series(rows, "loss")[1]))
    if len(names) > 1:
        axes.legend(frameon=False)


def _draw_scores(axes: Axes, validations: Sequence[Row]) -> None:
    names = [name for name in SCORES if any(name in row for row in validations)]
    for name, color in zip(names, COLORS, strict=False):
        steps, values = _series(validations, name)
        main = name == "miou"
        marker = "o" if len(steps) < FEW_POINTS else None
        axes.plot(
            steps, values, color=color, label=SCORES[name], marker=marker, markersize=4, linewidth=1.8 if main else 1
        )
    axes.set(title="Validation", ylim=(0, 1))
    _mark_best(axes, *_series(validations, "miou"))
    if "remark" in validations[-1]:
        axes.set_title(f"{axes.get_title()}\n{validations[-1]['remark']}", parse_math=False)
    axes.legend(frameon=False)


def _mark_best(axes: Axes, steps: np.ndarray, values: np.ndarray) -> None:
    if not np.isfinite(values).any():
        return
    best = int(np.nanargmax(values))
    axes.plot(steps[best], values[best], "*", color=COLORS[0], markersize=11)
    axes.set_title(f"Validation (best mIOU {values[best]:.4f} at step {steps[best]:,.0f})")


def _draw_rate(axes: Axes, rows: Sequence[Row]) -> None:
    steps, values = _series(rows, "learning_rate")
    axes.plot(steps, values, color=COLORS[0], marker="." if len(steps) < FEW_POINTS else None)
    axes.set(title="Learning rate", ylim=(0, None))


def _draw_gradient_norm(axes: Axes, rows: Sequence[Row]) -> None:
    steps, values = _series(rows, "gradient_norm")
    _plot_smoothed(axes, steps, values, COLORS[0], None)
    axes.set(title="Gradient norm", ylim=_limits(values))


def _series(rows: Sequence[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns steps and values of the rows that have `name`."""
    having = [row for row in rows if name in row]
    return np.array([row["step"] for row in having], float), np.array([row[name] for row in having], float)


def _limits(values: np.ndarray) -> tuple[float, float | None]:
    """Returns axis limits from 0 to a value above nearly all values, so that a few outliers do not flatten the rest."""
    finite = values[np.isfinite(values)]
    if len(finite) <= SMOOTHED_ABOVE:
        return 0, None
    usual = float(np.quantile(finite, 0.98)) * 1.3
    return 0, usual if 0 < usual < finite.max() else None


def _plot_smoothed(axes: Axes, steps: np.ndarray, values: np.ndarray, color: str, label: str | None) -> None:
    """Draws the points as a line; if they are many, faintly and with a smoothed line on top."""
    if len(values) <= SMOOTHED_ABOVE:
        axes.plot(steps, values, color=color, label=label, marker="." if len(values) < FEW_POINTS else None)
        return
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.7)
    axes.plot(steps, smoothed(values), color=color, label=label, linewidth=1.7)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Returns the mean of each value's neighbours with Gaussian weights; at the ends, of the neighbours that exist.

    Values that are not finite are left out.
    """
    deviation = max(1.0, SMOOTHED_SHARE * len(values))
    reach = min(int(3 * deviation), len(values) - 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    finite = np.isfinite(values)
    total = np.convolve(np.where(finite, values, 0.0), weights, "full")[reach : reach + len(values)]
    weight = np.convolve(finite.astype(float), weights, "full")[reach : reach + len(values)]
    means: np.ndarray = np.divide(total, weight, out=np.full(len(values), np.nan), where=weight > 0)
    return means
