"""What Stripe answers when it says no, in the shape of its error objects."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """A request that Stripe refuses: HTTP status, error type, code, message and the parameter at fault.

    Shape and codes: https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes. The sentences
    are the sandbox's own. `headers` are added to the answer.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> Json:
        """The JSON body of the answer."""
        error: Json = {"message": self.message, "type": self.kind}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = "https://docs.stripe.com/error-codes#" + self.code.replace("_", "-")
        if self.param is not None:
            error["param"] = self.param
        return {"error": error}


def no_such(noun: str, found: str, *, param: str, status: int = 404) -> ApiError:
    """The error for an id that names nothing: 404 when it stood in the path, 400 when in a parameter."""
    return ApiError(f"No such {noun}: '{found}'", status=status, code="resource_missing", param=param)
