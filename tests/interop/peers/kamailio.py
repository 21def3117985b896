"""Kamailio as a provider: a registrar with digest, and what it does with the numbers called."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from interop.peers.certificate import ServerCertificate
from interop.peers.process import Process, free_port, program

CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
memdbg=5
memlog=5
children=2
auto_aliases=no
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
tcp_children=2
{tls}
mpath="{modules}"
loadmodule "jsonrpcs.so"
loadmodule "kex.so"
loadmodule "corex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "auth.so"
loadmodule "ctl.so"
{tls_modules}
modparam("jsonrpcs", "transport", 0)
modparam("ctl", "binrpc", "unix:{folder}/ctl.sock")
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", {min_expires})
modparam("registrar", "max_expires", {max_expires})
modparam("auth", "nonce_expire", 300)
modparam("auth", "qop", "auth")
modparam("tm", "fr_timer", 2000)
modparam("tm", "fr_inv_timer", 60000)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
        sl_send_reply("404", "Not here"); exit;
    }}
    t_check_trans();
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("REGISTER")) {{
        if ($rd != "{domain}" && $rd != "127.0.0.1") {{
            sl_send_reply("404", "Domain not found"); exit;
        }}
        if ($tU != "{user}") {{ sl_send_reply("403", "Forbidden"); exit; }}
        if (!pv_www_authenticate("{domain}", "{password}", "0")) {{
            www_challenge("{domain}", "1"); exit;
        }}
        if (!save("location")) {{ sl_reply_error(); }}
        exit;
    }}
    if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    record_route();
    if ($hdr(X-From-Pstn) == "yes") {{
        # an outside caller: the dialled number stays in To, the URI becomes the contact
        $rU = "{user}";
        if (!lookup("location")) {{ sl_send_reply("480", "Not registered"); exit; }}
        t_relay(); exit;
    }}
    if (!pv_proxy_authenticate("{domain}", "{password}", "0")) {{
        proxy_challenge("{domain}", "1"); exit;
    }}
    consume_credentials();
    xlog("L_WARN", "OUTBOUND to=$rU from=$fU pai=$hdr(P-Asserted-Identity)\\n");
    if ($rU =~ "5550001$") {{ send_reply("486", "Busy Here"); exit; }}
    if ($rU =~ "5550002$") {{ send_reply("603", "Decline"); exit; }}
    if ($rU =~ "5550003$") {{ $du = "sip:127.0.0.1:{silent}"; t_relay(); exit; }}
    if ($rU =~ "5550004$") {{ send_reply("404", "Not Found"); exit; }}
    if ($rU =~ "5550005$") {{ send_reply("503", "Service Unavailable"); exit; }}
    $ru = "sip:bob@127.0.0.1:{callee}";
    t_relay();
}}
"""


TLS = """\
enable_tls=yes
listen=tls:127.0.0.1:{port}
tcp_connection_lifetime={lifetime}
"""
TLS_MODULES = """\
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")
"""


class Kamailio:
    """A provider of one trunk user. Called numbers end in: 5550001 busy, 5550002 declined,
    5550003 an address that never answers, 5550004 unknown, 5550005 out of order; every other
    number goes to bob at ``callee`` (a SIP port of 127.0.0.1). With ``certificate`` it listens
    on ``tls_port`` too; it closes idle connections after ``tcp_lifetime`` seconds."""

    user = "trunk1"
    password = "s3cret-of-the-trunk"
    domain = "provider.test"

    def __init__(
        self,
        folder: Path,
        *,
        callee: int = 9,
        silent: int = 9,
        min_expires: int = 60,
        max_expires: int = 3600,
        port: int | None = None,
        certificate: ServerCertificate | None = None,
        tcp_lifetime: int = 120,
    ) -> None:
        binary = program("kamailio", "kamailio")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.tls_port = free_port() if certificate else 0
        tls, tls_modules = f"tcp_connection_lifetime={tcp_lifetime}", ""
        if certificate is not None:
            tls = TLS.format(port=self.tls_port, lifetime=tcp_lifetime)
            tls_modules = TLS_MODULES.format(
                certificate=certificate.certificate, key=certificate.key
            )
        config = folder / "kamailio.cfg"
        config.write_text(
            CONFIG.format(
                port=self.port,
                tls=tls,
                tls_modules=tls_modules,
                folder=folder,
                modules="/usr/lib/x86_64-linux-gnu/kamailio/modules/",
                domain=self.domain,
                user=self.user,
                password=self.password,
                callee=callee,
                silent=silent,
                min_expires=min_expires,
                max_expires=max_expires,
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
