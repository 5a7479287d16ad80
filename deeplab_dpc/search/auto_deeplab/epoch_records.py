"""The records of each epoch of a search: a row, a printed line, metrics.csv and the report."""

import csv
import pathlib
import statistics

import keras
import numpy as np

from deeplab_dpc.arch.genotype import STRIDES, Genotype
from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.evaluation.class_sums import occurrence_note
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.files import atomic_path
from deeplab_dpc.search.auto_deeplab.checkpoints import Row, Standing
from deeplab_dpc.search.auto_deeplab.decoding import decode, num_skips, uncertainty
from deeplab_dpc.search.auto_deeplab.gradient_report import write_report
from deeplab_dpc.search.auto_deeplab.layout import State
from deeplab_dpc.search.auto_deeplab.plan import Plan

METRICS_FILE = "metrics.csv"
NOT_IN_METRICS = ("genotype",)


def architecture_of(state: State) -> tuple[np.ndarray, np.ndarray]:
    """Returns raw alphas [edges, 8] and betas [L, 4, 3]."""
    architecture = state["architecture"]
    return keras.ops.convert_to_numpy(architecture["alphas"]), keras.ops.convert_to_numpy(architecture["betas"])


def epoch_row(plan: Plan, standing: Standing, confusion: ConfusionMatrix) -> Row:
    """Returns the row of the epoch that has just been evaluated.

    Its `stopped` is the reason why the search ends at this epoch, before all epochs are done, or empty.
    """
    alphas, betas = architecture_of(standing.state)
    decoded, found, losses = decode(alphas, betas), uncertainty(alphas, betas), standing.epoch
    skips = num_skips(decoded.blocks)
    architecture_losses = losses.architecture_losses
    return {
        "epoch": len(standing.history) + 1,
        "step": standing.step,
        "weight_loss": statistics.fmean(losses.weight_losses),
        "architecture_loss": statistics.fmean(architecture_losses) if architecture_losses else None,
        "miou": confusion.mean_iou(),
        "remark": occurrence_note(*confusion.sums().occurring(confusion.ignore_label)),
        "pixel_accuracy": confusion.pixel_accuracy(),
        "alpha_entropy": found.alpha_entropy,
        "beta_entropy": found.beta_entropy,
        "skip_share": found.skip_share,
        "num_skips": skips,
        "seconds": round(losses.seconds, 2),
        "stopped": _stopped(plan.config, skips, bool(architecture_losses)),
        "genotype": decoded.to_json(),
    }


def _stopped(config: AutoDeepLabConfig, skips: int, is_trained: bool) -> str:
    """Returns why the search ends early; skips displace operators that must learn first (arXiv:1909.06035)."""
    if not is_trained or not config.stop_at_skips or skips < config.stop_at_skips:
        return ""
    return f"{skips} of {2 * config.num_blocks} operators are skip (--stop_at_skips={config.stop_at_skips})"


def line(row: Row, plan: Plan) -> str:
    """Returns the printed line of an epoch."""
    genotype = Genotype.from_json(row["genotype"])
    loss = row["architecture_loss"]
    parts = [
        f"epoch {row['epoch']}/{plan.config.search_epochs}",
        f"step {row['step']}",
        f"loss {row['weight_loss']:.4f}" + ("" if loss is None else f", of alphas and betas {loss:.4f}"),
        f"mIOU {row['miou']:.4f}" + (f" ({row['remark']})" if row.get("remark") else ""),
        f"entropy {row['alpha_entropy']:.3f} and {row['beta_entropy']:.3f}",
        f"skips {row['num_skips']}",
        f"path {' '.join(str(STRIDES[level]) for level in genotype.path)}",
        f"{row['seconds']:.0f} s",
    ]
    return "  ".join(parts)


def write(
    workdir: pathlib.Path, config: AutoDeepLabConfig, standing: Standing, genotype: Genotype | None = None
) -> None:
    """Writes metrics.csv and the report of the epochs so far; `genotype` is the one chosen at the end."""
    _write_metrics(workdir / METRICS_FILE, standing.history)
    write_report(workdir, standing.history, *architecture_of(standing.state), config, genotype)


def _write_metrics(path: pathlib.Path, history: list[Row]) -> None:
    columns = [name for name in history[0] if name not in NOT_IN_METRICS]
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(history)
