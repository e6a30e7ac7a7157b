"""Options that the commands on candles have in common: backtest, sweep and tune."""

from pathlib import Path
from typing import Annotated

import typer

StrategyName = Annotated[str, typer.Option("--strategy", "-s", help="Its name.")]
# What a shell makes of `--candles A B` and `-p a=1 b=2`: all but the first stand alone.
More = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATH | NAME=VALUE]...", help="More candles or parameters."),
]
Candles = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH...", help="CSV, CSV.gz or Parquet, or folders."),
]
Symbols = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Of the stored candles, or of those in PATH."),
]
Days = Annotated[int | None, typer.Option(min=1, help="Only the last days.")]
Fee = Annotated[str, typer.Option(help="Of the notional, as in 0.00055 or 0.055%.")]
Slippage = Annotated[str, typer.Option(help="Of the price, as --fee.")]
