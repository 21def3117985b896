"""Everything about header fields in one place to import from."""

from __future__ import annotations

from ringback.sip.auth import AuthenticationInfo, Challenge, Credentials
from ringback.sip.header_map import COMPACT_FORMS, Headers, HeaderValue, canonical_name
from ringback.sip.header_values import (
    MAX_CSEQ,
    CSeq,
    MediaType,
    RAck,
    Reason,
    Replaces,
    RetryAfter,
    SessionExpires,
    parse_delta_seconds,
)
from ringback.sip.name_addr import STAR, NameAddr, Star
from ringback.sip.params import Params, UriParams
from ringback.sip.via import BRANCH_COOKIE, Via

__all__ = [
    "BRANCH_COOKIE",
    "COMPACT_FORMS",
    "MAX_CSEQ",
    "STAR",
    "AuthenticationInfo",
    "CSeq",
    "Challenge",
    "Credentials",
    "HeaderValue",
    "Headers",
    "MediaType",
    "NameAddr",
    "Params",
    "RAck",
    "Reason",
    "Replaces",
    "RetryAfter",
    "SessionExpires",
    "Star",
    "UriParams",
    "Via",
    "canonical_name",
    "parse_delta_seconds",
]
