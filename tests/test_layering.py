"""Who may import whom, and where TensorFlow may be imported (docs/architecture.md)."""

import ast
import graphlib
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "deeplab_dpc"
# Each subpackage, or module beside them, may import itself, the base modules and those named here.
BASE = {
    "errors",
    "files",
    "locks",
    "small_files",
    "console",
    "installation",
    "lazy",
    "own_parts",
    "system_memory",
    "untrusted_archives",
    "version",
}
SUBPACKAGES: dict[str, set[str]] = {
    "arch": set(),
    "config": {"arch"},
    "run_config": {"arch", "config"},
    "layers": {"arch", "config"},
    "data": {"arch", "config"},
    "datasets": {"data"},
    "models": {"arch", "config", "layers"},
    "checkpoint": {"arch", "config", "run_config", "layers", "models"},
    "training": {"arch", "config", "run_config", "layers", "data", "models", "checkpoint"},
    "evaluation": {"arch", "config", "run_config", "layers", "data", "models", "checkpoint"},
    "export": {"arch", "config", "run_config", "layers", "models", "checkpoint"},
    "serving": {"data", "models"},
    "search": {
        "arch",
        "config",
        "run_config",
        "layers",
        "data",
        "models",
        "checkpoint",
        "training",
        "evaluation",
        "export",
    },
    "api": {
        "arch",
        "config",
        "run_config",
        "layers",
        "data",
        "models",
        "checkpoint",
        "training",
        "evaluation",
        "export",
        "search",
    },
}
# The same for the subpackages of the search, with its shared modules.
SEARCH_SHARED = {"scored", "words", "statistics", "rank_correlation"}
SEARCH_SUBPACKAGES: dict[str, set[str]] = {
    "service": set(),
    "samplers": set(),
    "proxy": set(),
    "job": {"service", "proxy"},
    "contest": {"service", "proxy", "job"},
    "reporting": {"service", "contest"},
    "auto_deeplab": {"proxy", "reporting"},
    "study": {"service", "samplers"},
    "proposal": {"service", "samplers", "contest", "reporting", "study"},
    "runner": {"service", "proxy", "job", "contest", "reporting", "study"},
    "fidelity": {"service", "samplers", "proxy", "job", "contest", "reporting", "study", "runner"},
}
TENSORFLOW_SUBPACKAGES = {"data", "datasets", "checkpoint", "export"}
TENSORFLOW_FILES = {
    PACKAGE / "api" / "data.py",
    PACKAGE / "layers" / "depthwise.py",
    PACKAGE / "layers" / "kernels.py",
    PACKAGE / "search" / "proxy" / "tensorflow_backend.py",
    PACKAGE / "training" / "distribution.py",
    PACKAGE / "training" / "device_memory.py",
    PACKAGE / "training" / "tensorflow_step.py",
}


def _imports(path: pathlib.Path) -> set[str]:
    return _names(ast.parse(path.read_text(encoding="utf-8")))


def _names(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _imports_at_run_time(path: pathlib.Path) -> set[str]:
    """Returns what `_imports` does, without what only type checkers import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    return _names(tree)


def _subpackage(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _search_subpackage(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE / "search").parts[0].removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))
SEARCH_FILES = [path for path in FILES if _subpackage(path) == "search"]


def test_every_subpackage_is_known():
    assert {_subpackage(path) for path in FILES} - BASE - {"__init__", "__main__", "cli"} == set(SUBPACKAGES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_order_of_subpackages(path):
    subpackage = _subpackage(path)
    if subpackage in ("cli", "__init__", "__main__"):
        return
    allowed = SUBPACKAGES.get(subpackage, set()) | BASE | {subpackage}
    used = {name.split(".")[1] for name in _imports(path) if name.startswith("deeplab_dpc.")}
    assert used <= allowed, f"{path} imports {sorted(used - allowed)}"


def test_modules_import_each_other_in_one_direction():
    paths = [path for path in FILES if path.stem != "__init__"]
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in paths}
    arrows = {
        module: {name if name in modules else name.rpartition(".")[0] for name in _imports_at_run_time(path)}
        for module, path in modules.items()
    }
    tuple(graphlib.TopologicalSorter(arrows).static_order())  # a CycleError otherwise


def test_every_subpackage_of_the_search_is_known_and_no_arrow_leads_back():
    assert {_search_subpackage(path) for path in SEARCH_FILES} - SEARCH_SHARED - {"__init__"} == set(SEARCH_SUBPACKAGES)
    tuple(graphlib.TopologicalSorter(SEARCH_SUBPACKAGES).static_order())  # a CycleError otherwise


@pytest.mark.parametrize("path", SEARCH_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_arrows_between_subpackages_of_the_search(path):
    subpackage = _search_subpackage(path)
    allowed = (
        SEARCH_SHARED
        if subpackage in SEARCH_SHARED
        else SEARCH_SUBPACKAGES.get(subpackage, set()) | SEARCH_SHARED | {subpackage}
    )
    used = {name.split(".")[2] for name in _imports(path) if name.startswith("deeplab_dpc.search.")}
    assert used <= allowed, f"{path} imports {sorted(used - allowed)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_tensorflow_is_imported_where_it_may_be(path):
    heavy = {name.split(".")[0] for name in _imports(path)} & {"tensorflow", "tensorflow_datasets"}
    assert not heavy or _subpackage(path) in TENSORFLOW_SUBPACKAGES or path in TENSORFLOW_FILES


def test_flags_stay_in_the_commands():
    users = {_subpackage(path) for path in FILES if any(name.split(".")[0] == "absl" for name in _imports(path))}
    assert users == {"cli"}
