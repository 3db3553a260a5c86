"""``doctor``: looks at everything that a worker needs, changes nothing, and says what to do."""
