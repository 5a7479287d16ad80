"""The architecture search (arXiv:1809.04184), in wings; the docstring of each wing says what it contains and provides.

runner.py runs a whole search that job.py describes, study.py combines sampler and ledger, proposal.py tells what a
search would do. Every wing may use scored.py (a cell with its score), words.py, statistics.py and rank_correlation.py.
The permitted imports between wings are in tests/test_layering.py.
"""
