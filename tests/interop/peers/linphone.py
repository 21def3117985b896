"""linphonec, the console phone of Linphone, steered over its standard input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from interop.peers.process import PeerFailed, Process, free_port, program

CONFIG = """\
[sip]
sip_port={sip_port}
sip_tcp_port={sip_port}
sip_tls_port=0
contact="Lin" <sip:lin@127.0.0.1:{sip_port}>
use_ipv6=0
media_encryption={encryption}
media_encryption_mandatory={mandatory}
register_only_when_network_is_up=0
{timers}
[rtp]
audio_rtp_port={rtp_port}
disable_upnp=1
[net]
mtu=1300
{codecs}
[video]
enabled=0
capture=0
display=0
"""

MIME = {
    "opus": ("opus", 48000, 2),
    "G722": ("G722", 8000, 1),
    "PCMU": ("PCMU", 8000, 1),
    "PCMA": ("PCMA", 8000, 1),
    "speex": ("speex", 8000, 1),
}


class Linphone:
    """One phone. ``codecs`` are all that it offers; ``encryption`` is ``none``, ``srtp`` or
    ``dtls``. What it hears is written to ``heard`` from the moment of :meth:`record`."""

    def __init__(
        self,
        folder: Path,
        *,
        codecs: tuple[str, ...] = ("opus", "PCMU", "PCMA"),
        encryption: str = "none",
        auto_answer: bool = False,
    ) -> None:
        binary = program("linphonec", "linphone-cli")
        folder.mkdir(parents=True, exist_ok=True)
        self.sip_port = free_port()
        self.heard = folder / "heard.wav"
        sections = []
        for index, (name, (mime, rate, channels)) in enumerate(MIME.items()):
            sections.append(
                f"[audio_codec_{index}]\nmime={mime}\nrate={rate}\nchannels={channels}\n"
                f"enabled={int(name in codecs)}\n"
            )
        config = folder / "linphonerc"
        config.write_text(
            CONFIG.format(
                sip_port=self.sip_port,
                rtp_port=free_port() & ~1,
                encryption=encryption,
                mandatory=int(encryption != "none"),
                timers="",
                codecs="\n".join(sections),
            )
        )
        for place in (".local/share/linphone", ".config/linphone", ".linphone-usr-crt"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        self.uri = f"sip:lin@127.0.0.1:{self.sip_port}"
        argv: list[str | Path] = [binary, "-c", config]
        if auto_answer:
            argv.append("-a")
        self.process = Process(argv, cwd=folder, env=os.environ | {"HOME": str(folder)})
        try:
            self.command("soundcard use files")
            self.command("status register")
            self.process.wait_for(r"registered=|Using wav files", 20)
        except PeerFailed:
            self.process.stop()
            raise

    def command(self, line: str) -> None:
        self.process.say(line)

    def dial(self, uri: str) -> None:
        self.command(f"call {uri}")

    def answer(self) -> None:
        self.command("answer")

    def press(self, keys: str) -> None:
        """Digits are sent as DTMF within a call."""
        self.command(keys)

    def play(self, wav: Path) -> None:
        self.command(f"play {wav}")

    def record(self) -> None:
        self.command(f"record {self.heard}")

    def hold(self) -> None:
        """Until the phone knows that it is held: a command that comes sooner is refused."""
        self.command("pause")
        self.process.wait_for("is now paused")

    def resume(self) -> None:
        self.command("resume")

    def transfer(self, uri: str) -> None:
        self.command(f"transfer {uri}")

    def hang_up(self) -> None:
        self.command("terminate")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.stop()
