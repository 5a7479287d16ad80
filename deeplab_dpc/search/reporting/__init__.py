"""The report of a search: report.html, results.json and pictures.

Contains the sections, one file each, the page that shows them (report_page.py, style.py), the cells as
arrays for the report (population.py), and the cost of a larger search (projection.py). Provides `write_report`
(search_report.py).
"""
