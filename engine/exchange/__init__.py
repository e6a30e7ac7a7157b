"""Where orders go: the paper exchange, and later the real one."""
