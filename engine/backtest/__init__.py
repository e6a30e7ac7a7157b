"""Backtests at two speeds: the compiled loop, and the real core with the paper exchange.

Heavy: numpy and numba are loaded here, which the desk's own process never does.
"""
