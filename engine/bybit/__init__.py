"""Bybit's v5 interface, for whoever needs it: its messages, its REST, its streams."""
