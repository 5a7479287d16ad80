"""reporting_results.py is beside the tests that import it."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
