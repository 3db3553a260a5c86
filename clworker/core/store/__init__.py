"""The database: everything that reads or writes it goes through a ``store.Store``."""
