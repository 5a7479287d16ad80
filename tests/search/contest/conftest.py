"""Results of searches that are made up are beside the tests of the report."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "reporting"))
