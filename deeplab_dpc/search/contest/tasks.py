"""A contest as tasks that workers share: one for each finalist, seed and budget.

The finalists of the next round follow from the results in the ledger alone, so all workers agree on them, and a contest
that was killed continues with the same finalists.
"""

from collections.abc import Sequence

from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.contest.outcome import ContestOutcome, RoundOutcome
from deeplab_dpc.search.contest.rounds import Round, contest_rounds
from deeplab_dpc.search.contest.trained import Trained
from deeplab_dpc.search.scored import Scored
from deeplab_dpc.search.service.attempt import RESULT, Task
from deeplab_dpc.search.service.ledger import Ledger

FINALIST = "finalist"  # kind of draw of the contest's tasks


class Contest:
    """The tasks of a contest, and its result.

    Args:
      ledger: ledger of the tasks.
      finalists: finalists with their scores by proxy; of equal cells the first one is kept.
      config: configuration of the search, with rounds, seeds, the threshold, and the first seed.
    """

    def __init__(self, ledger: Ledger, finalists: Sequence[Scored], config: SearchConfig):
        distinct: dict[str, Scored] = {}
        for scored in finalists:
            distinct.setdefault(scored.cell.digest(), scored)
        self.finalists = tuple(distinct.values())
        self.ledger = ledger
        self._config = config
        self._rounds = contest_rounds(config)
        self._trained: dict[str, Trained] = {}  # by key, as read
        self._complete: dict[tuple[str, ...], RoundOutcome] = {}  # by steps and entrants

    def outcome(self) -> ContestOutcome:
        """Returns the result according to what the ledger has read."""
        entrants, outcomes = self.finalists, []
        for one in self._rounds:
            if not entrants:
                break
            outcome = self._outcome(one, entrants)
            outcomes.append(outcome)
            if not outcome.is_complete:
                return ContestOutcome(tuple(outcomes), is_complete=False)
            entrants = outcome.survivors
        return ContestOutcome(tuple(outcomes), is_complete=True)

    def _outcome(self, one: Round, entrants: tuple[Scored, ...]) -> RoundOutcome:
        digests = [scored.cell.digest() for scored in entrants]
        known = self._complete.get((str(one.steps), *digests))
        if known is not None:
            return known
        trained: dict[str, dict[int, Trained]] = {digest: {} for digest in digests}
        given_up = set()
        for digest in digests:
            for place in range(one.seeds):
                key = self._key(digest, place, one)
                if key in self.ledger.finished:
                    trained[digest][place] = self._read(key)
                elif self.ledger.is_given_up(key):
                    given_up.add(digest)
        is_last = one is self._rounds[-1]
        threshold = self._config.contest_threshold
        outcome = RoundOutcome(one, entrants, trained, frozenset(given_up), threshold, is_last)
        if outcome.is_complete and not given_up:
            self._complete[(str(one.steps), *digests)] = outcome
        return outcome

    def _read(self, key: str) -> Trained:
        if key not in self._trained:
            self._trained[key] = Trained.from_json(self.ledger.finished[key].user_attrs[RESULT])
        return self._trained[key]

    def _key(self, digest: str, place: int, one: Round) -> str:
        return f"{digest} seed {self._config.seed + place} steps {one.steps}"

    def open_tasks(self) -> list[Task]:
        """Returns the open tasks of the current round; each finalist is trained once before any is trained twice."""
        outcome = self.outcome()
        if outcome.is_complete:
            return []
        at_hand = outcome.rounds[-1]
        tasks = [
            self._task(scored, place, at_hand.round)
            for place in range(at_hand.round.seeds)
            for scored in at_hand.entrants
            if not at_hand.is_ruled_out(scored.cell.digest())
        ]
        return [task for task in tasks if self.ledger.is_open(task.key)]

    def _task(self, scored: Scored, place: int, one: Round) -> Task:
        seed = self._config.seed + place
        attributes = {
            "name": f"{scored.name}, seed {seed}, {one.steps} steps",
            "draw": FINALIST,
            "cell": scored.cell.to_json(),
            "cell_digest": scored.cell.digest(),
            "summary": scored.cell.summary(),
            "seed": seed,
            "ladder": list(one.ladder),
        }
        return Task(self._key(scored.cell.digest(), place, one), attributes)

    def is_done(self) -> bool:
        """Returns whether there is nothing left to train."""
        return self.outcome().is_complete
