"""What every HTTP route of Ringback is made of: models, errors, auth, paging and the edge."""

from __future__ import annotations

from ringback.core.http.auth import (
    Authenticator,
    CurrentAccount,
    Principal,
    authenticate_websocket,
)
from ringback.core.http.edge import HttpEdge
from ringback.core.http.errors import (
    ErrorBody,
    ErrorDetail,
    error_content,
    errors,
    install_error_handlers,
    status_of,
)
from ringback.core.http.models import (
    ApiModel,
    PageOf,
    Paging,
    api_example,
    merged,
    page_of,
    patch_example,
    rule,
)

__all__ = [
    "ApiModel",
    "Authenticator",
    "CurrentAccount",
    "ErrorBody",
    "ErrorDetail",
    "HttpEdge",
    "PageOf",
    "Paging",
    "Principal",
    "api_example",
    "authenticate_websocket",
    "error_content",
    "errors",
    "install_error_handlers",
    "merged",
    "page_of",
    "patch_example",
    "rule",
    "status_of",
]
