"""Predicts images, a prepared data set's images or a video: class ids, overlays and more; or serves a web page."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

from deeplab_dpc.api.loaded_predictor import LoadedPredictor
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.predict import DEFAULT_OUTPUTS, Flags
from deeplab_dpc.cli.model_source import load_predictor
from deeplab_dpc.cli.page import serve
from deeplab_dpc.cli.stopping import sigterm_stops
from deeplab_dpc.console import console
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.found_images import ImageFile, find_images
from deeplab_dpc.data.image_sources import Picture, Unreadable, frames_of_video, pictures_of_files, pictures_of_split
from deeplab_dpc.data.video import VideoReader, is_video
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.bulk_prediction import Outcome, Prediction, predict_all
from deeplab_dpc.evaluation.captioned import Overlays
from deeplab_dpc.evaluation.prediction_writer import (
    OUTPUTS,
    OVERLAYS,
    PROBABILITIES,
    PredictionWriter,
    overlay_video,
)
from deeplab_dpc.files import remove_partial
from deeplab_dpc.locks import only_process


def main(flags: Flags) -> None:
    """Predicts, or serves the page."""
    if flags.page.serve:
        with sigterm_stops("nothing was served yet"):
            serve(flags, load_predictor(flags.predictor))
        return
    output_dir = required("output_dir", flags.output_dir)
    if bool(flags.images) == bool(flags.data_dir):
        raise UserError(
            "Give either --images (a file, folder, pattern or video) or --data_dir with --split; or --serve."
        )
    if flags.batch_size < 1:
        raise UserError(f"--batch_size must be at least 1, got {flags.batch_size}.")
    predict = _predict_images
    if flags.images and is_video(flags.images) and pathlib.Path(flags.images).is_file():
        predict = _predict_video
    with only_process(output_dir, "output_dir"), sigterm_stops("all written files are complete"):
        _remove_partial(pathlib.Path(output_dir))
        predict(flags, pathlib.Path(output_dir))


def _remove_partial(output_dir: pathlib.Path) -> None:
    """Removes incomplete files of killed processes from the folders of the outputs, including subfolders."""
    for output in OUTPUTS:
        for folder, _, _ in os.walk(output_dir / output):
            remove_partial(folder)


def _predict_images(flags: Flags, output_dir: pathlib.Path) -> None:
    outputs = _outputs(flags, DEFAULT_OUTPUTS)
    own = [output_dir / output for output in OUTPUTS]
    source = find_images(flags.images, without=own) if flags.images else _dataset(flags)
    loaded = load_predictor(flags.predictor)
    writer = _writer(flags, output_dir, loaded, outputs)
    pictures, total = _pictures(flags, source, writer)
    outcome = predict_all(
        loaded.predictor,
        pictures,
        writer.write,
        batch_size=flags.batch_size,
        with_probabilities=PROBABILITIES in outputs,
        writers=2,
        total=total,
    )
    _say(outcome, writer)


def _pictures(
    flags: Flags, source: list[ImageFile] | Dataset, writer: PredictionWriter
) -> tuple[Iterator[Picture | Unreadable], int | None]:
    """Returns the images to predict, and their number; None if it is unknown."""
    skip = flags.skip_existing
    if isinstance(source, Dataset):
        split = required("split", flags.split)
        pictures = pictures_of_split(source, split)
        if skip:
            return (one for one in pictures if isinstance(one, Unreadable) or not writer.is_written(one.name)), None
        return pictures, source.num_images(split)
    for file in source:
        _check_kept(file.path, [writer.path(output, file.name) for output in writer.outputs])
    files = [file for file in source if not (skip and writer.is_written(file.name))]
    if len(files) < len(source):
        console.print(f"Skipping {len(source) - len(files)} of {len(source)} images, whose outputs are there.")
    return pictures_of_files(files), len(files)


def _predict_video(flags: Flags, output_dir: pathlib.Path) -> None:
    path = pathlib.Path(required("images", flags.images))
    if flags.skip_existing:
        raise UserError(f"--skip_existing is for images; --images={flags.images} is a video.")
    outputs = _outputs(flags, (OVERLAYS,))
    with VideoReader(path) as video, contextlib.ExitStack() as stack:
        loaded = load_predictor(flags.predictor)
        writer = _writer(flags, output_dir, loaded, [output for output in outputs if output != OVERLAYS])
        writers: list[Callable[[Prediction], None]] = [writer.write]
        if OVERLAYS in outputs:
            target = writer.output_dir / OVERLAYS / f"{path.stem}.mp4"
            _check_kept(path, [target])
            writers.append(stack.enter_context(overlay_video(target, video, writer.overlays)))

        def write(prediction: Prediction) -> None:
            for one in writers:
                one(prediction)

        outcome = predict_all(
            loaded.predictor,
            frames_of_video(video),
            write,
            batch_size=flags.batch_size,
            with_probabilities=PROBABILITIES in outputs,
            writers=1,
            total=video.num_frames,
        )
    if video.num_frames is not None and outcome.predicted < video.num_frames:
        console.print(f"{path} should have about {video.num_frames} frames; it may be damaged or cut off.")
    _say(outcome, writer, is_video=True)


def _outputs(flags: Flags, default: tuple[str, ...]) -> tuple[str, ...]:
    outputs = default if flags.outputs is None else tuple(output for output in flags.outputs if output)
    for output in outputs:
        if output not in OUTPUTS:
            raise UserError(f"--outputs={output} is not known; known are {', '.join(OUTPUTS)}.")
    if not outputs:
        raise UserError(f"--outputs is empty; give some of {', '.join(OUTPUTS)}.")
    return outputs


def _dataset(flags: Flags) -> Dataset:
    dataset = find_dataset(required("data_dir", flags.data_dir), flags.dataset, flags.predictor.source.classes)
    if not flags.split:
        raise UserError(f"--split is required with --data_dir; the splits are {', '.join(dataset.info.splits)}.")
    dataset.shards(flags.split)  # raises a UserError if there is no such split
    return dataset


def _writer(
    flags: Flags, output_dir: pathlib.Path, loaded: LoadedPredictor, outputs: Sequence[str]
) -> PredictionWriter:
    overlays = Overlays(loaded.class_names, loaded.palette, flags.legend)
    return PredictionWriter(output_dir, outputs, overlays)


def _check_kept(path: pathlib.Path, targets: Sequence[pathlib.Path]) -> None:
    """Raises a UserError if a prediction would replace its own input."""
    if os.path.realpath(path) in map(os.path.realpath, targets):
        raise UserError(f"--output_dir would have {path} replaced by its prediction; choose another folder.")


def _say(outcome: Outcome, writer: PredictionWriter, is_video: bool = False) -> None:
    """Prints what was written, and raises a UserError if anything was not written."""
    if outcome.predicted:
        console.print(f"Predicted: {outcome.predicted} images; written in {writer.output_dir}")
    if writer.replaced:
        hint = "" if is_video else "; --skip_existing leaves out those that have them all"
        console.print(f"Replaced outputs of {len(writer.replaced)} of them{hint}.")
    outcome.require_all(str(writer.output_dir))
