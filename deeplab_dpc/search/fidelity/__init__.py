"""The fidelity of the proxy: how well its scores rank cells that are also trained end to end.

Contains the measured cells (measured_cells.py), their tasks and trainings (fidelity_tasks.py,
trainings.py), the stored rows (measurement.py), their analysis (analysis.py, other_proxies.py), and the report
(figures.py, fidelity_report.py). Provides `measure_fidelity` (fidelity_runner.py), and a section of the search's
report.
"""
