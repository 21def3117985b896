"""``ringback call``: a softphone in the terminal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.markup import escape

from ringback.audio import wav
from ringback.audio.resample import Resampler
from ringback.cli.console import EXIT_FAILED, out
from ringback.cli.softphone.line import Account, parse_target
from ringback.cli.softphone.microphone import Headset
from ringback.cli.softphone.person import LivePerson, ScriptedPerson
from ringback.cli.softphone.phone import CallResult, off_hook
from ringback.cli.softphone.transcriber import Transcriber
from ringback.core.end_reason import EndReason
from ringback.core.errors import InvalidRequest
from ringback.core.logging import configure_logging
from ringback.media.plane import SessionReport, VoiceSpec
from ringback.media.port import VoiceFactory, VoiceHost, VoiceSession
from ringback.voice.providers.registry import Connection, find_vendor

SPEECH_RATE = 16000


@dataclass(frozen=True, slots=True)
class Speech:
    """What the person says: sentences, or sound from a file."""

    sentences: tuple[str, ...]
    wav: Path | None
    live: bool


def call(
    target: Annotated[str, typer.Argument(help="sip:user@host, or a number with --registrar.")],
    say: Annotated[
        list[str] | None, typer.Option(help="A sentence to speak; repeatable, taken in turns.")
    ] = None,
    wav_file: Annotated[
        Path | None, typer.Option("--wav", help="Speak a WAV file instead.", exists=True)
    ] = None,
    microphone: Annotated[bool, typer.Option("--mic", help="Use the microphone.")] = False,
    username: Annotated[str, typer.Option(help="Who calls.")] = "ringback",
    password: Annotated[str, typer.Option(envvar="SIP_PASSWORD", help="For a registrar.")] = "",
    registrar: Annotated[str | None, typer.Option(help="Register at host[:port] first.")] = None,
    transport: Annotated[str, typer.Option(help="udp, tcp or tls.")] = "udp",
    record: Annotated[
        Path | None, typer.Option(help="Stereo WAV: the far end left, you right.")
    ] = Path("call.wav"),
    transcript: Annotated[bool, typer.Option(help="Write down what is heard.")] = True,
    ring: Annotated[float, typer.Option(help="Seconds to let it ring.")] = 60,
    longest: Annotated[float, typer.Option(help="Seconds after which you hang up.")] = 120,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Call somebody from this terminal; Ctrl-C hangs up."""
    configure_logging("debug" if verbose else "error")
    account = Account(username, password, registrar, transport)
    speech = Speech(tuple(say or ()), wav_file, microphone)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(_call(target, account, speech, record, transcript, ring, longest))
    _tell(result)
    if not result.answered:
        raise SystemExit(EXIT_FAILED)


async def _call(
    target: str,
    account: Account,
    speech: Speech,
    record: Path | None,
    transcript: bool,
    ring: float,
    longest: float,
) -> CallResult:
    uri = parse_target(target, account)
    async with local_voice(needed=bool(speech.sentences)) as voice:
        sounds = await spoken(speech, voice)
        ears = _ears(voice) if transcript else None
        person = person_factory(speech, sounds, ears)
        out.print(f"Calling [bold]{escape(str(uri))}[/] ...")
        async with off_hook(account, uri, person, _news) as phone:
            loop = asyncio.get_running_loop()
            hang_ups: set[asyncio.Task[None]] = set()

            def on_signal() -> None:
                task = loop.create_task(phone.hang_up())
                hang_ups.add(task)
                task.add_done_callback(hang_ups.discard)

            loop.add_signal_handler(signal.SIGINT, on_signal)
            result = await phone.call(ring, record, longest)
        if ears is not None:
            await ears.close()
        return result


class Ears:
    """Makes the transcriber of a call when the call begins; without recognition, none."""

    def __init__(self, voice: Connection) -> None:
        self._voice = voice
        self._transcriber: Transcriber | None = None

    def open(self) -> Transcriber:
        stt = self._voice.speech_to_text({}, "en")
        stream = stt.open(SPEECH_RATE, "en", ())
        self._transcriber = Transcriber(stream, lambda text: out.print(f"  them: {escape(text)}"))
        return self._transcriber

    async def close(self) -> None:
        if self._transcriber is not None:
            await self._transcriber.close()


