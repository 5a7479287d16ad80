"""The pictures of an evaluation: confusion.png, worst.png, and branches.png of a network with a cell."""

import pathlib

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.evaluation.branch_weights import draw_branch_weights
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.evaluation.confusion_plot import draw_confusion
from deeplab_dpc.evaluation.report import Report
from deeplab_dpc.evaluation.visualize import save_rgb_png
from deeplab_dpc.evaluation.worst import WorstImages

CONFUSION_FILE, WORST_FILE, BRANCHES_FILE = "confusion.png", "worst.png", "branches.png"


def write_pictures(
    folder: pathlib.Path, report: Report, confusion: ConfusionMatrix, worst: WorstImages | None, cell: Cell | None
) -> None:
    """Writes the pictures, and removes those of an earlier evaluation that this one does not have.

    Args:
      folder: folder of the pictures.
      report: results of the evaluation.
      confusion: confusion matrix of all images.
      worst: worst images of the evaluation; None for no worst.png.
      cell: cell of the network; None if it has none.
    """
    draw_confusion(confusion.matrix, report.info.class_names, folder / CONFUSION_FILE)
    if worst is not None:
        save_rgb_png(folder / WORST_FILE, worst.draw())
    else:
        (folder / WORST_FILE).unlink(missing_ok=True)
    if cell is not None:
        draw_branch_weights(cell, report.branch_weights, folder / BRANCHES_FILE)
    else:
        (folder / BRANCHES_FILE).unlink(missing_ok=True)
