"""The process: surfaces, pictures and wiring; the only layer that may import everything."""
