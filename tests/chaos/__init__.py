"""Chaos: real workers, a real broker and a killer, all led by a plan that is drawn from one seed.

``python -m tests.chaos`` (``make chaos``) runs it; the test command has a short run of it.
"""
