"""Find, train, evaluate and ship semantic segmentation networks in the DeepLab style (arXiv:1809.04184).

Names are loaded when they are first used: importing the package loads neither TensorFlow nor Keras. docs/python.md,
in the folder of the package, shows each of them with an example.
"""

from typing import TYPE_CHECKING

from deeplab_dpc.lazy import lazy_names
from deeplab_dpc.version import __version__

if TYPE_CHECKING:
    from deeplab_dpc import arch, layers
    from deeplab_dpc.api.cell_search import ScoredCell, search_cells
    from deeplab_dpc.api.data import read_dataset, training_dataset, validation_dataset
    from deeplab_dpc.api.evaluation import evaluate
    from deeplab_dpc.api.exporting import export_model
    from deeplab_dpc.api.predictor import Prediction, Predictor
    from deeplab_dpc.api.segmenter import Segmenter
    from deeplab_dpc.api.training import train
    from deeplab_dpc.arch.cell import Cell
    from deeplab_dpc.arch.library import load_cell
    from deeplab_dpc.arch.space import SearchSpace
    from deeplab_dpc.cli.from_python import Fitted, Searched, fit, run_search
    from deeplab_dpc.errors import UserError
else:  # With `__getattr__`, type checkers would accept any name.
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Cell": "deeplab_dpc.arch.cell",
            "Fitted": "deeplab_dpc.cli.from_python",
            "Prediction": "deeplab_dpc.api.predictor",
            "Predictor": "deeplab_dpc.api.predictor",
            "ScoredCell": "deeplab_dpc.api.cell_search",
            "SearchSpace": "deeplab_dpc.arch.space",
            "Searched": "deeplab_dpc.cli.from_python",
            "Segmenter": "deeplab_dpc.api.segmenter",
            "UserError": "deeplab_dpc.errors",
            "__version__": __name__,
            "arch": "deeplab_dpc.arch",
            "evaluate": "deeplab_dpc.api.evaluation",
            "export_model": "deeplab_dpc.api.exporting",
            "fit": "deeplab_dpc.cli.from_python",
            "layers": "deeplab_dpc.layers",
            "load_cell": "deeplab_dpc.arch.library",
            "read_dataset": "deeplab_dpc.api.data",
            "run_search": "deeplab_dpc.cli.from_python",
            "search_cells": "deeplab_dpc.api.cell_search",
            "train": "deeplab_dpc.api.training",
            "training_dataset": "deeplab_dpc.api.data",
            "validation_dataset": "deeplab_dpc.api.data",
        },
    )

__all__ = [
    "Cell",
    "Fitted",
    "Prediction",
    "Predictor",
    "ScoredCell",
    "SearchSpace",
    "Searched",
    "Segmenter",
    "UserError",
    "__version__",
    "arch",
    "evaluate",
    "export_model",
    "fit",
    "layers",
    "load_cell",
    "read_dataset",
    "run_search",
    "search_cells",
    "train",
    "training_dataset",
    "validation_dataset",
]
