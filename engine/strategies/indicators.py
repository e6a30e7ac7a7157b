"""Streaming indicators: pure float functions over their own last value.

Every step takes the indicator's state, the bar's values and the lengths, and returns the next
state. Lengths are whole numbers of at least 1, held as floats. `bars` is how many bars it has
seen; each indicator says from how many on its value is the textbook's, and is finite and defined
before, too. Prices are expected below 1e100, so that their squares stay finite.

Indicators that look back keep a ring in `window` that begins at cell `at`, and say how many
cells it takes. They go over the whole ring on each bar: a running total would be quicker, but
drifts, and after one misprint stays wrong for good.
"""

from math import sqrt
from typing import NamedTuple

from engine.strategies.kernel import Window

PROFILE_BINS = 20


def ema(previous: float, close: float, count: float, length: float) -> float:
    """The exponential moving average after its `count`-th value (1 for the first).

    Seeded with the plain mean of the first `length` values, as TA-Lib does.
    """
    if count <= length:
        return previous + (close - previous) / count
    return previous + (close - previous) * (2.0 / (length + 1.0))


def wilder(previous: float, value: float, count: float, length: float) -> float:
    """Wilder's smoothing after its `count`-th value: an EMA of weight 1 / `length`, seeded with
    the plain mean of the first `length` values."""
    return previous + (value - previous) / min(count, length)


def true_range(high: float, low: float, previous_close: float) -> float:
    """The range of a bar together with the way from the previous close (Wilder 1978)."""
    return max(high, previous_close) - min(low, previous_close)


def _store(window: Window, at: int, count: float, length: float, value: float) -> int:
    """Puts the `count`-th value into a ring of `length` cells; returns how many it holds."""
    window[at + int(count - 1.0) % int(length)] = value
    return int(min(count, length))


def _mean(window: Window, at: int, size: int) -> float:
    # Taken about one of the values: the mean of equal values is then exactly that value.
    base = window[at]
    total = 0.0
    for index in range(at, at + size):
        total += window[index] - base
    return base + total / size


def _squares(window: Window, at: int, size: int, mean: float) -> float:
    total = 0.0
    for index in range(at, at + size):
        distance = window[index] - mean
        total += distance * distance
    return total


def _highest(window: Window, at: int, size: int) -> float:
    highest = window[at]
    for index in range(at + 1, at + size):
        highest = max(highest, window[index])
    return highest


def _lowest(window: Window, at: int, size: int) -> float:
    lowest = window[at]
    for index in range(at + 1, at + size):
        lowest = min(lowest, window[index])
    return lowest


class Sma(NamedTuple):
    bars: float = 0.0
    value: float = 0.0


def sma(state: Sma, window: Window, at: int, value: float, length: float) -> Sma:
    """The mean of the last `length` values. `length` cells; ready at `length` values."""
    bars = state.bars + 1.0
    size = _store(window, at, bars, length, value)
    return Sma(bars, _mean(window, at, size))


class RelativeVolume(NamedTuple):
    """`mean` is the average volume, `value` the bar's volume as a multiple of it."""

    bars: float = 0.0
    mean: float = 0.0
    value: float = 0.0


def relative_volume(
    state: RelativeVolume, window: Window, at: int, volume: float, length: float
) -> RelativeVolume:
    """Volume against the mean of the last `length` bars, this one among them; 0 where nothing
    was traded. `length` cells; ready at `length` bars."""
    bars = state.bars + 1.0
    size = _store(window, at, bars, length, volume)
    mean = _mean(window, at, size)
    return RelativeVolume(bars, mean, volume / mean if mean > 0.0 else 0.0)


class Deviation(NamedTuple):
    """The mean and both standard deviations: over n (`population`) and over n - 1 (`sample`)."""

    bars: float = 0.0
    mean: float = 0.0
    population: float = 0.0
    sample: float = 0.0


def deviation(state: Deviation, window: Window, at: int, value: float, length: float) -> Deviation:
    """How the last `length` values scatter. `length` cells; ready at `length` values."""
    bars = state.bars + 1.0
    size = _store(window, at, bars, length, value)
    mean = _mean(window, at, size)
    squares = _squares(window, at, size, mean)
    sample = sqrt(squares / (size - 1)) if size > 1 else 0.0
    return Deviation(bars, mean, sqrt(squares / size), sample)


class Volatility(NamedTuple):
    bars: float = 0.0
    close: float = 0.0
    value: float = 0.0


