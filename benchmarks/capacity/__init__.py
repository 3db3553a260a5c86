"""Puts loads on a PostgreSQL server and adds up what each unit costs it."""
