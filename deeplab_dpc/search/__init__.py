"""The architecture search (arXiv:1809.04184), in wings; the docstring of each says what it owns and what it gives.

runner.py has a whole search of what job.py describes, study.py draws and ledger together, proposal.py what a search
would do. Every wing may use scored.py (a cell with its score), words.py, statistics.py and rank_correlation.py. The
arrows between wings are in tests/test_layering.py.
"""
