"""Durable memory: the tables, the stores over them, their migrations, and the desk's lock."""
