"""Kamailio as the edge of a provider: it puts rtpengine into the path of every call."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from interop.peers.process import Process, free_port, program
from interop.peers.rtpengine import Rtpengine

CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
children=2
auto_aliases=no
listen=udp:127.0.0.1:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "udp:127.0.0.1:{ng_port}")

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (has_totag()) {{
        if (!loose_route()) {{ if (is_method("ACK") && t_check_trans()) {{ t_relay(); }} exit; }}
        if (is_method("BYE")) {{ rtpengine_manage(); }}
        t_relay(); exit;
    }}
    if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    record_route();
    if ($rU == "{user}") {{
        $du = "sip:127.0.0.1:{phone}";
        rtpengine_manage("replace-origin ICE=remove rtcp-mux-demux RTP/AVP");
    }} else {{
        $du = "sip:127.0.0.1:{gateway}";
        rtpengine_manage("replace-origin ICE=remove {profile}");
    }}
    t_on_reply("MEDIA");
    t_relay();
}}

onreply_route[MEDIA] {{
    if (has_body("application/sdp")) {{ rtpengine_manage("replace-origin ICE=remove"); }}
}}
"""


class MediaEdge:
    """Calls to ``user`` go to the SIP port ``phone`` in the clear, all others to the port
    ``gateway`` under ``profile``, such as ``RTP/SAVP``; rtpengine speaks for each to the other."""

    def __init__(
        self,
        folder: Path,
        rtpengine: Rtpengine,
        *,
        user: str,
        phone: int,
        gateway: int,
        profile: str,
    ) -> None:
        binary = program("kamailio", "kamailio")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        config = folder / "kamailio.cfg"
        config.write_text(
            CONFIG.format(
                port=self.port,
                ng_port=rtpengine.ng_port,
                user=user,
                phone=phone,
                gateway=gateway,
                profile=profile,
            )
        )
        self.process = Process(
            [binary, "-f", config, "-DD", "-E", "-m", "64", "-M", "8", "-Y", folder, "-w", folder],
            cwd=folder,
        )
        self.process.wait_for(r"Listening on|listening on|udp receiver|ready", 20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.stop()
