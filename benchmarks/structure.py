"""Counts of the package's structure, for a comparison of versions.

python benchmarks/structure.py
python benchmarks/structure.py OTHER_CHECKOUT
"""

import ast
import collections
import pathlib
import sys

SHORT = 60  # lines


def imports(modules: dict[str, pathlib.Path]) -> dict[str, set[str]]:
    """Returns the modules of the package that each module imports, by name."""
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= (whole & modules.keys()) or {node.module}
        found[module] = (names & modules.keys()) - {module}
    return found


def counts(root: pathlib.Path) -> dict[str, int]:
    """Returns the counts by name for the checkout in a folder."""
    paths = sorted((root / "deeplab_dpc").rglob("*.py"))
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in paths]
    modules = {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    search = "deeplab_dpc.search"
    known = imports(modules)
    arrows = [
        (one, to) for one, others in known.items() for to in others if one.startswith(search) and to.startswith(search)
    ]
    folders = {module: module.split(".")[2] if module.count(".") > 2 else "" for module in modules}
    importers = collections.Counter(to for others in known.values() for to in others)
    return {
        "files": len(paths),
        "lines": sum(lines),
        "longest file": max(lines),
        f"files under {SHORT} lines": sum(count < SHORT for count in lines),
        "modules with a single importer": sum(count == 1 for count in importers.values()),
        "modules of search": sum(module.startswith(search) for module in modules),
        "imports within search": len(arrows),
        "of which between its subpackages": sum(folders[one] != folders[to] for one, to in arrows),
    }


if __name__ == "__main__":
    for name, count in counts(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")).items():
        print(f"{name:<34}{count:>8,}")
