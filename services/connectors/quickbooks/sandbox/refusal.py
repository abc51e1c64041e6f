"""Error answers: the API's own, and those of the gateway before it."""

from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """A refusal of the API: HTTP 400 and a Fault, unless said otherwise."""

    def __init__(
        self, code: str, message: str, *, status: int = 400, element: str = "", kind: str = "ValidationFault"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.element = element
        self.kind = kind

    def body(self, time: str) -> Json:
        """The answer's JSON."""
        error = {"Message": self.message, "Detail": self.message, "code": self.code, "element": self.element}
        return {"Fault": {"Error": [error], "type": self.kind}, "time": time}


class GatewayError(ApiError):
    """A refusal before the API: its keys are written small, its codes with leading zeros in the message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code, message, status=status, kind="AUTHENTICATION" if status == 401 else "SERVICE")

    def body(self, time: str) -> Json:
        """The answer's JSON."""
        message = f"message={self.message}; errorCode={self.code.zfill(6)}; statusCode={self.status}"
        error = {"message": message, "detail": "", "code": self.code, "element": None}
        return {"warnings": None, "intuitObject": None, "fault": {"error": [error], "type": self.kind}, "time": time}


def not_found() -> ApiError:
    """610."""
    return ApiError("610", "Object Not Found: something you're trying to use has been made inactive.")


def taken() -> ApiError:
    """6240."""
    return ApiError("6240", "The name supplied already exists: another customer, vendor or employee uses it.")