def volatility(
    state: Volatility, window: Window, at: int, close: float, length: float
) -> Volatility:
    """The sample deviation of the last `length` returns, as a fraction per bar: not annualized.
    `length` cells; ready at `length` + 1 bars."""
    bars = state.bars + 1.0
    if bars == 1.0:
        return Volatility(bars, close, 0.0)
    change = close / state.close - 1.0 if state.close > 0.0 else 0.0
    size = _store(window, at, state.bars, length, change)
    squares = _squares(window, at, size, _mean(window, at, size))
    return Volatility(bars, close, sqrt(squares / (size - 1)) if size > 1 else 0.0)


class Roc(NamedTuple):
    bars: float = 0.0
    value: float = 0.0


def roc(state: Roc, window: Window, at: int, close: float, length: float) -> Roc:
    """The rate of change: the close against the one `length` bars ago, as a fraction; 0 until
    there is one. `length` cells; ready at `length` + 1 bars."""
    bars = state.bars + 1.0
    before = window[at + int(state.bars) % int(length)] if bars > length else 0.0
    _store(window, at, bars, length, close)
    return Roc(bars, close / before - 1.0 if before > 0.0 else 0.0)


class Extremes(NamedTuple):
    bars: float = 0.0
    highest: float = 0.0
    lowest: float = 0.0


def extremes(
    state: Extremes, window: Window, at: int, high: float, low: float, length: float
) -> Extremes:
    """The highest high and lowest low of the last `length` bars, this one among them (Donchian's
    channel); a breakout compares with the state before the bar. 2 x `length` cells; ready at
    `length` bars."""
    bars = state.bars + 1.0
    size = _store(window, at, bars, length, high)
    lows = at + int(length)
    _store(window, lows, bars, length, low)
    return Extremes(bars, _highest(window, at, size), _lowest(window, lows, size))


class Percentile(NamedTuple):
    bars: float = 0.0
    value: float = 0.0


def percentile(
    state: Percentile, window: Window, at: int, value: float, length: float
) -> Percentile:
    """The share of the last `length` values that lie strictly below this one, which is among
    them: 0 for the lowest, (`length` - 1) / `length` for the highest. `length` cells; ready at
    `length` values."""
    bars = state.bars + 1.0
    size = _store(window, at, bars, length, value)
    below = 0.0
    for index in range(at, at + size):
        if window[index] < value:
            below += 1.0
    return Percentile(bars, below / size)


class Rsi(NamedTuple):
    bars: float = 0.0
    close: float = 0.0
    gain: float = 0.0
    loss: float = 0.0
    value: float = 50.0
    previous: float = 50.0


def rsi(state: Rsi, close: float, length: float) -> Rsi:
    """Wilder's relative strength index, 0 to 100; 50 where the price never moved. Ready at
    `length` + 1 bars."""
    bars = state.bars + 1.0
    if bars == 1.0:
        return Rsi(bars, close, 0.0, 0.0, 50.0, 50.0)
    change = close - state.close
    gain = wilder(state.gain, max(change, 0.0), state.bars, length)
    loss = wilder(state.loss, max(-change, 0.0), state.bars, length)
    both = gain + loss
    value = 100.0 * (gain / both) if both > 0.0 else 50.0
    return Rsi(bars, close, gain, loss, value, state.value)


class Atr(NamedTuple):
    bars: float = 0.0
    close: float = 0.0
    value: float = 0.0


def atr(state: Atr, high: float, low: float, close: float, length: float) -> Atr:
    """Wilder's average true range, in price; the first bar has none. Ready at `length` + 1 bars."""
    bars = state.bars + 1.0
    if bars == 1.0:
        return Atr(bars, close, 0.0)
    value = wilder(state.value, true_range(high, low, state.close), state.bars, length)
    return Atr(bars, close, value)


class Bollinger(NamedTuple):
    """The bands; `bandwidth` is their distance as a fraction of `middle`, `position` where the
    close stands between them (0 lower, 1 upper, beyond them outside; 0.5 without a width)."""

    bars: float = 0.0
    middle: float = 0.0
    upper: float = 0.0
    lower: float = 0.0
    bandwidth: float = 0.0
    position: float = 0.5
    previous_bandwidth: float = 0.0


