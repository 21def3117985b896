"""``ringback call-trace``: what went over the wire for a call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ringback.cli.client import ApiClient
from ringback.cli.console import out
from ringback.cli.resources import Key, Url
from ringback.core.errors import InvalidRequest


def call_trace(
    call_id: Annotated[str, typer.Argument(help="The call's id, as in `call_…`.")],
    full: Annotated[bool, typer.Option("--full", help="Whole messages, not the drawing.")] = False,
    pcap: Annotated[
        Path | None, typer.Option(help="Write a capture file for Wireshark instead.")
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show the SIP messages of a call, live or over, without its secrets."""
    path = f"/api/call/{call_id}/sip"
    with ApiClient(url, key) as api:
        if pcap is not None:
            _write(pcap, api.download(f"{path}.pcap"))
            out.print(f"Wrote {pcap}.", markup=False)
        elif full:
            for message in api.get(path)["messages"]:
                ends = f"{message['from']} -> {message['to']} {message['transport']}"
                out.print(Text(f"{message['at']}  {ends}", style="bold"))
                out.print(Text(message["text"].replace("\r\n", "\n")))
        else:
            drawing = api.download(path, accept="text/plain").decode()
            out.print(_coloured(drawing or "No SIP messages are kept of this call.\n"), end="")


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be written: {error.strerror}.",
            hint="Name a file in a folder that is there and is yours: --pcap call.pcap",
        ) from error


def _coloured(drawing: str) -> Text:
    """Failures stand out, and so does what is sent again."""
    text = Text(drawing, no_wrap=True)
    text.highlight_regex(r"(?m)(?<=[- ])[3-6]\d\d [^\n(]*\(\w+\)", "bold red")
    text.highlight_regex(r"(?m)(?<=[- ])(?:INVITE|BYE|CANCEL|ACK|REFER|UPDATE|PRACK) ", "bold")
    text.highlight_regex(r"\(again\)", "yellow")
    return text
