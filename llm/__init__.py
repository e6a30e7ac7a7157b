"""The model at arm's length: it may explain and propose, it has no hands."""