def bollinger(
    state: Bollinger, window: Window, at: int, close: float, length: float, sigmas: float
) -> Bollinger:
    """Bollinger's bands: the mean of `length` closes, `sigmas` population deviations up and
    down. `length` cells; ready at `length` bars, `previous_bandwidth` one later."""
    bars = state.bars + 1.0
    size = _store(window, at, bars, length, close)
    middle = _mean(window, at, size)
    reach = sigmas * sqrt(_squares(window, at, size, middle) / size)
    upper = middle + reach
    lower = middle - reach
    width = upper - lower
    bandwidth = width / middle if middle > 0.0 else 0.0
    position = (close - lower) / width if width > 0.0 else 0.5
    return Bollinger(bars, middle, upper, lower, bandwidth, position, state.bandwidth)


class Macd(NamedTuple):
    """`line` and `signal` are in price; the line crossed up where `previous_histogram` <= 0 <
    `histogram`."""

    bars: float = 0.0
    fast: float = 0.0
    slow: float = 0.0
    line: float = 0.0
    signal: float = 0.0
    histogram: float = 0.0
    previous_histogram: float = 0.0


def macd_bars(slow: float, signal: float) -> float:
    """From how many bars on the MACD is ready."""
    return slow + signal - 1.0


def macd(state: Macd, close: float, fast: float, slow: float, signal: float) -> Macd:
    """Appel's MACD: EMA `fast` less EMA `slow`, and the EMA `signal` of that difference, which
    begins once the slow average is full. Each average is seeded with its own first values."""
    bars = state.bars + 1.0
    quick = ema(state.fast, close, bars, fast)
    calm = ema(state.slow, close, bars, slow)
    line = quick - calm
    if bars <= slow:
        return Macd(bars, quick, calm, line, line, 0.0, 0.0)
    average = ema(state.signal, line, bars - slow + 1.0, signal)
    return Macd(bars, quick, calm, line, average, line - average, state.histogram)


class Stochastic(NamedTuple):
    """Both 0 to 100; %K crossed %D up where `previous_k` <= `previous_d` and `k` > `d`."""

    bars: float = 0.0
    k: float = 50.0
    d: float = 50.0
    previous_k: float = 50.0
    previous_d: float = 50.0


def stochastic_bars(length: float, smooth: float, signal: float) -> float:
    """From how many bars on the stochastic is ready."""
    return length + smooth + signal - 2.0


def stochastic_cells(length: float, smooth: float, signal: float) -> int:
    """How many cells of the window the stochastic takes."""
    return int(2.0 * length + smooth + signal)


def stochastic(
    state: Stochastic,
    window: Window,
    at: int,
    high: float,
    low: float,
    close: float,
    length: float,
    smooth: float,
    signal: float,
) -> Stochastic:
    """Lane's slow stochastic: %K is where the close stands in the range of `length` bars, as the
    mean of `smooth` such values; %D is the mean of `signal` %K. No range counts as 50."""
    bars = state.bars + 1.0
    lows = at + int(length)
    raws = lows + int(length)
    smoothed = raws + int(smooth)
    size = _store(window, at, bars, length, high)
    _store(window, lows, bars, length, low)
    lowest = _lowest(window, lows, size)
    reach = _highest(window, at, size) - lowest
    raw = 100.0 * ((close - lowest) / reach) if reach > 0.0 else 50.0
    k = _mean(window, raws, _store(window, raws, bars, smooth, raw))
    d = _mean(window, smoothed, _store(window, smoothed, bars, signal, k))
    return Stochastic(bars, k, d, state.k, state.d)


class Adx(NamedTuple):
    """`value` is the strength of the trend, `plus` and `minus` the two directional indicators,
    all 0 to 100. The rest are the last bar and the smoothed range and movements, in price."""

    bars: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    range: float = 0.0
    up: float = 0.0
    down: float = 0.0
    plus: float = 0.0
    minus: float = 0.0
    value: float = 0.0


def adx_bars(length: float) -> float:
    """From how many bars on the ADX is ready; +DI and -DI are at `length` + 1 already."""
    return 2.0 * length


