"""Jobs as JSON lines, out of one database and into another."""
