"""The files of a report, for whatever a search has found so far."""

import base64
import html.parser
import io
import json
import re

import PIL.Image
import pytest
from reporting_results import candidate, diverged, rerank, search_result, stopped, warm_start

from deeplab_dpc.search.contest.best_cells import write_cells
from deeplab_dpc.search.reporting.report_page import ReportSection, write_page
from deeplab_dpc.search.reporting.search_report import print_result, write_report

CONTEST = ["Summary", "Contest", "Scores", "Draws", "Cells", "What good cells use", "Rank correlation", "Pareto front"]
SECTIONS = ["Summary", "Scores", "Draws", "Cells", "What good cells use", "Rank correlation", "Pareto front"]
COSTS = ["Cost", "What a full search would cost"]
FOUND = [
    candidate(0, 0.41, rungs=((100, 0.2), (400, 0.41))),
    candidate(1, 0.42, rungs=((100, 0.3), (400, 0.42)), draw="mutation"),
    stopped(2, 0.1),
]


GIVEN = warm_start(name="<script>alert(1)</script>")
RESULT = search_result(FOUND, [GIVEN], [rerank(FOUND[0], 0.5), rerank(GIVEN, 0.4)], sampler="nsga2")


@pytest.fixture(scope="module")
def picture():
    stream = io.BytesIO()
    PIL.Image.new("RGB", (2, 3)).save(stream, format="png")
    return stream.getvalue()


@pytest.fixture(scope="module")
def report(tmp_path_factory, picture):
    """A directory with the report of RESULT and a section more."""
    folder = tmp_path_factory.mktemp("report")
    table = ("Table", ("x", "y"), [("<i>", "1.5")])
    write_cells(folder, RESULT)
    write_report(folder, RESULT, [ReportSection("Fidelity & more", "a < b\n\nsecond", [("<b>bold", picture)], [table])])
    return folder


def _text(report):
    """The page without its pictures."""
    return re.sub('base64,[^"]*', "", (report / "report.html").read_text())


@pytest.mark.parametrize(
    ("result", "titles"),
    [
        (search_result([]), ["Summary"]),
        (search_result([stopped(0, 0.4)], [warm_start()]), [*SECTIONS, *COSTS]),
        (search_result([candidate(0, 0.4), candidate(1, 0.4)]), [*SECTIONS, *COSTS]),
        (search_result([candidate(0, 0.5), candidate(1, 0.4), diverged(2, 37)], [GIVEN]), [*SECTIONS, *COSTS]),
        (search_result([diverged(i, 37 + i) for i in range(4)], [GIVEN]), [*SECTIONS, *COSTS]),
        (
            search_result([stopped(0, 0.4), diverged(1, 350, ((100, 0.3),))], halving_rungs=2),
            [*SECTIONS, "Successive halving", *COSTS],
        ),
    ],
    ids=["nothing", "one that was stopped", "two alike", "one diverged", "all diverged", "one diverged late"],
)
def test_search_that_has_found_little_has_a_report(tmp_path, capsys, result, titles):
    write_cells(tmp_path, result)
    write_report(tmp_path, result)
    print_result(result)
    page, printed = _text(tmp_path), capsys.readouterr().out
    assert re.findall("<h2>(.*?)</h2>", page) == titles
    assert not re.search(r"\b(nan|None)\b", page)
    rows = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)  # no Infinity in JSON
    assert [row["name"] for row in rows] == [scored.name for scored in result.warm_starts + result.candidates]
    assert all(row["name"] in page and row["name"] in printed for row in rows[-1:])
    assert (tmp_path / "scores.png").is_file()
    assert (tmp_path / "cells" / "best.json").exists() == bool(result.candidates)


def test_rows_of_results_are_in_the_order_of_ranks(report):
    rows = json.loads((report / "results.json").read_text())
    assert [(row["name"], row["proxy_rank"], row["reranked_miou"]) for row in rows] == [
        (GIVEN.name, None, 0.4),
        ("cell 1", 1, None),
        ("cell 0", 2, 0.5),
        ("cell 2", 3, None),
    ]
    assert rows[2]["rungs"] == [[100, 0.2], [400, 0.41]]
    assert (rows[3]["steps"], rows[3]["worker"], rows[3]["finished"]) == (100, "w", 1.0)
    assert rows[0]["receptive_field"] == [1, 1]
    assert rows[0]["parameters"] == 16 * 256 + 256 * 256


def test_cells_are_kept_by_rank_with_the_winner(report):
    cells = {path.stem: json.loads(path.read_text()) for path in (report / "cells").glob("*.json")}
    one, zero, two = (FOUND[i].cell.to_json() for i in (1, 0, 2))
    assert cells == {"best": zero, "rank_01": one, "rank_02": zero, "rank_03": two}
    assert all((report / "cells" / f"{name}.png").is_file() for name in cells)


class _Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_page_needs_nothing_beside_itself(report, picture):
    parsed = _Tags()
    parsed.feed((report / "report.html").read_text())
    assert not {tag for tag, _ in parsed.found} & {"script", "link", "iframe", "object"}
    assert not re.search("https?:|url[(]|@import", _text(report))
    sources = [attrs["src"] for tag, attrs in parsed.found if tag == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert base64.b64decode(sources[-1].partition(",")[2]) == picture
    assert len(list((report / "report").iterdir())) == len(sources)
    anchors = [attrs["href"] for tag, attrs in parsed.found if tag == "a"]
    assert anchors == ["#" + attrs["id"] for tag, attrs in parsed.found if tag == "section"]


def test_page_shows_given_sections_last_and_escapes_all_text(report, picture):
    page = _text(report)
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert titles == [*CONTEST, "Successive halving", *COSTS, "Fidelity &amp; more"]
    for text in ("&lt;script&gt;alert(1)", "<p>a &lt; b</p><p>second</p>", "&lt;b&gt;bold", "<td>&lt;i&gt;</td>"):
        assert text in page
    assert (report / "report" / "fidelity_more_01.png").read_bytes() == picture


def test_flags_in_prose_are_not_broken_after_their_hyphens(tmp_path):
    write_page(tmp_path, [ReportSection("Advice", "Use <--min_scale_factor=1> or --no-flag.")])
    page = (tmp_path / "report.html").read_text()
    assert '&lt;<span class="flag">--min_scale_factor</span>=1&gt; or <span class="flag">--no</span>-flag.' in page
    assert ".flag { white-space: nowrap; }" in page


def test_pictures_of_an_earlier_report_are_removed(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "successive_halving_01.png").write_bytes(b"")
    write_report(tmp_path, search_result([]))
    assert list((tmp_path / "report").iterdir()) == []


def test_printed_table_has_the_winner_wherever_it_ranks(capsys):
    found = [candidate(i, 0.5 - i / 100) for i in range(4)]
    print_result(search_result(found, [], [rerank(found[0], 0.6), rerank(found[3], 0.7)]), shown=1)
    printed = capsys.readouterr().out
    assert re.findall(r"^ *(cell \d \*?)", printed, re.MULTILINE) == ["cell 3 *", "cell 0 ", "cell 1 "]
