"""Google's error answers."""

from typing import Any

Json = dict[str, Any]

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
"""HTTP status -> google.rpc.Code's name: https://cloud.google.com/apis/design/errors#error_codes"""


class ApiError(Exception):
    """A refusal in the shape of google.rpc.Status; `reason` becomes an ErrorInfo."""

    def __init__(
        self,
        message: str,
        *,
        code: int = 400,
        status: str = "",
        reason: str = "",
        metadata: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status or _STATUS.get(code, "UNKNOWN")
        self.reason = reason
        self.metadata = metadata
        self.headers = headers or {}

    def body(self) -> Json:
        """The answer's JSON."""
        error: Json = {"code": self.code, "message": self.message, "status": self.status}
        if self.reason:
            detail: Json = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": self.reason}
            if self.metadata is not None:
                detail |= {"domain": "googleapis.com", "metadata": self.metadata}
            error["details"] = [detail]
        return {"error": error}


def stale() -> ApiError:
    """The refusal of an update under an etag that isn't the contact's any more."""
    message = "The etag in the request isn't the contact's: read the person again and merge."
    return ApiError(message, status="FAILED_PRECONDITION", reason="failedPrecondition")


def not_found() -> ApiError:
    """The refusal for what isn't there."""
    return ApiError("Requested entity was not found.", code=404)
