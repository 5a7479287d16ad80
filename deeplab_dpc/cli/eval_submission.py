"""Predicts a split in the form that an official test server accepts (deeplab-dpc eval --submission)."""

from deeplab_dpc.api.loaded_predictor import LoadedPredictor
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.eval import SERVERS, Flags
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.evaluator import predictions
from deeplab_dpc.evaluation.submission import open_submission


def write_submission(flags: Flags, loaded: LoadedPredictor, dataset: Dataset) -> None:
    """Writes the predictions of --split to --submission, without reading the labels.

    Raises:
      UserError: if no server accepts the data set, or as raised by Submission and `predictions`.
    """
    path = required("submission", flags.submission)
    server = flags.submission_server or dataset.info.name
    if server not in SERVERS:
        raise UserError(
            f"No test server is known for the data set {server}; choose the form of the submission with "
            f"--submission_server={'|'.join(SERVERS)}."
        )
    num_classes = loaded.predictor.num_classes
    with open_submission(server, path, num_classes, flags.voc_competition) as submission:
        for name, _, _, prediction in predictions(loaded.predictor, dataset, flags.split):
            submission.add(name, prediction)
    console.print(f"Written: {path}")
