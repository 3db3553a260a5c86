"""The composition root: from settings to a wired worker or store.

Imports stand inside the functions here: a command pays at start-up for what it uses
(SQLAlchemy alone costs more than five times a bare Python).
"""
