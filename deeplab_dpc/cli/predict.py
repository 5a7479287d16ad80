"""Predicts the images of a folder: class-id PNGs and coloured overlays."""

import pathlib

import numpy as np
from absl import flags
from PIL import Image

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.predictor_source import define_predictor_flags, load_predictor
from deeplab_dpc.console import console, track
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.visualize import overlay, save_label_png, save_rgb_png

SUFFIXES = (".jpg", ".jpeg", ".png")


def define_flags(values: flags.FlagValues) -> None:
    """The flags of predict.py."""
    define_predictor_flags(values)
    flags.DEFINE_string("images", None, "Folder of JPEG or PNG images.", flag_values=values)
    flags.DEFINE_string(
        "output_dir", None, "Where class_ids/NAME.png and overlays/NAME.png are written.", flag_values=values
    )


def main(values: flags.FlagValues) -> None:
    """Predicts."""
    flag_groups.required(values, "images", "output_dir")
    paths = list_images(pathlib.Path(values.images))
    loaded = load_predictor(values)
    output_dir = pathlib.Path(values.output_dir)
    for path in track(paths, "Predicting", len(paths)):
        image = read_image(path)
        loaded.predictor.check_size(image, str(path))
        semantic = loaded.predictor.predict_batch(image[np.newaxis])[0]
        save_label_png(output_dir / "class_ids" / f"{path.stem}.png", semantic.astype("uint8"))
        save_rgb_png(output_dir / "overlays" / f"{path.stem}.png", overlay(image, semantic, loaded.palette))
    console.print(f"Written: {len(paths)} class-id PNGs and overlays in {output_dir}")


def list_images(folder: pathlib.Path) -> list[pathlib.Path]:
    """The images of a folder, sorted.

    Raises:
      UserError: if it is no folder, holds none, or two would be written to one name.
    """
    if not folder.is_dir():
        raise UserError(f"--images={folder} is not a folder.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"--images={folder} holds no {', '.join(SUFFIXES)} file.")
    by_stem: dict[str, pathlib.Path] = {}
    for path in paths:
        if path.stem in by_stem:
            raise UserError(f"{by_stem[path.stem]} and {path} would both be written as {path.stem}.png; rename one.")
        by_stem[path.stem] = path
    return paths


def read_image(path: pathlib.Path) -> np.ndarray:
    """An image as uint8 RGB [height, width, 3].

    Raises:
      UserError: if it cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path} cannot be read as an image: {error}.") from error
