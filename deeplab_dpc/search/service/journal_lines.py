"""The lines of a journal: records of Optuna, each with a seal over itself and the line before it.

A seal is the last field of its record, which Optuna ignores. A line that was changed, duplicated, moved or removed is
therefore detected at that line or at the next one. Lines without a seal come from earlier versions, and from other
programs such as Optuna's dashboard; they are records with only Optuna's fields.
"""

import hashlib
import json
import re
from typing import Any

CREATE_TRIAL, LAST_OPERATION = 4, 10  # codes of Optuna's operations, which count from 0
FIELDS = (
    *("op_code", "worker_id", "study_id", "study_name", "directions", "user_attr", "system_attr", "trial_id"),
    *("datetime_start", "datetime_complete", "state", "value", "values", "distributions", "params", "user_attrs"),
    *("system_attrs", "intermediate_values", "param_name", "param_value_internal", "distribution", "step"),
    "intermediate_value",
)
_SEALED = re.compile(rb'(\{.+),"seal":"([0-9a-f]{16})"\}\n', re.DOTALL)


class DamagedLineError(Exception):
    """The error of a line that is not a record, or is in the wrong place; the message is the predicate of a
    sentence.
    """


def sealed(record: dict[str, Any], previous: bytes) -> bytes:
    """Returns the line of a record that follows the line `previous`, which is empty at the start of a journal."""
    body = json.dumps(record, separators=(",", ":")).encode()
    return body[:-1] + b',"seal":"' + _seal(body[:-1], previous) + b'"}\n'


def _seal(body: bytes, previous: bytes) -> bytes:
    return hashlib.blake2b(body + previous, digest_size=8).hexdigest().encode()


class Chain:
    """Reads the lines of a journal in their order.

    Attributes:
      number: number of lines that were read.
    """

    def __init__(self) -> None:
        self.number = 0
        self._previous = b""
        self._created: set[bytes] = set()  # digests of unsealed lines that create trials

    def read(self, line: bytes) -> dict[str, Any]:
        """Returns the record of the next line.

        Raises:
          DamagedLineError: if it is not a record, or does not follow the line before it; it is then not counted.
        """
        match = _SEALED.fullmatch(line)
        if match is not None and match[2] != _seal(match[1], self._previous):
            if line == self._previous:
                raise DamagedLineError("is the line before it once more")
            raise DamagedLineError("was changed, or lines before it are missing")
        record = _record(line)
        if match is None:
            self._check_unsealed(line, record)
        self.number += 1
        self._previous = line
        return record

    def _check_unsealed(self, line: bytes, record: dict[str, Any]) -> None:
        unknown = sorted(record.keys() - set(FIELDS))
        if unknown:
            raise DamagedLineError(f"has the unknown field {unknown[0]!r}")
        if record["op_code"] == CREATE_TRIAL:
            digest = hashlib.blake2b(line, digest_size=16).digest()
            if digest in self._created:
                raise DamagedLineError("was there before")
            self._created.add(digest)


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    operation = record.get("op_code") if isinstance(record, dict) else None
    if not isinstance(operation, int) or isinstance(operation, bool) or not 0 <= operation <= LAST_OPERATION:
        raise DamagedLineError("is damaged")
    fields: dict[str, Any] = record
    return fields
