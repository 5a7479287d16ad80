"""`import deeplab_dpc`: what it loads, what it lists, and that type checkers are told the same."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

import deeplab_dpc

PACKAGES = ("deeplab_dpc", "deeplab_dpc.arch", "deeplab_dpc.layers")
HEAVY = "{'tensorflow', 'keras', 'jax', 'optuna'} & set(sys.modules)"
SEARCH = """
import sys
import deeplab_dpc
dir(deeplab_dpc), deeplab_dpc.__version__, deeplab_dpc.layers, deeplab_dpc.Cell, deeplab_dpc.load_cell("aspp")
assert not %s, %s
space = deeplab_dpc.SearchSpace(num_branches=2)
assert len(deeplab_dpc.search_cells(space, lambda cell: 0.5, num_candidates=3)) == 3
assert not {'tensorflow', 'keras', 'jax'} & set(sys.modules)
"""


def test_import_loads_neither_tensorflow_nor_keras_and_a_search_does_not_either():
    finished = subprocess.run(
        [sys.executable, "-c", SEARCH % (HEAVY, HEAVY)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""


@pytest.mark.parametrize("package", PACKAGES)
def test_names_are_listed_and_found(package):
    module = importlib.import_module(package)
    assert set(module.__all__) == set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_same_names(package):
    path = pathlib.Path(deeplab_dpc.__file__).parents[1].joinpath(*package.split("."), "__init__.py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    module = importlib.import_module(package)
    assert set(seen) == set(module.__all__) - {"__version__"}
    for name, place in seen.items():
        assert getattr(importlib.import_module(place), name) is getattr(module, name)


def test_package_says_that_it_is_typed():
    assert (pathlib.Path(deeplab_dpc.__file__).parent / "py.typed").is_file()


def test_subpackages_keep_their_names():
    importlib.import_module("deeplab_dpc.search.study")
    importlib.import_module("deeplab_dpc.export.seal")
    assert deeplab_dpc.search.__name__ == "deeplab_dpc.search"
    assert deeplab_dpc.export.__name__ == "deeplab_dpc.export"
