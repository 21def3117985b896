"""twinkle-console, an old and strict softphone, steered over its standard input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from interop.peers.process import PeerFailed, Process, free_port, program

SYSTEM = """\
dev_ringtone=alsa:null
dev_speaker=alsa:null
dev_mic=alsa:null
validate_audio_dev=no
sip_port={sip_port}
rtp_port={rtp_port}
play_ringtone=no
play_ringback=no
"""

USER = """\
user_name=twin
user_domain=127.0.0.1
user_display=Twin
register_at_startup=no
codecs=g711a,g711u
ptime={ptime}
dtmf_transport={dtmf}
dtmf_payload_type=101
sip_transport={transport}
hold_variant={hold}
check_max_forwards=no
allow_refer=yes
ask_user_to_refer=no
auto_refresh_refer_sub=yes
prack=100rel
"""


class Twinkle:
    """One phone without sound of its own (ALSA's null device). ``dtmf`` is ``rfc2833``,
    ``inband``, ``info`` or ``auto``; ``hold`` is ``rfc2543`` (0.0.0.0) or ``rfc3264``."""

    def __init__(
        self,
        folder: Path,
        *,
        dtmf: str = "auto",
        hold: str = "rfc3264",
        transport: str = "udp",
        ptime: int = 20,
    ) -> None:
        binary = program("twinkle-console", "twinkle-console")
        home = folder / ".twinkle"
        home.mkdir(parents=True, exist_ok=True)
        self.sip_port = free_port()
        (home / "twinkle.sys").write_text(
            SYSTEM.format(sip_port=self.sip_port, rtp_port=free_port() & ~1)
        )
        (home / "twin.cfg").write_text(
            USER.format(dtmf=dtmf, hold=hold, transport=transport, ptime=ptime)
        )
        self.uri = f"sip:twin@127.0.0.1:{self.sip_port}"
        self.process = Process(
            [binary, "twin.cfg"], cwd=folder, env=os.environ | {"HOME": f"{folder}"}
        )
        try:
            self.process.wait_for("Local IP", 20)
        except PeerFailed:
            self.process.stop()
            raise

    def dial(self, uri: str) -> None:
        self.process.say(f"call {uri}")

    def answer(self) -> None:
        self.process.wait_for("incoming call|Incoming call")
        self.process.say("answer")

    def press(self, keys: str) -> None:
        self.process.say(f"dtmf {keys}")

    def hold(self) -> None:
        self.process.say("hold")

    def retrieve(self) -> None:
        self.process.say("retrieve")

    def transfer(self, uri: str) -> None:
        self.process.say(f"transfer {uri}")

    def hang_up(self) -> None:
        self.process.say("bye")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.stop()
