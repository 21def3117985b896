"""What happens to media, counted. One object per session; the plane adds them up."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class MediaCounters:
    """Plain counters of one session (or, summed, of a process). ``dropped_*`` names the reason."""

    packets_received: int = 0
    """RTP packets that were taken in (audio, comfort noise and telephone events)."""
    packets_sent: int = 0
    packets_late: int = 0
    packets_duplicate: int = 0
    packets_lost: int = 0
    frames_concealed: int = 0
    rtcp_received: int = 0
    rtcp_sent: int = 0
    dtmf_received: int = 0
    dtmf_sent: int = 0

    dropped_malformed: int = 0
    dropped_not_rtp: int = 0
    """STUN, DTLS and whatever else is thrown at a media port."""
    dropped_wrong_source: int = 0
    dropped_wrong_ssrc: int = 0
    dropped_payload_type: int = 0
    dropped_direction: int = 0
    """Audio that came although we had said that we do not receive."""
    dropped_early: int = 0
    """RTP before anything was negotiated."""
    srtp_unauthentic: int = 0
    """Under a wrong key, forged or damaged."""
    srtp_replayed: int = 0
    srtp_unkeyed: int = 0
    """Media, in either direction, while there were no keys for it."""
    dtls_handshakes: int = 0
    """Handshakes that gave keys."""
    dtls_failed: int = 0
    """Handshakes that came to nothing, those that strangers began included."""
    dtls_dropped: int = 0
    """DTLS from where none is expected, or more of it than a handshake needs."""
    send_failed: int = 0
    """Datagrams that the kernel refused (buffer full, no route)."""
    socket_errors: int = 0
    receive_errors: int = 0
    """Datagrams that made our own code fail: a bug, logged once a port."""

    ticks_skipped: int = 0
    """Frames that were never played because the process was too far behind."""
    playout_full: int = 0
    playout_cleared_ms: int = 0
    playout_discarded_ms: int = 0
    """Agent audio whose time came while the call was on hold."""
    ear_errors: int = 0

    streams_attached: int = 0
    streams_refused: int = 0
    stream_audio_dropped: int = 0
    """Frames not sent to a stream that reads too slowly."""
    stream_slow_closed: int = 0
    stream_messages_rejected: int = 0

    recording_frames_dropped: int = 0
    recording_errors: int = 0
    music_failures: int = 0
    """Files of music on hold that could not be played; the node's own tune played instead."""

    def add(self, other: MediaCounters) -> None:
        for name in _NAMES:
            more = getattr(other, name)
            if more:
                setattr(self, name, getattr(self, name) + more)

    def __getstate__(self) -> tuple[int, ...]:
        return tuple(getattr(self, name) for name in _NAMES)

    def __setstate__(self, counts: tuple[int, ...]) -> None:
        for name, count in zip(_NAMES, counts, strict=True):
            setattr(self, name, count)


_NAMES = tuple(field.name for field in fields(MediaCounters))
