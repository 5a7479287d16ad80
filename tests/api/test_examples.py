"""Every example of the names of `import deeplab_dpc` is run, and so is the Python that README.md and docs/ print.

A block of a page that is not run here says so in a comment before it: which test runs it, or why none does. The blocks
of CONTRIBUTING.md are files of the package, which tests/test_contributing.py adds to a copy.
"""

import inspect
import pathlib
import re
import textwrap

import pytest

import deeplab_dpc
from deeplab_dpc import layers

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
PYTHON = re.compile(r"^(?:<!-- (run by|not run:) (\S[^\n]*) -->\n\n)?```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITHOUT = {
    "Fitted",
    "UserError",
    "__version__",
    "arch",
    "layers",
    "ScoredCell",
    "Searched",
}  # docs/python.md shows them


def _examples(docstring):
    """The code blocks below `Example:` lines."""
    text = inspect.cleandoc(docstring or "")
    return [textwrap.dedent(block) for block in re.findall(r"^Example:\n((?:(?: {2,}.*)?\n)+)", text + "\n", re.M)]


def _documented():
    for name in sorted(set(deeplab_dpc.__all__) - {"__version__", "arch", "layers"}):
        value = getattr(deeplab_dpc, name)
        yield name, value
        if name in ("Segmenter", "Predictor"):
            for method in ("from_preset", "predict_each"):
                if method in vars(value):
                    yield f"{name}.{method}", getattr(value, method)
    for name in ("DensePredictionCell", "ASPP", "SplitSeparableConvBN"):
        yield name, getattr(layers, name)


BLOCKS = {
    f"{name}-{number}": block for name, value in _documented() for number, block in enumerate(_examples(value.__doc__))
}
FOUND = {name: PYTHON.findall(text) for name, text in DOCUMENTS.items()}
OF_DOCUMENTS = {
    f"{name}-{number}": block
    for name, found in FOUND.items()
    for number, (mark, _, block) in enumerate(found)
    if not mark
}


def test_blocks_that_are_not_run_here_are_run_by_a_test_that_exists():
    marked = [(mark, reason) for found in FOUND.values() for mark, reason, _ in found if mark]
    assert ("run by", "tests/export/test_serving_docs.py") in marked
    assert all((ROOT / reason).is_file() for mark, reason in marked if mark == "run by")


def test_every_name_has_an_example():
    with_example = {name.partition("-")[0] for name in BLOCKS}
    assert {name for name, _ in _documented() if "." not in name} - with_example - WITHOUT == set()


def test_every_name_is_in_the_document():
    shown = DOCUMENTS["docs/python.md"]
    assert [name for name in deeplab_dpc.__all__ if f"`{name}`" not in shown] == ["__version__"]


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")  # Keras says so of each tf.data in `fit`
@pytest.mark.parametrize("name", [*BLOCKS, *OF_DOCUMENTS])
def test_example_runs(name, examples_folder, tmp_path, monkeypatch):
    for path in examples_folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    exec(compile((BLOCKS | OF_DOCUMENTS)[name], name, "exec"), {"__name__": "example"})
