"""Google's error bodies, as the Gemini API sends them."""

from typing import Any

Json = dict[str, Any]

HOST = "generativelanguage.googleapis.com"
RPC = "type.googleapis.com/google.rpc."
HELP = "https://ai.google.dev/gemini-api/docs/rate-limits"
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Refused(Exception):
    """A request is not taken: `code` is the HTTP status, `body` the answer in place of one."""

    def __init__(self, code: int, message: str, *details: Json, status: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body = error(code, message, *details, status=status)


def error(code: int, message: str, *details: Json, status: str | None = None) -> Json:
    """The body of an error; `status` is Google's word for it, by default the code's own."""
    inner: Json = {"code": code, "message": message, "status": status or STATUSES[code]}
    if details:
        inner["details"] = list(details)
    return {"error": inner}


def detail(kind: str, **fields: Any) -> Json:
    """One entry of `details`, by the name of its type in google.rpc."""
    return {"@type": RPC + kind, **fields}


def invalid(message: str) -> Refused:
    return Refused(400, message)


def invalid_field(field: str, complaint: str) -> Refused:
    """One wrong field, named from the request down as the service names it."""
    return Refused(400, f"* GenerateContentRequest.{field}: {complaint}\n")


def not_the_protocol(complaint: str) -> Refused:
    """JSON that is no message of the protocol, such as a field nobody knows."""
    message = f"Invalid JSON payload received. {complaint}"
    violation = {"description": message}
    return Refused(400, message, detail("BadRequest", fieldViolations=[violation]))


def no_key() -> Refused:
    return Refused(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API.",
    )


def bad_key() -> Refused:
    words = "API key not valid. Please pass a valid API key."
    return Refused(
        400,
        words,
        detail(
            "ErrorInfo", reason="API_KEY_INVALID", domain="googleapis.com",
            metadata={"service": HOST},
        ),
        detail("LocalizedMessage", locale="en-US", message=words),
    )  # fmt: skip


def unknown_model(name: str, method: str) -> Refused:
    return Refused(
        404,
        f"models/{name} is not found for API version v1beta, or is not supported for {method}. "
        "Call ListModels to see the list of available models and their supported methods.",
    )


def region_error() -> Json:
    words = "User location is not supported for the API use."
    return error(400, words, status="FAILED_PRECONDITION")


def disabled_error() -> Json:
    return error(
        403,
        "Generative Language API has not been used in project 1234 before or it is disabled.",
        detail(
            "ErrorInfo", reason="SERVICE_DISABLED", domain="googleapis.com",
            metadata={"service": HOST, "consumer": "projects/1234"},
        ),
    )  # fmt: skip


def quota_error(model: str, period: str, limit: int, retry_after: float | None) -> Json:
    """429 with the quota that ran out; `period` is Minute or Day, and for both Google says when
    to come back, sometimes in the message alone."""
    metric = f"{HOST}/generate_content_free_tier_requests"
    words = (
        "You exceeded your current quota, please check your plan and billing details. For more "
        f"information on this error, head to: {HELP}. \n"
        f"* Quota exceeded for metric: {metric}, limit: {limit}, model: {model}"
    )
    violation = {
        "quotaMetric": metric,
        "quotaId": f"GenerateRequestsPer{period}PerProjectPerModel-FreeTier",
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": str(limit),
    }
    details = [
        detail("Help", links=[{"description": "Learn more about Gemini API quotas", "url": HELP}]),
        detail("QuotaFailure", violations=[violation]),
    ]
    if retry_after is not None:
        words += f"\nPlease retry in {retry_after:.8f}s."
        details.append(detail("RetryInfo", retryDelay=f"{int(retry_after)}s"))
    return error(429, words, *details)
