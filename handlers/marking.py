"""Numbers in a model's words that stand in nothing it was shown: marked where they are said."""

import re
from collections.abc import Sequence

MARK = " [not in the data]"


def marked(text: str, invented: Sequence[str]) -> str:
    """The text with each of these numbers marked wherever it is said."""
    if not invented:
        return text
    longest_first = sorted(map(re.escape, invented), key=len, reverse=True)
    numbers = re.compile(rf"(?<![\w.,])(?:{'|'.join(longest_first)})(?!\w|[.,]\d)")
    return numbers.sub(lambda match: match[0] + MARK, text)


def warning(invented: Sequence[str]) -> str:
    """The sentence that stands beside the text; empty where nothing is invented."""
    if not invented:
        return ""
    numbers = ", ".join(invented)
    stand = "It stands" if len(invented) == 1 else "They stand"
    return f"Don't rely on {numbers}: {stand.lower()} in nothing that the model was shown."
