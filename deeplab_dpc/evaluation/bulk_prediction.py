"""Many images: reading runs ahead, writing behind, images of one size go together, bad ones are left out."""

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

AHEAD = 1  # images that are read beyond a batch; few, since they may be large
BEHIND = 2  # images that are being written or wait for it
LISTED = 5  # reasons in the error at the end


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What is known of an image.

    Attributes:
      picture: the image.
      ids: its class ids int32 [height, width].
      probabilities: float32 [height, width, classes], where they were asked for.
    """

    picture: Picture
    ids: np.ndarray
    probabilities: np.ndarray | None


@dataclasses.dataclass
class Outcome:
    """What became of the images.

    Attributes:
      predicted: how many were predicted and written.
      left_out: a sentence for each that was not.
    """

    predicted: int = 0
    left_out: list[str] = dataclasses.field(default_factory=list)

    def require_all(self, place: str) -> None:
        """Raises a UserError that names the images that were left out, the first of them at least."""
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
      predictor: the network.
      pictures: iterated in a thread of its own; where it raises a UserError it ends, and what was read is predicted.
      write: called once per image, in `writers` threads; with one of them, in order.
      batch_size: batch size of consecutive images of one size.
      with_probabilities: whether the class ids are taken from probabilities, which are handed on.
      writers: threads.
      total: images, if it is known.
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
    """Returns the predictions of a batch, or of each of its images alone where they do not fit into memory together."""
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
    """Consecutive images of one size, `batch_size` at most."""
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
    """Returns the same, read in a thread that is at most `depth` of them ahead."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        waiting = collections.deque(pool.submit(next, pictures, None) for _ in range(depth))
        while (picture := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, pictures, None))
            yield picture
    finally:
        pool.shutdown(cancel_futures=True)


class _Behind(contextlib.AbstractContextManager["_Behind"]):
    """Calls in threads, of which BEHIND at most wait; an error of one is raised by a later `submit` or at the end."""

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
