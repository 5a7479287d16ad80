"""make check: which tests concern what has changed; and what the other files for contributors say."""

import importlib.util
import pathlib
import re
import shutil
import subprocess
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _load():
    spec = importlib.util.spec_from_file_location("check", ROOT / ".ci" / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = _load()


@pytest.fixture
def tree(tmp_path):
    """A repository of a few files."""
    for name, text in {
        "deeplab_dpc/data/spread.py": "",
        "deeplab_dpc/data/views.py": "",
        "deeplab_dpc/errors.py": "",
        "deeplab_dpc/data/unused.py": "",
        "deeplab_dpc/models/backbones/__init__.py": "",
        "tests/test_layering.py": "",
        "tests/helper.py": "",
        "tests/data/test_spread.py": "",
        "tests/data/test_pipeline.py": "from deeplab_dpc.data.views import flip\n",
        "tests/search/test_cache.py": "from deeplab_dpc.data import catalog, views\nfrom helper import small\n",
        "tests/models/test_networks.py": "    from deeplab_dpc.models.backbones import BACKBONES\n",
        "README.md": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "tests", "untested"),
    [
        ("deeplab_dpc/data/spread.py", ["tests/data/test_spread.py", "tests/test_layering.py"], []),
        ("deeplab_dpc/data/views.py", ["tests/data/test_pipeline.py", "tests/test_layering.py"], []),
        (
            "deeplab_dpc/models/backbones/__init__.py",
            ["tests/models/test_networks.py", "tests/test_layering.py"],
            [],
        ),
        ("deeplab_dpc/data/unused.py", ["tests/test_layering.py"], ["deeplab_dpc/data/unused.py"]),
        ("tests/search/test_cache.py", ["tests/search/test_cache.py"], []),
        ("tests/helper.py", ["tests/search/test_cache.py"], []),
        ("README.md", ["tests/test_documents.py"], []),
        (".gitignore", [], []),
    ],
)
def test_tests_are_those_of_the_same_path_or_those_that_import_the_module(tree, changed, tests, untested):
    assert check.tests_of(tree, [changed]) == (tests, untested)


def test_module_that_many_tests_import_is_left_to_the_whole_suite(tree):
    for number in range(check.MANY + 1):
        (tree / f"tests/test_{number}.py").write_text("from deeplab_dpc.errors import UserError\n")
    assert check.tests_of(tree, ["deeplab_dpc/errors.py"]) == (["tests/test_layering.py"], ["deeplab_dpc/errors.py"])


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_changes_are_those_since_the_merge_base_and_untracked_files(tree):
    def git(*arguments):
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=tree, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "first")
    git("checkout", "-qb", "branch")
    (tree / "deeplab_dpc/data/spread.py").write_text("x = 1\n")
    git("commit", "-qam", "mine")
    (tree / "deeplab_dpc/data/views.py").write_text("x = 1\n")
    (tree / "new.py").write_text("")
    (tree / "README.md").unlink()
    git("checkout", "-q", "main")
    git("checkout", "-q", "branch")
    assert check.changed_files(tree, "main") == ["deeplab_dpc/data/spread.py", "deeplab_dpc/data/views.py", "new.py"]


def test_ruff_is_asked_for_alike_everywhere():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = next(package for package in extras["test"] if package.startswith("ruff"))
    assert f"pip install --quiet --disable-pip-version-check '{wanted}'" in (ROOT / "Makefile").read_text(
        encoding="utf-8"
    )


def test_the_site_asks_for_what_the_package_does():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (line,) = [line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if line.startswith("SITE")]
    own = [package for package in re.findall("'(.*?)'", line) if not package.startswith("mkdocs")]
    assert own
    assert set(own) <= set(wanted)


def test_hooks_before_a_commit_are_targets_of_the_makefile():
    yaml = pytest.importorskip("yaml")
    path = ROOT / ".pre-commit-config.yaml"
    hooks = [hook for repo in yaml.safe_load(path.read_text(encoding="utf-8"))["repos"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert hooks
    for hook in hooks:
        program, target = hook["entry"].split()
        assert (program, hook["language"]) == ("make", "system")  # no download but that of the Makefile
        assert f"\n{target}: " in makefile
