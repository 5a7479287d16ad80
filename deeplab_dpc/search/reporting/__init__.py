"""The report of a search: report.html, results.json and pictures.

Owns the sections, a file each, the page that holds them (report_page.py, section.py, style.py), the cells as the report
sees them (population.py), and what a larger search would cost (projection.py). Gives `write_report` (search_report.py).
"""