def adx(state: Adx, high: float, low: float, close: float, length: float) -> Adx:
    """Wilder's average directional index with +DI and -DI; 0 until there is a value."""
    bars = state.bars + 1.0
    if bars == 1.0:
        return Adx(bars, high, low, close, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    rise = max(high - state.high, 0.0)
    fall = max(state.low - low, 0.0)
    average = wilder(state.range, true_range(high, low, state.close), state.bars, length)
    up = wilder(state.up, rise if rise > fall else 0.0, state.bars, length)
    down = wilder(state.down, fall if fall > rise else 0.0, state.bars, length)
    plus = 100.0 * (up / average) if average > 0.0 else 0.0
    minus = 100.0 * (down / average) if average > 0.0 else 0.0
    both = plus + minus
    index = 100.0 * (abs(plus - minus) / both) if both > 0.0 else 0.0
    value = wilder(state.value, index, bars - length, length) if bars > length else 0.0
    return Adx(bars, high, low, close, average, up, down, plus, minus, value)


class Supertrend(NamedTuple):
    """`direction` is +1 while the price is above the line `value`, else -1; the line is the
    `lower` band of a rise and the `upper` of a fall."""

    bars: float = 0.0
    close: float = 0.0
    atr: float = 0.0
    upper: float = 0.0
    lower: float = 0.0
    direction: float = 0.0
    value: float = 0.0


def supertrend(
    state: Supertrend, high: float, low: float, close: float, length: float, multiplier: float
) -> Supertrend:
    """Seban's supertrend: bands `multiplier` average true ranges about the bar's middle, each of
    which only moves nearer until a close passes it. Ready at `length` + 1 bars."""
    bars = state.bars + 1.0
    if bars == 1.0:
        return Supertrend(bars, close, 0.0, close, close, 1.0, close)
    average = wilder(state.atr, true_range(high, low, state.close), state.bars, length)
    middle = (high + low) / 2.0
    upper = middle + multiplier * average
    lower = middle - multiplier * average
    rising = close >= middle
    if bars > length + 1.0:
        rising = state.direction > 0.0
        if upper > state.upper and state.close <= state.upper:
            upper = state.upper
        if lower < state.lower and state.close >= state.lower:
            lower = state.lower
    if close <= (lower if rising else upper):
        return Supertrend(bars, close, average, upper, lower, -1.0, upper)
    return Supertrend(bars, close, average, upper, lower, 1.0, lower)


class BullVolume(NamedTuple):
    bars: float = 0.0
    value: float = 0.5


def bull_volume(
    state: BullVolume,
    window: Window,
    at: int,
    open_: float,
    close: float,
    volume: float,
    length: float,
) -> BullVolume:
    """The share of the volume of the last `length` bars that was traded in bars which closed
    above their open; 0.5 where nothing was traded. `length` cells; ready at `length` bars."""
    bars = state.bars + 1.0
    size = _store(window, at, bars, length, volume if close > open_ else -volume)
    bull = 0.0
    total = 0.0
    for index in range(at, at + size):
        bull += max(window[index], 0.0)
        total += abs(window[index])
    return BullVolume(bars, bull / total if total > 0.0 else 0.5)


class Profile(NamedTuple):
    bars: float = 0.0
    point_of_control: float = 0.0


def profile_cells(length: float) -> int:
    """How many cells of the window the volume profile takes."""
    return 4 * int(length) + PROFILE_BINS


def profile(
    state: Profile,
    window: Window,
    at: int,
    high: float,
    low: float,
    close: float,
    volume: float,
    length: float,
) -> Profile:
    """The volume profile's point of control over the last `length` bars.

    The range from their lowest low to their highest high is cut into 20 bins; a bar's volume
    goes to the bin of its typical price, (high + low + close) / 3. The point of control is the
    middle of the bin with the most volume, the lowest such bin where several have it, and the
    middle of the range where nothing was traded. Ready at `length` bars.
    """
    bars = state.bars + 1.0
    lows = at + int(length)
    prices = lows + int(length)
    volumes = prices + int(length)
    size = _store(window, at, bars, length, high)
    _store(window, lows, bars, length, low)
    _store(window, prices, bars, length, (high + low + close) / 3.0)
    _store(window, volumes, bars, length, volume)
    lowest = _lowest(window, lows, size)
    reach = _highest(window, at, size) - lowest
    if reach <= 0.0:
        return Profile(bars, lowest)
    bins = volumes + int(length)
    _sort_into_bins(window, prices, volumes, bins, size, lowest, reach)
    return Profile(bars, lowest + reach * _fullest(window, bins))


def _sort_into_bins(
    window: Window, prices: int, volumes: int, bins: int, size: int, lowest: float, reach: float
) -> None:
    for index in range(bins, bins + PROFILE_BINS):
        window[index] = 0.0
    for index in range(size):
        place = int((window[prices + index] - lowest) / reach * PROFILE_BINS)
        window[bins + min(max(place, 0), PROFILE_BINS - 1)] += window[volumes + index]


def _fullest(window: Window, bins: int) -> float:
    """Where the fullest bin's middle stands in the range, 0 to 1."""
    most = 0.0
    middle = 0.5
    for index in range(PROFILE_BINS):
        if window[bins + index] > most:
            most = window[bins + index]
            middle = (index + 0.5) / PROFILE_BINS
    return middle