def _ears(voice: Connection | None) -> Ears | None:
    if voice is None:
        out.print("[dim]No transcript: the extra local-voice is not installed.[/]")
        return None
    out.print("[dim]The transcript is a rough one (local recognition).[/]")
    return Ears(voice)


def person_factory(
    speech: Speech, sounds: list[bytes], ears: Ears | None, *, quiet: bool = False
) -> VoiceFactory:
    """Who speaks ``sounds``. ``quiet``: do not print each sentence."""

    def make(session_id: str, spec: VoiceSpec, host: VoiceHost) -> VoiceSession:
        if speech.live:
            return LivePerson(host, Headset())
        lines = speech.sentences or ((speech.wav.name,) if speech.wav else ())

        def on_sentence(number: int) -> None:
            if not quiet:
                out.print(f"  you:  {escape(lines[number])}")

        return ScriptedPerson(
            host,
            sounds,
            SPEECH_RATE,
            transcriber=ears.open() if ears else None,
            stays=not sounds,
            on_sentence=on_sentence,
        )

    return make


@asynccontextmanager
async def local_voice(*, needed: bool) -> AsyncIterator[Connection | None]:
    """The local vendor, or ``None`` where it is not installed and not ``needed``."""
    vendor = find_vendor("local")
    missing = vendor.missing()
    if missing and not needed:
        yield None
        return
    connection = vendor.connect()
    try:
        yield connection
    finally:
        await connection.stop()


async def spoken(speech: Speech, voice: Connection | None) -> list[bytes]:
    """The sound of what is to be said, s16le mono at ``SPEECH_RATE``."""
    if speech.wav is not None:
        try:
            audio = await asyncio.to_thread(wav.read, speech.wav)
        except wav.WavError as error:
            raise InvalidRequest(f"{speech.wav}: {error}.", field="--wav") from error
        return [_resampled(audio.pcm, audio.sample_rate)]
    if voice is None or not speech.sentences:
        return []
    tts = voice.text_to_speech({}, "en")
    return [
        _resampled(b"".join([chunk async for chunk in tts.synthesize(text)]), tts.sample_rate)
        for text in speech.sentences
    ]


def _resampled(pcm: bytes, rate: int) -> bytes:
    resampler = Resampler(rate, SPEECH_RATE)
    return resampler.process(pcm) + resampler.flush()


def _news(news: str) -> None:
    out.print(f"[dim]  {escape(news)}[/]")


ENDINGS = {
    EndReason.CALLER_HANGUP: "the other side hung up",
    EndReason.AGENT_HANGUP: "you hung up",
    EndReason.MEDIA_TIMEOUT: "no sound came for a while",
}
"""The gateway's words for an end, as they read from the softphone's side of the line."""

UNREACHABLE = "Nobody answers SIP there. Is it running, and on that port? sip:user@host:port"


def _tell(result: CallResult) -> None:
    cause = result.cause
    ending = ENDINGS.get(cause.reason, cause.reason.value.replace("_", " "))
    code = f" (SIP {cause.sip_code} {cause.text})" if cause.sip_code else f" ({cause.text})"
    out.print(
        f"{'Ended' if result.answered else 'Not answered'}: [bold]{ending}[/]"
        + (escape(code) if cause.sip_code or cause.text else "")
    )
    if result.answered:
        out.print(quality(result.report))
    elif cause.reason is EndReason.NETWORK_ERROR:
        out.print(UNREACHABLE)


def quality(report: SessionReport) -> str:
    """One line on how the call sounded."""
    expected = report.packets_received + report.packets_lost
    loss = 100 * report.packets_lost / expected if expected else 0.0
    trip = f", round trip {report.round_trip_ms:.0f} ms" if report.round_trip_ms else ""
    recording = f"\nRecording: {report.recording}" if report.recording else ""
    return (
        f"Quality: {report.packets_received} packets in, {report.packets_sent} out, "
        f"{loss:.1f} % lost, jitter {report.jitter_ms:.1f} ms{trip}{recording}"
    )
