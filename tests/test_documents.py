"""What holds for all pages: links lead somewhere, pictures are small, blocks are of kinds that a test knows.

Python in them is run by tests/api/test_examples.py, command lines are those of tests/cli/printed_commands.json, and
`make docs` builds the site with warnings as errors.
"""

import ast
import pathlib
import re
import tomllib

import pytest

import deeplab_dpc
from deeplab_dpc.cli.main import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = pathlib.Path(deeplab_dpc.__file__).parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# Code, in which a bracket is not a link and a # is not a heading: fenced, indented, or between backticks.
FENCED = re.compile(r"^```(\w*)\n.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4,}.*\n+)+")
INLINE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
PICTURES_KB = 400
README_LINES = 120


def _text(page):
    return page.read_text(encoding="utf-8")


def _prose(page):
    return INDENTED.sub("\n", FENCED.sub("", _text(page)))


def _anchors(page):
    """The anchors of a page's headings, as code hosts make them and the site does (mkdocs.yml: slugify)."""
    titles = [re.sub(r"\[(.*?)\]\(.*?\)|[`*]", r"\1", title) for title in HEADING.findall(_prose(page))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _links(page):
    return [link for link in LINK.findall(INLINE.sub("", _prose(page))) if not re.match(r"https?:|mailto:", link)]


def _name(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_to_files_and_headings(page):
    for link in _links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in _anchors(target), link


def test_links_are_looked_for():
    links = _links(ROOT / "README.md")
    assert "docs/results.md#judged" in links
    assert "judged" in _anchors(ROOT / "docs" / "results.md")
    assert "classes---classes" in _anchors(ROOT / "docs" / "own_data.md")
    assert {"a-backbone", "own-parts"} <= _anchors(ROOT / "CONTRIBUTING.md")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_blocks_are_of_kinds_that_a_test_reads(page):
    assert set(FENCED.findall(_text(page))) <= {"python", "diff", ""}, "indent command lines by four"
    indented = INDENTED.findall(FENCED.sub("", _text(page)))
    assert not [block for block in indented if re.search(r"^ +(?:from \w+ )?import \w", block, re.MULTILINE)]


def test_python_of_contributing_is_files_of_the_package():
    text = _text(ROOT / "CONTRIBUTING.md")
    assert all(block.startswith("# deeplab_dpc/") for block in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S))


def test_the_readme_is_short_and_its_pictures_are_small():
    assert len(_text(ROOT / "README.md").splitlines()) < README_LINES
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert sum(picture.stat().st_size for picture in pictures) < PICTURES_KB * 1000
    shown = "".join(_text(page) for page in PAGES)
    assert all(picture.name in shown for picture in pictures)


def test_figures_of_the_readme_are_those_of_the_results():
    section = re.search(r"^## Results\n(.*?)^## ", _text(ROOT / "README.md"), re.MULTILINE | re.DOTALL)[1]
    figures = set(re.findall(r"(?<![\w.])\d+(?:\.\d+(?:e-\d+)?|e-\d+)", section))
    assert {"62.35", "60.52", "1.83", "0.74", "41.98", "5e-6"} <= figures
    known = _text(ROOT / "docs" / "results.md") + _text(ROOT / "docs" / "claims.md")
    assert [figure for figure in figures if not re.search(rf"(?<![\w.]){re.escape(figure)}(?![\w])", known)] == []


def test_every_page_is_in_the_navigation():
    listed = re.findall(r": (\w+\.md)$", _text(ROOT / "mkdocs.yml"), re.MULTILINE)
    assert sorted(set(listed)) == sorted(listed)
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= set(listed)


def test_commands_are_listed_as_the_program_lists_them():
    listed = re.findall(r"^\* `([\w-]+)`: (.+)$", _text(ROOT / "docs" / "commands.md"), re.MULTILINE)
    assert listed == [(name.replace("_", "-"), purpose) for name, purpose in COMMANDS.items()]


def _sentences():
    """All text of the package's code and of the Makefile, with a mark where a value stands."""
    found = [_text(ROOT / "Makefile")]
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(_text(path))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def _quoted():
    rows = re.findall(r"^\| `([^`]+)`", _text(ROOT / "docs" / "troubleshooting.md"), re.MULTILINE)
    return [row for row in rows if row != "it says"]


def test_sentences_of_troubleshooting_are_those_of_the_code():
    """In capitals, as numbers or between quotes stand values; what is between them must stand in the code."""
    known = _sentences()
    values = re.compile(r"(?<!\w)(?:[A-Z]{1,9}|\d+|'[^']*')(?!\w)")
    rows = [(quoted, [part.strip() for part in values.split(quoted)]) for quoted in _quoted()]
    assert len(rows) > 40
    assert [quoted for quoted, parts in rows if not all(part in known for part in parts)] == []


def _messages():
    """Pairs of file and text: the string literals of the package without docstrings."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(_text(path))
        statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
                yield path.relative_to(PACKAGE).as_posix(), node.value


def test_messages_name_no_scripts_since_an_installation_has_none():
    """They name the installed program: deeplab-dpc train, not train.py."""
    named = {(path, name) for path, text in _messages() for name in re.findall(r"\b\w+\.py\b", text)}
    assert named == {
        ("data/foreign_records.py", "remove_gt_colormap.py"),  # of DeepLab
        ("export/model_info.py", "__init__.py"),  # the file that git is asked about
    }


def test_commands_that_messages_name_exist():
    named = {name for _, text in _messages() for name in re.findall(r"\bdeeplab-dpc ([a-z][\w-]+)", text)}
    assert "check-data" in named
    assert named <= {name.replace("_", "-") for name in COMMANDS}


def test_versions_of_the_citation_and_the_package_are_the_same():
    assert f"\nversion: {deeplab_dpc.__version__}\n" in _text(ROOT / "CITATION.cff")
    licence = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]["license"]
    assert f"\nlicense: {licence}\n" in _text(ROOT / "CITATION.cff")
