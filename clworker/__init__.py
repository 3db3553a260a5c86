"""clworker: the compute worker of the CL media server and its management commands."""

__version__ = "0.1.0"
