# ruff: noqa: E501
"""Offers in the manner of the programs and networks that a gateway meets, and what each is owed.

Written for these tests after the habits of each: its line order, its odd attributes, its profile.
"""

from __future__ import annotations

from dataclasses import dataclass

KEY80 = "c2FtcGxlIGtleSBmb3IgdGhlIHRlc3RzIG9ubHkh"
KEY256 = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXI="
SHA256 = ":".join(f"{n:02X}" for n in range(32))
SHA1 = ":".join(f"{n:02X}" for n in range(20))


@dataclass(frozen=True, slots=True)
class FieldOffer:
    """``codec`` is what our default preference makes of it; ``plain`` and ``optional`` are the
    protection under these policies (``none``, ``sdes``, ``dtls``), ``None`` where it is refused."""

    text: str
    codec: str
    dtmf: int | None
    plain: str | None = "none"
    optional: str | None = "none"
    address: str = "203.0.113.20"
    sections: int = 1

    @property
    def data(self) -> bytes:
        lines = [line.strip() for line in self.text.strip().splitlines()]
        return "".join(f"{line}\r\n" for line in lines).encode()


FIELD_OFFERS: dict[str, FieldOffer] = {
    "asterisk": FieldOffer(
        """
        v=0
        o=- 1746281342 1746281342 IN IP4 203.0.113.20
        s=Asterisk
        c=IN IP4 203.0.113.20
        t=0 0
        m=audio 13924 RTP/AVP 0 8 9 107 101
        a=rtpmap:0 PCMU/8000
        a=rtpmap:8 PCMA/8000
        a=rtpmap:9 G722/8000
        a=rtpmap:107 opus/48000/2
        a=fmtp:107 useinbandfec=1
        a=rtpmap:101 telephone-event/8000
        a=fmtp:101 0-16
        a=ptime:20
        a=maxptime:60
        a=sendrecv
        """,
        codec="opus",
        dtmf=101,
    ),
    "asterisk with SDES": FieldOffer(
        f"""
        v=0
        o=- 99182 99182 IN IP4 203.0.113.20
        s=Asterisk
        c=IN IP4 203.0.113.20
        t=0 0
        m=audio 11018 RTP/SAVP 8 0 101
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY80}
        a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY80}
        a=rtpmap:8 PCMA/8000
        a=rtpmap:0 PCMU/8000
        a=rtpmap:101 telephone-event/8000
        a=fmtp:101 0-16
        a=ptime:20
        a=maxptime:150
        a=sendrecv
        """,
        codec="PCMA",
        dtmf=101,
        plain=None,
        optional="sdes",
    ),
    "asterisk with DTLS and ICE": FieldOffer(
        f"""
        v=0
        o=- 1187281 1187281 IN IP4 203.0.113.20
        s=Asterisk
        c=IN IP4 203.0.113.20
        t=0 0
        a=msid-semantic:WMS *
        a=group:BUNDLE audio-0
        m=audio 15170 UDP/TLS/RTP/SAVPF 107 8 101
        a=connection:new
        a=setup:actpass
        a=fingerprint:SHA-256 {SHA256}
        a=ice-ufrag:1f2e3d4c5b6a7988
        a=ice-pwd:00112233445566778899aabbccddeeff
        a=candidate:H0a000014 1 UDP 2130706431 10.0.0.20 15170 typ host
        a=candidate:Scb007114 1 UDP 1694498815 203.0.113.20 15170 typ srflx raddr 10.0.0.20 rport 15170
        a=rtpmap:107 opus/48000/2
        a=fmtp:107 useinbandfec=1
        a=rtpmap:8 PCMA/8000
        a=rtpmap:101 telephone-event/8000
        a=fmtp:101 0-16
        a=ptime:20
        a=maxptime:20
        a=sendrecv
        a=rtcp-mux
        a=ssrc:1093218 cname:f81d4fae-7dec
        a=mid:audio-0
        """,
        codec="opus",
        dtmf=101,
        plain=None,
        optional="dtls",
    ),
    "freeswitch": FieldOffer(
        f"""
        v=0
        o=FreeSWITCH 1754382711 1754382712 IN IP4 203.0.113.20
        s=FreeSWITCH
        c=IN IP4 203.0.113.20
        t=0 0
        m=audio 24782 RTP/SAVP 102 9 0 8 103 101 13
        a=rtpmap:102 opus/48000/2
        a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40
        a=rtpmap:9 G722/8000
        a=rtpmap:0 PCMU/8000
        a=rtpmap:8 PCMA/8000
        a=rtpmap:103 telephone-event/48000
        a=fmtp:103 0-15
        a=rtpmap:101 telephone-event/8000
        a=fmtp:101 0-15
        a=rtpmap:13 CN/8000
        a=rtcp:24783 IN IP4 203.0.113.20
        a=crypto:1 AEAD_AES_256_GCM_8 inline:{KEY256}
        a=crypto:2 AEAD_AES_256_GCM inline:{KEY256}
        a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY80}
        a=ptime:20
        m=audio 24782 RTP/AVP 102 9 0 8 103 101 13
        a=rtpmap:102 opus/48000/2
        a=fmtp:102 useinbandfec=1; minptime=10
        a=rtpmap:9 G722/8000
        a=rtpmap:103 telephone-event/48000
        a=rtpmap:101 telephone-event/8000
        a=rtcp:24783 IN IP4 203.0.113.20
        a=ptime:20
        """,
        codec="opus",
        dtmf=103,
        plain="none",
        optional="sdes",
        sections=2,
    ),
    "kamailio with rtpengine": FieldOffer(
        f"""
        v=0
        o=- 7724 7724 IN IP4 10.8.0.3
        s=-
        t=0 0
        m=audio 35124 RTP/SAVP 9 8 101
        c=IN IP4 203.0.113.20
        a=rtpmap:9 G722/8000
        a=rtpmap:8 PCMA/8000
        a=rtpmap:101 telephone-event/8000
        a=sendrecv
        a=rtcp:35125
        a=rtcp-mux
        a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:{KEY256}
        a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{KEY80}
        a=crypto:3 NULL_HMAC_SHA1_80 inline:{KEY80}
        a=setup:actpass
        a=fingerprint:sha-256 {SHA256}
        a=tls-id:8a1f0e2d3c4b5a69788796a5b4c3d2e1
        a=ptime:20
        """,
        codec="G722",
        dtmf=101,
        plain=None,
        optional="dtls",
    ),
    "cisco": FieldOffer(
        """
        v=0
        o=CiscoSystemsSIP-GW-UserAgent 4271 8820 IN IP4 203.0.113.20
        s=SIP Call
        c=IN IP4 203.0.113.20
        t=0 0
        m=audio 16640 RTP/AVP 18 8 0 101 19
        c=IN IP4 203.0.113.20
        a=rtpmap:18 G729/8000
        a=fmtp:18 annexb=no
        a=rtpmap:8 PCMA/8000
        a=rtpmap:0 PCMU/8000
        a=rtpmap:101 telephone-event/8000
        a=fmtp:101 0-16
        a=rtpmap:19 CN/8000
        a=ptime:20
        """,
        codec="PCMA",
        dtmf=101,
    ),
    "ims": FieldOffer(
        """
        v=0
        o=SAMSUNG-IMS-UE 1754382711123 0 IN IP4 203.0.113.20
        s=SS VOIP
        c=IN IP4 203.0.113.20
        b=AS:49
        b=RR:800
        b=RS:600
        t=0 0
        m=audio 1234 RTP/AVP 127 116 107 8 118 96 111 110
        b=AS:49
        b=RR:800
        b=RS:600
        a=rtpmap:127 EVS/16000
        a=fmtp:127 br=5.9-24.4;bw=nb-swb;ch-aw-recv=2
        a=rtpmap:116 AMR-WB/16000/1
        a=fmtp:116 mode-change-capability=2;max-red=0
        a=rtpmap:107 AMR-WB/16000/1
        a=fmtp:107 octet-align=1;mode-change-capability=2;max-red=0
        a=rtpmap:8 PCMA/8000/1
        a=rtpmap:118 AMR/8000/1
        a=fmtp:118 mode-change-capability=2;max-red=0
        a=rtpmap:96 AMR/8000/1
        a=fmtp:96 octet-align=1;mode-change-capability=2;max-red=0
        a=rtpmap:111 telephone-event/16000
        a=fmtp:111 0-15
        a=rtpmap:110 telephone-event/8000
        a=fmtp:110 0-15
        a=curr:qos local none
        a=curr:qos remote none
        a=des:qos optional local sendrecv
        a=des:qos optional remote sendrecv
        a=sendrecv
        a=ptime:20
        a=maxptime:240
        """,
        codec="PCMA",
        dtmf=110,
    ),
    "linphone": FieldOffer(
        f"""
        v=0
        o=alice 2890 1093 IN IP4 203.0.113.20
        s=Talk
        c=IN IP4 203.0.113.20
        t=0 0
        a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics
        a=record:off
        m=audio 7078 RTP/SAVPF 96 97 98 0 8 101 99 100
        a=rtpmap:96 opus/48000/2
        a=fmtp:96 useinbandfec=1
        a=rtpmap:97 speex/16000
        a=fmtp:97 vbr=on
        a=rtpmap:98 speex/8000
        a=fmtp:98 vbr=on
        a=rtpmap:101 telephone-event/48000
        a=rtpmap:99 telephone-event/16000
        a=rtpmap:100 telephone-event/8000
        a=crypto:1 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==
        a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{KEY80}
        a=rtcp-fb:* trr-int 1000
        a=rtcp-fb:* ccm tmmbr
        m=video 9078 RTP/SAVPF 96
        a=rtpmap:96 VP8/90000
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY80}
        a=rtcp-fb:* trr-int 1000
        """,
        codec="opus",
        dtmf=101,
        plain=None,
        optional="sdes",
        sections=2,
    ),
    "browser": FieldOffer(
        f"""
        v=0
        o=- 4611731400430051336 2 IN IP4 127.0.0.1
        s=-
        t=0 0
        a=group:BUNDLE 0
        a=extmap-allow-mixed
        a=msid-semantic: WMS 4dcb
        m=audio 54609 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
        c=IN IP4 203.0.113.20
        a=rtcp:9 IN IP4 0.0.0.0
        a=candidate:1 1 udp 2122260223 192.168.0.2 61665 typ host generation 0 network-id 1
        a=candidate:2 1 udp 1686052607 203.0.113.20 54609 typ srflx raddr 192.168.0.2 rport 61665
        a=ice-ufrag:4ZcD
        a=ice-pwd:2/1muCWoOi3uLifh0NuRHlm2
        a=ice-options:trickle
        a=fingerprint:sha-256 {SHA256}
        a=setup:actpass
        a=mid:0
        a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
        a=sendrecv
        a=msid:4dcb 7f00
        a=rtcp-mux
        a=rtcp-rsize
        a=rtpmap:111 opus/48000/2
        a=rtcp-fb:111 transport-cc
        a=fmtp:111 minptime=10;useinbandfec=1
        a=rtpmap:63 red/48000/2
        a=fmtp:63 111/111
        a=rtpmap:9 G722/8000
        a=rtpmap:0 PCMU/8000
        a=rtpmap:8 PCMA/8000
        a=rtpmap:13 CN/8000
        a=rtpmap:110 telephone-event/48000
        a=rtpmap:126 telephone-event/8000
        a=ssrc:3570614608 cname:4TOk42mSjXCkVIa6
        """,
        codec="opus",
        dtmf=110,
        plain=None,
        optional="dtls",
    ),
    "carrier like Telnyx": FieldOffer(
        """
        v=0
        o=FreeSWITCH 1754000000 1754000001 IN IP4 203.0.113.20
        s=FreeSWITCH
        c=IN IP4 203.0.113.20
        t=0 0
        m=audio 27016 RTP/AVP 0 8 101 13
        a=rtpmap:0 PCMU/8000
        a=rtpmap:8 PCMA/8000
        a=rtpmap:101 telephone-event/8000
        a=fmtp:101 0-16
        a=rtpmap:13 CN/8000
        a=ptime:20
        """,
        codec="PCMA",
        dtmf=101,
    ),
    "carrier like Twilio": FieldOffer(
        f"""
        v=0
        o=root 1843571121 1843571121 IN IP4 203.0.113.20
        s=Twilio Media Gateway
        c=IN IP4 203.0.113.20
        t=0 0
        m=audio 12770 RTP/SAVP 0 8 101
        a=rtpmap:0 PCMU/8000
        a=rtpmap:8 PCMA/8000
        a=rtpmap:101 telephone-event/8000
        a=fmtp:101 0-16
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY80}
        a=ptime:20
        a=maxptime:20
        a=sendrecv
        """,
        codec="PCMA",
        dtmf=101,
        plain=None,
        optional="sdes",
    ),
    "lync with MKIs": FieldOffer(
        f"""
        v=0
        o=- 0 0 IN IP4 203.0.113.20
        s=session
        c=IN IP4 203.0.113.20
        b=CT:99980
        t=0 0
        m=audio 50012 RTP/SAVP 9 8 0 13 101
        a=x-ssrc-range:100-100
        a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{KEY80}|2^31|1:1
        a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY80}|2^31
        a=rtcp:50013
        a=rtpmap:9 G722/8000
        a=rtpmap:8 PCMA/8000
        a=rtpmap:0 PCMU/8000
        a=rtpmap:13 CN/8000
        a=rtpmap:101 telephone-event/8000
        a=fmtp:101 0-16
        a=encryption:optional
        """,
        codec="G722",
        dtmf=101,
        plain=None,
        optional="sdes",
    ),
    "fax machine's gateway": FieldOffer(
        """
        v=0
        o=HuaweiSoftX3000 1073741833 1073741833 IN IP4 203.0.113.20
        s=Sip Call
        c=IN IP4 203.0.113.20
        t=0 0
        m=audio 20014 RTP/AVP 8 0 97
        a=rtpmap:8 PCMA/8000
        a=rtpmap:0 PCMU/8000
        a=rtpmap:97 telephone-event/8000
        a=gpmd:8 vbd=yes
        m=image 20016 udptl t38
        a=T38FaxVersion:0
        a=T38MaxBitRate:14400
        """,
        codec="PCMA",
        dtmf=97,
        sections=2,
    ),
    "phone without rtpmaps": FieldOffer(
        """
        v=0
        o=phone 1 1 IN IP4 203.0.113.20
        c=IN IP4 203.0.113.20
        m=audio 16384 RTP/AVP 18 8 0
        """,
        codec="PCMA",
        dtmf=None,
    ),
    "phone that spaces its lines": FieldOffer(
        """
        v=0
        o=some body 1 1 IN IP4 203.0.113.20
        s=
        c=IN  IP4   203.0.113.20
        t=0 0
        m=audio  16384   RTP/AVP  8   101
        a=rtpmap: 8   pcma/8000
        a= rtpmap:101  TELEPHONE-EVENT/8000
        A=nonsense
        x-no-equals-sign
        a=ptime: 20
        a=sendrecv
        """,
        codec="PCMA",
        dtmf=101,
    ),
    "hash of yesterday": FieldOffer(
        f"""
        v=0
        o=- 1 1 IN IP4 203.0.113.20
        s=-
        c=IN IP4 203.0.113.20
        t=0 0
        a=fingerprint:sha-1 {SHA1}
        a=setup:active
        m=audio 4000 UDP/TLS/RTP/SAVP 8 101
        a=rtpmap:101 telephone-event/8000
        """,
        codec="PCMA",
        dtmf=101,
        plain=None,
        optional="dtls",
    ),
}
