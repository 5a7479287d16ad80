"""Draws the pictures of docs/images with the package itself: python docs/_site/pictures.py [R]."""

import json
import pathlib
import sys
import tempfile

from PIL import Image

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.drawing import draw_cell
from deeplab_dpc.arch.genotype_drawing import draw_genotype
from deeplab_dpc.arch.library import load_cell, published_genotype
from deeplab_dpc.arch.trellis import NUM_LEVELS, STEPS
from deeplab_dpc.arch.trellis_drawing import draw_trellis
from deeplab_dpc.cli.main import execute

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
CONTEST = ROOT / "benchmarks" / "contests" / "camvid_crop_321" / "verdict.json"
SHEET_WIDTH, PANEL_TITLE = 1200, 22  # pixels
DRAWING_SCALE = {"dpc_top1": 1 / 2, "found_cell": 1 / 2, "auto_deeplab_cell": 2 / 3, "auto_deeplab_path": 2 / 3}
COLORS = 48  # of a drawing


def main() -> None:
    """Writes all pictures; with the workdir of a finished `fit`, also that of its predictions."""
    if len(sys.argv) > 1:
        _save_predictions(pathlib.Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        _save_contact_sheet(pathlib.Path(folder))
        genotype = published_genotype()
        draw_cell(load_cell("dpc_top1"), f"{folder}/dpc_top1.png")
        draw_cell(_winner(), f"{folder}/found_cell.png")
        draw_genotype(genotype, f"{folder}/auto_deeplab_cell.png")
        alike = [[[1 / len(STEPS)] * len(STEPS)] * NUM_LEVELS] * len(genotype.path)
        draw_trellis(alike, genotype.path, f"{folder}/auto_deeplab_path.png")
        for name, scale in DRAWING_SCALE.items():
            drawing = Image.open(f"{folder}/{name}.png").convert("RGB")
            smaller = _scaled(drawing, round(drawing.width * scale))
            smaller.quantize(COLORS).save(IMAGES / f"{name}.png", optimize=True)


def _save_contact_sheet(folder: pathlib.Path) -> None:
    """Saves the contact sheet of `check-data` for four training and four validation images of the embedded data set."""
    for command, *flags in (("build_shapes", "--num_train=4", "--num_val=4"), ("check_data",)):
        if execute(command, [f"--data_dir={folder / 'data'}", *flags]):
            raise SystemExit(f"{command} failed.")
    (sheet,) = folder.rglob("contact_sheet.png")
    _scaled(Image.open(sheet).convert("RGB"), SHEET_WIDTH).save(IMAGES / "shapes.jpg", quality=85)


def _save_predictions(workdir: pathlib.Path) -> None:
    """Saves the panels of the exported run, which stand below each other, in two columns."""
    run = json.loads((workdir / "verdict.json").read_text())["run"]
    panels = Image.open(workdir / run / "predictions.png").convert("RGB")
    half = (panels.height - PANEL_TITLE) // 2
    columns = Image.new("RGB", (2 * panels.width, half))
    for column in range(2):
        top = PANEL_TITLE + column * half
        columns.paste(panels.crop((0, top, panels.width, top + half)), (column * panels.width, 0))
    columns.save(IMAGES / "predictions.jpg", quality=85)


def _winner() -> Cell:
    """Returns the winner of the kept contest."""
    return Cell.from_json(json.loads(CONTEST.read_text())["best"]["cell"])


def _scaled(image: Image.Image, width: int) -> Image.Image:
    return image.resize((width, image.height * width // image.width), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
