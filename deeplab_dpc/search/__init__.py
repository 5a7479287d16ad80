"""The architecture search: space, study, proxy, re-ranking, report (arXiv:1809.04184)."""
