"""Run by test_workers.py as a process of its own: Optuna's proxy before an SQLite file.

python fake_proxy.py FILE PORT
"""

import concurrent.futures
import sys
import warnings

import optuna

warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
storage = optuna.storages.get_storage(f"sqlite:///{sys.argv[1]}")
# One thread: SQLite has no locks of rows, on which the numbers of new trials depend.
pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)
optuna.storages.run_grpc_proxy_server(storage, port=int(sys.argv[2]), thread_pool=pool)
