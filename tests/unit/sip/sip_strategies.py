"""Hypothesis strategies for the values of the SIP message layer."""

from __future__ import annotations

from hypothesis import strategies as st

from ringback.sip.headers import CSeq, Headers, NameAddr, Params, UriParams, Via
from ringback.sip.message import Request, Response
from ringback.sip.uri import Uri

TOKEN_CHARS = "abcXYZ019-.!%*_+`'~"

tokens = st.text(TOKEN_CHARS, min_size=1, max_size=12)
# Anything that can stand in a quoted string: every character but CR and LF.
texts = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20
) | st.binary(max_size=8).map(
    lambda data: data.translate(None, b"\r\n").decode("utf-8", "surrogateescape")
)


def as_on_the_wire(text: str) -> str:
    """Stray bytes that happen to make up a character are that character once they are read."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


users = texts.filter(bool)
ports = st.none() | st.integers(0, 65535)
hosts = st.one_of(
    st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9_\-]{0,5}\.){0,2}[a-zA-Z]", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: address.compressed.partition("%")[0]),
)


@st.composite
def header_params(draw: st.DrawFn) -> Params:
    params = Params()
    for name, value in draw(st.lists(st.tuples(tokens, st.none() | texts), max_size=4)):
        params = params.set(name, value)
    return params


@st.composite
def uri_params(draw: st.DrawFn) -> UriParams:
    params = UriParams()
    for name, value in draw(st.lists(st.tuples(tokens, st.none() | texts), max_size=4)):
        params = params.set(name.replace("%", ""), value) if name.replace("%", "") else params
    return params


@st.composite
def sip_uris(draw: st.DrawFn) -> Uri:
    user = draw(st.none() | users)
    uri = Uri(
        draw(st.sampled_from(["sip", "sips"])),
        user=user,
        host=draw(hosts),
        port=draw(ports),
        params=draw(uri_params()),
        password=None if user is None else draw(st.none() | texts),
    )
    for name, value in draw(st.lists(st.tuples(tokens, texts), max_size=3)):
        uri = uri.with_header(name, value)
    return uri


tel_uris = st.builds(
    lambda number, params: Uri("tel", user=number, params=params),
    st.from_regex(r"\+?[0-9]([0-9.()\-]){0,10}[0-9]", fullmatch=True),
    uri_params(),
)
opaque_uris = st.builds(
    lambda text: Uri("urn", opaque=text),
    st.text("abcXYZ:/?#@;=%é", min_size=1, max_size=20),
)
uris = sip_uris() | tel_uris | opaque_uris

name_addrs = st.builds(NameAddr, uris, texts, header_params())
vias = st.builds(
    lambda transport, host, port, params: Via(transport.upper(), host, port, params),
    tokens,
    hosts,
    ports,
    header_params(),
)


@st.composite
def header_lists(draw: st.DrawFn, method: str) -> Headers:
    headers = Headers()
    for via in draw(st.lists(vias, min_size=1, max_size=3)):
        headers.add("Via", via)
    headers.add("From", draw(name_addrs))
    headers.add("To", draw(name_addrs))
    headers.add("Call-ID", draw(tokens))
    headers.add("CSeq", CSeq(draw(st.integers(0, 2**31 - 1)), method))
    for name, value in draw(st.lists(st.tuples(tokens, texts), max_size=4)):
        # Names that mean something to the framing, and raw NULs, are left out.
        if name.lower() not in ("l", "content-length"):
            headers.add(f"X-{name}", as_on_the_wire(value.replace("\x00", "")))
    return headers


@st.composite
def requests(draw: st.DrawFn) -> Request:
    method = draw(tokens)
    return Request(method, draw(uris), draw(header_lists(method)), draw(st.binary(max_size=64)))


@st.composite
def responses(draw: st.DrawFn) -> Response:
    reason = as_on_the_wire(draw(texts).replace("\x00", "").strip(" \t"))
    headers = draw(header_lists(draw(tokens)))
    return Response(draw(st.integers(100, 699)), reason, headers, draw(st.binary(max_size=64)))
