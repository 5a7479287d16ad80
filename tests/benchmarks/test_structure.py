"""The counts of the structure, on a package of three modules."""

import structure


def test_imports_within_search_are_counted_and_those_between_subpackages(tmp_path):
    files = {
        "errors.py": "",
        "search/one/a.py": "from deeplab_dpc.search.two import b\nimport deeplab_dpc.errors\n",
        "search/two/b.py": "from deeplab_dpc.search.two.c import x\nimport os\n",
        "search/two/c.py": "x = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / "deeplab_dpc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    counts = structure.counts(tmp_path)
    assert (counts["files"], counts["lines"], counts["modules of search"]) == (4, 5, 3)
    assert (counts["imports within search"], counts["of which between its subpackages"]) == (2, 1)
    assert counts["modules with a single importer"] == 3
