"""Prediction of many images, in batches of one size.

Images are read in advance and outputs are written in threads; images that cannot be predicted are left out.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from deeplab_dpc.console import console, printable, progress_bar
from deeplab_dpc.data.image_sources import Picture, Unreadable
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.image_predictor import CannotPredict, ImagePredictor

AHEAD = 1  # images that are read in advance, beyond a batch; few, since they may be large
BEHIND = 2  # images that are being written or waiting to be written
LISTED = 5  # number of reasons in the error at the end


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The prediction of an image.

    Attributes:
      picture: the image.
      ids: class ids, int32 [height, width].
      probabilities: probabilities, float32 [height, width, classes]; None if they were not requested.
    """

    picture: Picture
    ids: np.ndarray
    probabilities: np.ndarray | None


@dataclasses.dataclass
class Outcome:
    """The result of predicting many images.

    Attributes:
      predicted: number of images that were predicted and written.
      left_out: one sentence for each image that was left out.
    """

    predicted: int = 0
    left_out: list[str] = dataclasses.field(default_factory=list)

    def require_all(self, place: str) -> None:
        """Raises a UserError with the first images that were left out, if there are any."""
        if not self.left_out:
            return
        reasons = "; ".join(reason.rstrip(".") for reason in self.left_out[:LISTED])
        more = f"; and {len(self.left_out) - LISTED} more" if len(self.left_out) > LISTED else ""
        are = "one is" if self.predicted == 1 else f"{self.predicted} are"
        others = f"the other {are} in {place}" if self.predicted else "nothing was predicted"
        raise UserError(f"Left out {len(self.left_out)}: {reasons}{more}; {others}.")


def predict_all(
    predictor: ImagePredictor,
    pictures: Iterator[Picture | Unreadable],
    write: Callable[[Prediction], None],
    *,
    batch_size: int = 1,
    with_probabilities: bool = False,
    writers: int = 2,
    total: int | None = None,
) -> Outcome:
    """Predicts and writes the images, with a progress bar.

    Args:
      predictor: predictor of the network.
      pictures: iterator over the images, read in its own thread; if it raises a UserError, the images before are
        predicted.
      write: function called with the prediction of each image, in `writers` threads; in order if there is one thread.
      batch_size: largest number of consecutive images of one size in a batch.
      with_probabilities: bool, whether the predictions contain the probabilities.
      writers: number of threads.
      total: number of images for the progress bar, if it is known.
    """
    outcome = Outcome()
    with progress_bar() as progress, _Behind(writers) as behind:
        task = progress.add_task("Predicting", total=total, note="")

        def leave_out(reason: str) -> None:
            reason = printable(reason)
            outcome.left_out.append(reason)
            console.print(f"Left out: {reason}")
            progress.advance(task)

        for batch in _batches(predictor, _ahead(pictures, batch_size + AHEAD), batch_size, leave_out):
            for prediction in _predict_what_fits(predictor, batch, with_probabilities, leave_out):
                behind.submit(write, prediction)
                outcome.predicted += 1
                progress.advance(task)
    return outcome


def _predict_what_fits(
    predictor: ImagePredictor, batch: list[Picture], with_probabilities: bool, leave_out: Callable[[str], None]
) -> list[Prediction]:
    """Returns the predictions of a batch; of each image alone if the batch does not fit into memory."""
    try:
        return _predict(predictor, batch, with_probabilities)
    except CannotPredict:
        raise
    except UserError as error:
        if len(batch) > 1:
            each = (_predict_what_fits(predictor, [one], with_probabilities, leave_out) for one in batch)
            return list(itertools.chain.from_iterable(each))
        leave_out(f"{batch[0].source}: {error}")
        return []


def _predict(predictor: ImagePredictor, batch: list[Picture], with_probabilities: bool) -> list[Prediction]:
    try:
        images = np.stack([picture.image for picture in batch])
        if not with_probabilities:
            ids = predictor.predict_batch(images)
            return [Prediction(picture, one, None) for picture, one in zip(batch, ids, strict=True)]
        probabilities = predictor.predict_probabilities(images)
        return [
            Prediction(picture, one.argmax(axis=-1).astype(np.int32), one)
            for picture, one in zip(batch, probabilities, strict=True)
        ]
    except MemoryError as error:
        height, width = batch[0].image.shape[:2]
        raise UserError(
            f"The memory is not enough for an image of {height} x {width} pixels; --sliding_window=513,513 needs less, "
            "and so does an --outputs without probabilities."
        ) from error


def _batches(
    predictor: ImagePredictor,
    pictures: Iterator[Picture | Unreadable],
    batch_size: int,
    leave_out: Callable[[str], None],
) -> Iterator[list[Picture]]:
    """Yields batches of at most `batch_size` consecutive images of one size."""
    batch: list[Picture] = []
    try:
        for picture in pictures:
            if isinstance(picture, Unreadable):
                leave_out(picture.reason)
                continue
            try:
                predictor.check_size(picture.image, picture.source)
            except UserError as error:
                leave_out(str(error))
                continue
            if batch and (len(batch) == batch_size or picture.image.shape != batch[0].image.shape):
                yield batch
                batch = []
            batch.append(picture)
    except UserError as error:
        leave_out(str(error))
    if batch:
        yield batch


def _ahead(pictures: Iterator[Picture | Unreadable], depth: int) -> Iterator[Picture | Unreadable]:
    """Yields the same images, read in a thread that is at most `depth` images ahead."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        waiting = collections.deque(pool.submit(next, pictures, None) for _ in range(depth))
        while (picture := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, pictures, None))
            yield picture
    finally:
        pool.shutdown(cancel_futures=True)


class _Behind(contextlib.AbstractContextManager["_Behind"]):
    """A queue of at most BEHIND calls in threads; their errors are raised by a later `submit` or at the end."""

    def __init__(self, threads: int):
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)
        self._waiting: collections.deque[concurrent.futures.Future[None]] = collections.deque()

    def submit(self, function: Callable[[Prediction], None], prediction: Prediction) -> None:
        self._waiting.append(self._pool.submit(function, prediction))
        while len(self._waiting) > BEHIND:
            self._waiting.popleft().result()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._pool.shutdown(cancel_futures=error is not None)
        if error is None:
            for future in self._waiting:
                future.result()
