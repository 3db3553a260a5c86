"""Loops that are programs of their own; the bare ones are the limit of what a worker can reach."""

from pathlib import Path

CLAIMS = Path(__file__).with_name("claims.py")
RESIZES = Path(__file__).with_name("resizes.py")
COMMANDS = Path(__file__).with_name("commands.py")
SUBMITS = Path(__file__).with_name("submits.py")
CARRY = Path(__file__).with_name("carry.py")
