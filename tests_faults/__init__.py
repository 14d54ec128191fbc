"""Faults on purpose: `python -m tests_faults` kills, stops, starves and feeds garbage, and prints what was lost."""
