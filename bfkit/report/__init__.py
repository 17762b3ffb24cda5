"""Notebooks run headlessly, what they report, and the page that shows it."""
