#!/usr/bin/env python3
"""Runs the tests of what has changed since the branch left main: `make check`.

A test file that has changed is run itself. Of a module of the package it is the test of the same path,
deeplab_dpc/data/spread.py -> tests/data/test_spread.py, and where there is none, the tests of the same folder that
import the module, or all that do. Of a page it is the test of all pages. Long tests are left out; `make test` and
`make test-long` run everything.
"""

import pathlib
import re
import subprocess
import sys
from collections.abc import Iterable

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE, TESTS = "deeplab_dpc", "tests"
ALWAYS = f"{TESTS}/test_layering.py"  # of any module
OF_PAGES = f"{TESTS}/test_documents.py"
MANY = 12  # importing tests; a module that more import is one for `make test`


def changed_files(root: pathlib.Path, base: str) -> list[str]:
    """Returns the files that differ from the merge base with a revision, and those that git does not know yet."""
    start = _git(root, "merge-base", "HEAD", base)[0]
    tracked = _git(root, "diff", "--name-only", "--diff-filter=d", start)
    return sorted({*tracked, *_git(root, "ls-files", "--others", "--exclude-standard")})


def tests_of(root: pathlib.Path, changed: Iterable[str]) -> tuple[list[str], list[str]]:
    """Returns the test files that concern changed files, and the changed Python files that no test was found for."""
    found: set[str] = set()
    untested: list[str] = []
    for name in changed:
        path = pathlib.PurePosixPath(name)
        if path.suffix == ".md":
            found.add(OF_PAGES)
        if path.suffix != ".py" or path.parts[0] not in (PACKAGE, TESTS):
            continue
        concerning = _of_test(root, path) if path.parts[0] == TESTS else _of_module(root, path)
        found |= concerning
        if not concerning:
            untested.append(name)
        if path.parts[0] == PACKAGE and (root / ALWAYS).is_file():
            found.add(ALWAYS)
    return sorted(found), untested


def _of_test(root: pathlib.Path, path: pathlib.PurePosixPath) -> set[str]:
    if path.name.startswith("test_"):
        return {str(path)}
    if path.name == "conftest.py":
        return set()
    return _importing(root, TESTS, rf"^(?:from|import) {path.stem}\b")


def _of_module(root: pathlib.Path, path: pathlib.PurePosixPath) -> set[str]:
    folder = pathlib.PurePosixPath(TESTS, *path.parts[1:-1])
    same = folder / f"test_{path.name}"
    if (root / same).is_file():
        return {str(same)}
    parts = [re.escape(part) for part in path.with_suffix("").parts if part != "__init__"]
    parent, own = r"\.".join(parts[:-1]), parts[-1]
    pattern = rf"^ *(?:from|import) {parent}\.{own}\b|^ *from {parent} import (?:.*\W)?{own}\b"
    near = _importing(root, str(folder), pattern)
    tests = near or _importing(root, TESTS, pattern)
    return tests if len(tests) <= MANY else set()


def _importing(root: pathlib.Path, folder: str, pattern: str) -> set[str]:
    files = (root / folder).rglob("test_*.py")
    matching = re.compile(pattern, re.MULTILINE)
    return {file.relative_to(root).as_posix() for file in files if matching.search(file.read_text(encoding="utf-8"))}


def _git(root: pathlib.Path, *arguments: str) -> list[str]:
    shown = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if shown.returncode:
        sys.exit(f"make check: git {' '.join(arguments)}: {shown.stderr.strip()}")
    return shown.stdout.splitlines()


def main() -> int:
    """Returns the exit status: that of pytest."""
    base = sys.argv[1] if len(sys.argv) > 1 else "main"
    tests, untested = tests_of(ROOT, changed_files(ROOT, base))
    for name in untested:
        print(f"No test of its own, or too many tests: {name}; run make test.")
    if not tests:
        print(f"No test concerns what has changed since {base}.")
        return 0
    print("\n".join(tests), flush=True)
    status = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "not long", *tests], cwd=ROOT, check=False)
    return 0 if status.returncode == 5 else status.returncode  # 5: all of these tests are long


if __name__ == "__main__":
    sys.exit(main())
