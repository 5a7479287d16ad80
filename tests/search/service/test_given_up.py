"""What was given up is said: how often it was tried, by whom last, and what that one died of."""

import optuna
import pytest

from deeplab_dpc.search.reporting.given_up_section import given_up as given_up_section
from deeplab_dpc.search.service import given_up
from deeplab_dpc.search.service.attempt import Task
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import MAX_ATTEMPTS, Ledger

ATTRIBUTES = {"draw": "uniform", "cell": [{"op": "conv"}], "summary": "B>1x1"}


@pytest.fixture
def ledger():
    """With the first of two tasks given up: after one attempt had trained, and the last had said why it died."""
    ledger = Ledger(optuna.storages.InMemoryStorage(), "study", Worker("host", 7, 1, None, "a"), 60.0)
    tasks = [Task(str(number), {"name": f"cell {number}", **ATTRIBUTES}) for number in range(2)]
    for attempt in range(MAX_ATTEMPTS):
        ledger.refresh()
        lease = ledger.claim(tasks[:1])
        if attempt == 0:
            lease.check()
        ledger.lose(lease, f"error {attempt}")
    assert ledger.finish(ledger.claim(tasks[1:]), [1.0], {})
    ledger.refresh()
    return ledger


def test_given_up_task_is_known_with_its_reason(ledger):
    (task,) = given_up.given_up(ledger)
    assert (task.name, task.draw, task.summary, task.cell) == ("cell 0", "uniform", "B>1x1", [{"op": "conv"}])
    assert task.to_json() == {
        "attempts": 5,
        "before_first_step": 4,
        "last_worker": "host:7",
        "last_error": "error 4",
    }


def test_sentence_names_the_flag_that_tries_again(ledger):
    tasks = given_up.given_up(ledger)
    assert given_up.sentence(tasks) == (
        "Given up, since every worker that tried it died: cell 0 (uniform): 5 attempts, 4 of them before the first "
        "step, the last by host:7: error 4; --retry_given_up tries again."
    )
    assert " and 2 more (report.html has all); --retry_given_up" in given_up.sentence(tasks * 3)
    assert given_up.sentence(()) is None


def test_section_has_a_row_a_task(ledger):
    section = given_up_section(given_up.given_up(ledger))
    ((_, columns, rows),) = section.tables
    assert dict(zip(columns, rows[0], strict=True))["last error"] == "error 4"
    assert given_up_section(()) is None


def test_what_is_tried_again_is_counted(ledger, capsys):
    given_up.retry(ledger)
    assert capsys.readouterr().out == "Trying 1 task again that had been given up.\n"
    assert given_up.given_up(ledger) == ()
