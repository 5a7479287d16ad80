"""The service: one study that many workers share, on any of Optuna's storages.

Contains the assignment of tasks to workers (ledger.py, attempt.py, given_up.py), the admission of workers
(membership.py, identity.py), the storage (storage.py, journal.py, journal_lines.py, redaction.py), and the processes of
a machine (local_workers.py, device_share.py). Provides `work_off`, which takes open tasks until all are done (work.py),
and the display of the progress (live.py, display.py). It handles cells only as JSON.
"""
