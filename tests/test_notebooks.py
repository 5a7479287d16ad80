"""The notebooks run from the first cell to the last, with few images and steps; they are kept without outputs."""

import json
import os
import pathlib
import re

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL = {
    "own_data": "NUM_IMAGES, STEPS, WIDTH = 16, 2, 0.1",
    "own_head": "NUM_TRAIN, NUM_VAL, EPOCHS, STEPS, FILTERS = 4, 2, 1, 1, 4",
    "own_search": "NUM_TRAIN, NUM_VAL, CANDIDATES, EPOCHS, FILTERS = 4, 2, 1, 1, 4",
}
TIMEOUT = 600  # seconds of a cell, on a machine that is busy


def _parameters(notebook):
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    return cell


def _names(code):
    return set(re.findall(r"\b[A-Z][A-Z_]+\b(?=.*=)", code))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_valid_and_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert _names(_parameters(notebook).source) == _names(SMALL[path.stem])
    assert json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    notebook = nbformat.read(path, as_version=4)
    _parameters(notebook).source = SMALL[path.stem]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    nbclient.NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any(output.output_type in ("stream", "execute_result") for output in outputs)
