"""The fidelity of the proxy: cells trained by proxy and for real, and how well the one ranks the other.

Owns the measured cells (aspp_subsets.py, mixed_cells.py), their tasks and trainings (fidelity_tasks.py, trainings.py),
the rows that are kept (measurement.py), what follows from them (analysis.py, other_proxies.py), and its report
(figures.py, fidelity_report.py). Gives `measure_fidelity` (fidelity_runner.py), and a section of the search's report.
"""
