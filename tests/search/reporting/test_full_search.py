"""What the report says of a full search, by hand."""

import dataclasses

from reporting_results import candidate, search_result, warm_start

from deeplab_dpc.search.reporting.full_search import figure, full_search
from deeplab_dpc.search.reporting.population import Population


def _timed(scored, step_seconds, seconds):
    return dataclasses.replace(
        scored, score=dataclasses.replace(scored.score, step_seconds=step_seconds, seconds=seconds)
    )


def _section(found, warm_starts=(), **config):
    return full_search(Population.of(search_result(found, warm_starts, **config)))


def _rows(section, title):
    (table,) = (table for table in section.tables if table[0].startswith(title))
    return {row[0]: dict(zip(table[1], row, strict=True)) for row in table[2]}


def test_hours_and_days_of_the_papers_protocol():
    # 400 steps of 0.1 s, and 2 s of overhead; the worker's first cell takes 60 s more.
    found = [_timed(candidate(0, 0.5, finished=1.0), 0.1, 102.0)]
    found += [_timed(candidate(i, 0.5, finished=1.0 + i), 0.1, 42.0) for i in range(1, 4)]
    section = _section(found, proxy_batch_size=4)
    rows = _rows(section, "Device hours")
    paper = rows["28,000 cells of 30,000 steps"]
    # 28,000 * 3,002 s are 23,349 h; so many days, and the minute of the start is not seen.
    assert (paper["steps a cell"], paper["device hours"]) == ("30,000", "23,349")
    assert paper["between"] == "23,349 to 23,349"
    days = ["1 worker", "8 workers", "64 workers", "370 workers"]
    assert [paper[column] for column in days] == ["973", "122", "15.2", "2.63"]
    # 28,000 * (1,874.25 * 0.1 + 1.328125 * 2) s
    assert rows["the same, 4 rungs"]["device hours"] == "1,478"
    # 370 GPUs for a week: 370 * 7 * 24 hours.
    own = rows["the paper's own, on GPUs"]
    assert (own["device hours"], own["1 worker"], own["370 workers"]) == ("62,160", "2,590", "7.00")
    # Four candidates and four warm starts of 42 s; one cell and a start are the least.
    assert rows["this search"]["device hours"] == "0.0933"
    assert rows["this search"]["370 workers"] == "0.00118"
    assert "1,874 steps if a quarter climbs each time, 16.0 times fewer" in section.text
    assert "batches of 4 and features of 5 x 7 x 16" in section.text
    assert "first cells" not in section.text


def test_workers_are_measured_apart():
    found = [_timed(candidate(i, 0.5, worker="a", finished=float(i)), 0.1, 41.0) for i in range(3)]
    found += [_timed(candidate(i, 0.5, worker="b", finished=float(i)), 0.2, 83.0) for i in range(3, 6)]
    section = _section(found)
    rows = _rows(section, "What cells took")
    assert list(rows["a"].values()) == ["a", "2", "100", "100 to 100", "1.00"]
    assert list(rows["b"].values()) == ["b", "2", "200", "200 to 200", "3.00"]
    paper = _rows(section, "Device hours")["28,000 cells of 30,000 steps"]
    # 28,000 * 30,000 * 0.15 s, beside an overhead of 2 s; between the two workers.
    assert (paper["device hours"], paper["between"]) == ("35,016", "23,341 to 46,690")


def test_scores_without_step_times_say_so():
    section = _section([candidate(0, 0.5), candidate(1, 0.5)], [warm_start()])
    assert section.text.startswith("Unknown: no cell here has the seconds per step.")
    assert not section.tables
    assert _section([]) is None


def test_compilation_in_all_cells_is_said():
    section = _section([_timed(candidate(0, 0.5), 0.1, 102.0)])
    assert "first cells of their workers, so that compilation counts as overhead" in section.text


def test_figures_have_three_digits():
    assert [figure(value) for value in (0.00118, 0.5, 9.3, 99.94, 99.96, 82573.4)] == [
        "0.00118",
        "0.500",
        "9.30",
        "99.9",
        "100",
        "82,573",
    ]
