"""Bare loops: programs that do nothing but the work, as the limit of what a worker can reach."""

from pathlib import Path

CLAIMS = Path(__file__).with_name("claims.py")
RESIZES = Path(__file__).with_name("resizes.py")
