"""The values that the parts of clworker hand to each other. Free of I/O, and frozen but for the reports."""
