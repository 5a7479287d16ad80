"""The architecture search (arXiv:1809.04184), in subpackages whose docstrings say what each contains and provides.

runner.py runs a whole search that job.py describes, study.py combines sampler and ledger, and proposal.py shows what a
search would do. Every subpackage may use scored.py (a cell with its score), words.py, statistics.py and
rank_correlation.py. The permitted imports between subpackages are in tests/test_layering.py.
"""
