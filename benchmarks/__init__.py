"""Measures clworker against what a user would pick instead, and against the machine's limits."""
