"""Where orders go: the paper exchange, and Bybit."""
