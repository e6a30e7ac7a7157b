"""Telegram's word for no."""

from typing import Any


class Refused(Exception):
    """A call that Telegram refuses: an HTTP status, its words, and what comes as `parameters`."""

    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


def bad_request(reason: str) -> Refused:
    return Refused(400, f"Bad Request: {reason}")


def too_many(retry_after: int) -> Refused:
    words = f"Too Many Requests: retry after {retry_after}"
    return Refused(429, words, retry_after=retry_after)
