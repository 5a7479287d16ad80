"""BUILD, MODULE.bazel and requirements_lock.txt: they say what the package imports. Bazel itself is not run here.

Both are Starlark, of which these files use what Python has too, so that Python can run them with rules that take notes.
Buildifier 8.2.1 has parsed both without a warning (`buildifier -mode=check -lint=warn BUILD MODULE.bazel`), and they
have its format; that was done by hand, and no Bazel has loaded them.
"""

import ast
import builtins
import collections
import pathlib
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import deeplab_dpc
from deeplab_dpc.cli.main import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "deeplab_dpc"
LIBRARY = "_library"  # ends the name of each library but that of the whole package; commands have the names before it
# Distributions whose module has another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "absl": "absl-py",
    "google": "protobuf",
    "grpc": "grpcio",
    "tensorflow": "tensorflow-cpu",
    "tensorflow_datasets": "tensorflow-datasets",
    "yaml": "pyyaml",
}


class Notes:
    """Records what the rules of a Starlark file were called with: by rule, a list of keyword arguments."""

    def __init__(self, path: pathlib.Path):
        self.calls: dict[str, list[dict]] = collections.defaultdict(list)
        self.loaded: set[str] = set()
        names = {node.func.id for node in ast.walk(ast.parse(path.read_text())) if _is_call(node)}
        scope = {name: self._rule(name) for name in names - set(dir(builtins))} | {"load": self._load, "glob": _glob}
        exec(compile(path.read_text(), str(path), "exec"), scope | {"requirement": lambda name: f"@pip//{name}"})

    def _rule(self, name):
        def called(*_, **arguments):
            self.calls[name].append(arguments)
            return _Extension()

        return called

    def _load(self, _, *names):
        self.loaded |= set(names)

    def targets(self, rule):
        return {arguments["name"]: arguments for arguments in self.calls[rule]}

    def names(self):
        return [arguments["name"] for calls in self.calls.values() for arguments in calls if "name" in arguments]


class _Extension:
    def __getattr__(self, name):
        return lambda **_: None


def _is_call(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def _glob(patterns, exclude=()):
    found = {path for pattern in patterns if pattern != "**" for path in ROOT.glob(pattern)}
    return sorted(str(path.relative_to(ROOT)) for path in found - {ROOT / name for name in exclude})


@pytest.fixture(scope="module")
def build():
    return Notes(ROOT / "BUILD")


def _library(module: str) -> str:
    """The library that a module of the package is in."""
    parts = module.split(".")[1:]
    if parts and (PACKAGE / parts[0]).is_dir():
        return parts[0] + LIBRARY
    return {"run_config": "run_config", "__main__": "main"}.get("".join(parts[:1]), "base") + LIBRARY


def _imports() -> dict[str, set[str]]:
    """Returns what the modules of each library import: other libraries as ":name", other packages as "@pip//name"."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        own = _library(".".join(path.relative_to(ROOT).with_suffix("").parts))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for_types = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if id(node) in for_types:
                continue
            for module in _modules(node):
                top = module.partition(".")[0]
                if top == PACKAGE.name:
                    found[own].add(f":{_library(module)}")
                elif top not in sys.stdlib_module_names:
                    found[own].add(f"@pip//{DISTRIBUTIONS.get(top, top)}")
        found[own].discard(f":{own}")
    return found


def _modules(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
        return [f"{PACKAGE.name}.{alias.name}" for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_libraries_depend_on_what_their_modules_import(build):
    libraries = build.targets("py_library")
    assert {name: set(libraries[name]["deps"]) for name in libraries if name != PACKAGE.name} == _imports()
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    everything = {f":{name}{LIBRARY}" for name in (*folders, "main")}
    assert set(libraries[PACKAGE.name]["deps"]) == everything


def test_every_module_is_in_one_library_and_every_data_file_in_the_package(build):
    libraries = build.targets("py_library")
    sources = [source for library in libraries.values() for source in library.get("srcs", [])]
    modules = sorted(str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py"))
    assert sorted(sources) == modules
    data = {name for library in libraries.values() for name in library.get("data", [])}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = project["package-data"][PACKAGE.name]
    assert data == {f"deeplab_dpc/{path.relative_to(PACKAGE)}" for glob in patterns for path in PACKAGE.glob(glob)}


def test_no_two_targets_have_one_name(build):
    names = build.names()
    assert {"search", f"search{LIBRARY}", "tests/test_build_file"} <= set(names)
    assert [name for name, count in collections.Counter(names).items() if count > 1] == []


def test_commands_and_tests_are_targets_and_every_rule_is_loaded(build):
    binaries = build.targets("py_binary")
    assert set(binaries) == set(COMMANDS)
    assert all((ROOT / binary["srcs"][0]).exists() for binary in binaries.values())
    tests = {f"{name}.py" for name in build.targets("py_test")}
    assert tests == {str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")}
    assert {name for name in build.calls if name.startswith("py_")} | {"requirement"} == build.loaded


def test_the_lock_has_every_package_in_a_version_that_the_project_takes(build):
    lines = [line for line in (ROOT / "requirements_lock.txt").read_text().splitlines() if not line.startswith("#")]
    locked = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = ("cpu", "data", "onnx", "test", "video")
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    for requirement in map(Requirement, texts):
        if requirement.name != project["name"] and (requirement.marker is None or requirement.marker.evaluate()):
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement
    needed = {
        dependency.removeprefix("@pip//")
        for rule in ("py_library", "py_test")
        for target in build.calls[rule]
        for dependency in target["deps"]
        if dependency.startswith("@pip//")
    }
    assert {canonicalize_name(name) for name in needed} <= set(locked)


def test_the_module_has_the_version_of_the_package():
    [module] = Notes(ROOT / "MODULE.bazel").calls["module"]
    assert module == {"name": PACKAGE.name, "version": deeplab_dpc.__version__}
