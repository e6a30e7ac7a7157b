"""Where candles come from: recorded files and an invented market."""
