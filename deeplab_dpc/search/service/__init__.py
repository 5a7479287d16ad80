"""The service: one study that many workers share, on any of Optuna's storages.

Owns who does what, and when that is lost: tasks with leases (ledger.py, lease.py, attempt.py, given_up.py), who may
join (membership.py, identity.py), where the study is kept (storage.py, journal.py, journal_lines.py, redaction.py), the
processes of a machine (local_workers.py, device_share.py). Gives `work_off`, which takes open tasks until all are done
(work.py), and the view of what goes on (live.py, display.py). It knows nothing of cells but their JSON.
"""
