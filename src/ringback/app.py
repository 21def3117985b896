"""The composition root: the only place that builds and wires objects. Read it from the top.

``build`` gives an :class:`Application`; ``start`` brings its parts up in the order in which they
need each other, and ``stop`` takes them down in the reverse order, after the calls.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field

import structlog

from ringback import __version__
from ringback.accounts.models import OWNER_ACCOUNT_ID
from ringback.accounts.service import AccountService, OwnerSetup
from ringback.agents.models import DEMO_AGENT_ID
from ringback.agents.service import AgentService
from ringback.calls.agent_profiles import AgentProfiles
from ringback.calls.assembly import CallControl, CallLimits
from ringback.calls.background import Background
from ringback.calls.ports import Platform
from ringback.connectors.contract import CallConnector
from ringback.connectors.sip.connector import SipConnector
from ringback.connectors.sip.guard import SipGuard
from ringback.connectors.sip.stack import SipStack
from ringback.connectors.sip.trace import TraceBook
from ringback.core.bus import LocalBus
from ringback.core.clock import Clock, SystemClock
from ringback.core.database import Database
from ringback.core.errors import RingbackError
from ringback.core.load_watch import LoadWatch
from ringback.core.metrics import Metrics
from ringback.core.secrets import open_secret_box
from ringback.core.settings import Settings
from ringback.front.account import Speech
from ringback.front.addresses import bracketed, hosts_of, ip_literal
from ringback.front.data_folder import DataFolder
from ringback.front.guards import OFF, dial_limits, sip_guard
from ringback.front.listener import HttpListener
from ringback.front.node_metrics import show_counters, show_sip
from ringback.front.stream_door import StreamDoor
from ringback.front.web import Services, web
from ringback.media.local_plane import NATIVE_SAMPLE_RATE, LocalMediaPlane
from ringback.media.pacer import PacerCounters
from ringback.media.plane import MediaPlane
from ringback.media.quality_metrics import QualityMetrics
from ringback.media.worker import spawn
from ringback.media.worker_messages import Configure, Figures
from ringback.media.worker_plane import WorkerPlane
from ringback.media_process import build_media
from ringback.net.public_address import PublicAddress
from ringback.net.resolver import Resolver
from ringback.net.rtp_ports import RtpPorts
from ringback.net.sip_transport import Listen, SipTransportConfig
from ringback.sip.endpoint import SipEndpoint
from ringback.sip.endpoint_config import EndpointConfig
from ringback.sip.session_timer import DEFAULT_MINIMUM
from ringback.telephony.routing import DemoLine
from ringback.telephony.service import Telephony
from ringback.telephony.sip_directory import TrunkDirectory
from ringback.voice.factory import VoiceStatus, available, build_voice_factory

DISCOVERY_SECONDS = 300.0
"""Between two questions to the STUN server."""
READY_SECONDS = 2.0
"""How long the database may take to answer before the node is not ready."""
SIP_PORT = 5060

log = structlog.stdlib.get_logger(__name__)


# ---- what a test may replace ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Foundation:
    """What every part is built on."""

    settings: Settings
    clock: Clock
    database: Database
    bus: LocalBus
    metrics: Metrics
    load: LoadWatch


@dataclass(frozen=True, slots=True)
class PhoneStack:
    """A connector for phone calls, the ports that it took once it runs, and its guard."""

    connector: CallConnector
    addresses: PublicAddress
    guard: SipGuard | None = None


MakePlane = Callable[[Foundation, AsyncExitStack], MediaPlane]
MakePhone = Callable[[Foundation, Telephony, MediaPlane], PhoneStack]


def media_plane(foundation: Foundation, exits: AsyncExitStack) -> MediaPlane:
    """Media in this process or in workers, as the settings say."""
    cores = len(os.sched_getaffinity(0))
    count = foundation.settings.media_worker_count(cores)
    if count:
        return worker_plane(foundation, exits, count)
    return local_plane(foundation, exits)


def local_plane(foundation: Foundation, exits: AsyncExitStack) -> MediaPlane:
    """Media in this process, with the hosted voices beside it."""
    metrics = foundation.metrics
    observe = QualityMetrics(metrics).observe
    media = build_media(foundation.settings.rtp_ports, foundation.clock, observe)
    exits.push_async_callback(media.voices.stop)
    clock = media.pacer.counters
    foundation.load.follow_audio(lambda: (clock.slots, clock.late))
    _show_media(
        metrics,
        media.plane,
        lambda: clock,
        lambda: media.ports.counters.in_use,
    )
    return media.plane


def worker_plane(foundation: Foundation, exits: AsyncExitStack, count: int) -> MediaPlane:
    """Media, and the hosted voices beside it, in ``count`` processes of their own."""
    settings, metrics = foundation.settings, foundation.metrics
    voices = build_voice_factory()
    exits.push_async_callback(voices.stop)
    configurations = [
        Configure(f"media-{number}", ports.first, ports.last, settings.log_level, settings.log_json)
        for number, ports in enumerate(settings.rtp_ports.split(count), 1)
    ]
    plane = WorkerPlane(
        configurations, spawn, check_voice=voices.check, observe=QualityMetrics(metrics).observe
    )

    def account(name: str, figures: Figures) -> None:
        clock = figures.pacer
        load = foundation.load
        load.account(name, figures.cpu, figures.waiting, clock.slots, clock.late)

    plane.on_figures(account)
    _show_media(metrics, plane, plane.pacer_counters, plane.ports_in_use)
    show_counters(
        metrics, "media_workers", "Processes that carry audio.", lambda: asdict(plane.workers)
    )
    metrics.gauge_from("media_workers_ready", "Media workers that run.", plane.ready_workers)
    return plane


def _show_media(
    metrics: Metrics,
    plane: LocalMediaPlane | WorkerPlane,
    pacer: Callable[[], PacerCounters],
    ports: Callable[[], int],
) -> None:
    show_counters(metrics, "media", "Media of all calls.", lambda: asdict(plane.counters()))
    show_counters(metrics, "pacer", "The 20 ms clock.", lambda: asdict(pacer()))
    metrics.gauge_from("rtp_ports_in_use", "RTP port pairs in use.", ports)
    metrics.gauge_from("media_sessions", "Sessions that are open.", lambda: len(plane))


def sip_phone(foundation: Foundation, telephony: Telephony, plane: MediaPlane) -> PhoneStack:
    """SIP over UDP, TCP and, with a certificate, TLS."""
    settings, clock = foundation.settings, foundation.clock
    host = ip_literal(settings.sip_host)
    stun = settings.stun_server
    addresses = PublicAddress(
        clock=clock,
        bind_host=host,
        external_ip=settings.external_ip,
        stun_server=(stun.host, stun.port) if stun else None,
    )
    endpoint = SipEndpoint(
        EndpointConfig(
            user_agent=f"Ringback {__version__}",
            transfers=True,
            session_expires=settings.session_expires,
            min_se=min(DEFAULT_MINIMUM, settings.session_expires),
        ),
        addresses,
        lambda: secrets.token_hex(8),
        random.SystemRandom().random,
    )
    listen = [Listen("udp", host, settings.sip_port), Listen("tcp", host, settings.sip_port)]
    if settings.sip_tls_port is not None:
        listen.append(Listen("tls", host, settings.sip_tls_port))
    config = SipTransportConfig(
        tuple(listen),
        tls_certificate=settings.sip_tls_cert,
        tls_key=settings.sip_tls_key,
        tls_ca_file=settings.sip_tls_ca,
    )
    trace = TraceBook(addresses, clock.now) if settings.sip_trace else None
    directory = TrunkDirectory(telephony)
    guard = sip_guard(settings, clock, foundation.metrics, directory)
    connector = SipConnector(
        SipStack(endpoint, config, addresses, clock),
        _resolver(settings, clock),
        directory,
        plane,
        host,
        trace,
        guard,
    )
    show_sip(foundation.metrics, connector, trace)
    return PhoneStack(connector, addresses, guard)


def _resolver(settings: Settings, clock: Clock) -> Resolver:
    servers = [(server.host, server.port) for server in settings.dns_servers]
    return Resolver(clock=clock, nameservers=servers or None)


# ---- the application ------------------------------------------------------------------------


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    make_plane: MakePlane = media_plane,
    make_phone: MakePhone = sip_phone,
) -> Application:
    """The application for ``settings``; nothing is opened or bound before ``start``."""
    return Application(settings, clock or SystemClock(), make_plane, make_phone)


@dataclass(slots=True)
class _Running:
    """What there is only while the application runs."""

    control: CallControl
    phone: PhoneStack
    listener: HttpListener
    owner: OwnerSetup
    voice: VoiceStatus
    load: LoadWatch
    warnings: list[str] = field(default_factory=list)


class Application:
    """One node. Prints nothing: what there is to tell is in its properties."""

    def __init__(
        self, settings: Settings, clock: Clock, make_plane: MakePlane, make_phone: MakePhone
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._make_plane = make_plane
        self._make_phone = make_phone
        self._exits = AsyncExitStack()
        self._background = Background()
        self._running: _Running | None = None

    async def start(self) -> None:
        """Come up. Raises ``StartupError`` (one sentence that names the setting) when something
        that is needed cannot be had; nothing is left behind then."""
        try:
            self._running = await self._start()
        except BaseException:
            await self._exits.aclose()
            raise
        log.info("started", http_port=self.http_port, version=__version__)

    async def _start(self) -> _Running:
        folder = DataFolder(self.settings.data_dir, self.settings.recordings_dir)
        folder.open()
        self._exits.callback(folder.close)
        foundation = await self._lay_foundation()
        accounts, agents, telephony, owner = await self._load(foundation)

        voice = await asyncio.to_thread(available)
        plane = self._make_plane(foundation, self._exits)
        self._exits.push_async_callback(plane.stop)
        await plane.start()
        profiles = AgentProfiles(
            agents, lambda: voice.hosted_stt and voice.hosted_tts, self.settings.demo_max_calls
        )
        await profiles.load()
        control = self._call_control(foundation, folder, profiles, plane)
        await control.start()
        self._exits.push_async_callback(control.stop)

        phone = self._make_phone(foundation, telephony, control.media)
        await phone.addresses.discover()
        control.service.add_platform(Platform(phone.connector, NATIVE_SAMPLE_RATE))
        self._exits.push_async_callback(phone.connector.stop)

        services = Services(
            accounts=accounts,
            agents=agents,
            telephony=telephony,
            calls=control.service,
            idempotency=control.idempotency,
            guard=phone.guard or self._idle_guard(foundation, telephony),
            bus=foundation.bus,
            metrics=foundation.metrics,
            readiness=lambda: self._problems(foundation, control),
            speech=lambda: Speech(voice.hosted_stt, voice.hosted_tts),
        )
        door = StreamDoor(accounts, control.service)
        listener = HttpListener(
            self.settings.http_host, self.settings.http_port, web(services), door
        )
        await listener.bind()
        self._exits.push_async_callback(listener.stop)
        await phone.connector.start(control.service.sink)
        await listener.start()
        foundation.load.start()
        self._exits.callback(foundation.load.stop)

        self._exits.push_async_callback(self._background.finish, 0)
        self._background.spawn(accounts.run(), "key-usage")
        self._background.spawn(_keep_discovering(phone.addresses), "public-address")
        running = _Running(control, phone, listener, owner, voice, foundation.load)
        running.warnings = self._warnings(running)
        return running

    async def _lay_foundation(self) -> Foundation:
        box = open_secret_box(self.settings.secret_keys, self.settings.data_dir)
        database = Database(self.settings.resolved_database_url, box)
        self._exits.push_async_callback(database.dispose)
        await database.upgrade_to_head()
        await database.check()
        bus, metrics = LocalBus(), Metrics()
        self._exits.push_async_callback(bus.close)
        metrics.gauge_from("bus_lost_events", "Events that slow listeners lost.", lambda: bus.lost)
        load = LoadWatch(self.settings.load_limit, self._clock, metrics)
        return Foundation(self.settings, self._clock, database, bus, metrics, load)

    async def _load(
        self, foundation: Foundation
    ) -> tuple[AccountService, AgentService, Telephony, OwnerSetup]:
        database, clock = foundation.database, foundation.clock
        key = self.settings.api_key
        accounts = await AccountService.open(database, clock)
        self._exits.push_async_callback(accounts.flush_usage)
        owner = await accounts.ensure_owner(key.get_secret_value() if key else None)
        agents = AgentService(database, clock)
        await agents.ensure_demo_agent(owner.account_id)
        demo = None
        if self.settings.demo_agent:
            demo = DemoLine(OWNER_ACCOUNT_ID, DEMO_AGENT_ID)
        limits = dial_limits(self.settings, clock, foundation.metrics, database)
        self._exits.push_async_callback(limits.stop)
        telephony = Telephony(database, clock, foundation.bus, agents, demo, limits)
        await telephony.load()
        return accounts, agents, telephony, owner

    def _idle_guard(self, foundation: Foundation, telephony: Telephony) -> SipGuard:
        """For a phone that brings none: nothing is banned."""
        doorlist = TrunkDirectory(telephony)
        return sip_guard(self.settings, self._clock, foundation.metrics, doorlist)

    def _call_control(
        self,
        foundation: Foundation,
        folder: DataFolder,
        profiles: AgentProfiles,
        plane: MediaPlane,
    ) -> CallControl:
        settings = self.settings
        return CallControl(
            node_id=folder.node_id,
            database=foundation.database,
            bus=foundation.bus,
            plane=plane,
            agents=profiles,
            clock=self._clock,
            metrics=foundation.metrics,
            data_dir=settings.data_dir,
            recordings_dir=settings.recordings_dir,
            limits=CallLimits(
                settings.ring_timeout,
                settings.media_timeout,
                settings.max_calls,
                str(settings.hold_music) if settings.hold_music is not None else None,
                settings.recording,
            ),
            load=foundation.load,
        )

    async def stop(self) -> None:
        """Refuse new calls (503), give live ones ``SHUTDOWN_GRACE`` and hang up on the rest,
        complete the records, and close everything. Twice is once."""
        running, self._running = self._running, None
        if running is not None:
            await running.control.service.drain(self.settings.shutdown_grace)
        await self._exits.aclose()
        log.info("stopped")

    # ---- what there is to tell --------------------------------------------------------------

    @property
    def http_port(self) -> int:
        return self._now.listener.port

    @property
    def docs_url(self) -> str:
        return f"http://{bracketed(hosts_of(self.settings.http_host)[0])}:{self.http_port}/docs"

    @property
    def demo_uris(self) -> list[str]:
        """Where to call the demo agent; empty when it is switched off."""
        if not self.settings.demo_agent:
            return []
        port = self._now.phone.addresses.ports.get("udp", SIP_PORT)
        shown = "" if port == SIP_PORT else f":{port}"
        hosts = hosts_of(ip_literal(self.settings.sip_host))
        return [f"sip:demo@{bracketed(host)}{shown}" for host in hosts]

    @property
    def first_api_key(self) -> str | None:
        """The owner's key: only at the first start, and only where none was configured."""
        return self._now.owner.new_key if self.settings.api_key is None else None

    @property
    def warnings(self) -> list[str]:
        """What an operator should know, one sentence each."""
        return self._now.warnings

    @property
    def live_calls(self) -> int:
        return self._now.control.registry.live

    @property
    def load(self) -> LoadWatch:
        return self._now.load

    async def call_released(self, call_id: str) -> None:
        """Return when the call is over and its recording and record are complete."""
        await self._now.control.service.released(call_id)

    @property
    def _now(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the application does not run")
        return self._running

    def _warnings(self, running: _Running) -> list[str]:
        warnings = []
        if not self.settings.guard:
            warnings.append(OFF)
        if running.owner.configured_key_unknown:
            warnings.append(
                "RINGBACK_API_KEY is not a key of this node: it counts at the first start only."
            )
        for vendor in running.voice.vendors:
            if vendor.missing:
                warnings.append(f"Hosted agents cannot talk: {vendor.missing}.")
            elif vendor.caution:
                warnings.append(vendor.caution)
        if running.phone.addresses.stun_failure:
            warnings.append(f"STUN: {running.phone.addresses.stun_failure}")
        ports = self.settings.rtp_ports
        warnings += RtpPorts(ports.first, ports.last, clock=SystemClock()).probe()
        return warnings

    async def _problems(self, foundation: Foundation, control: CallControl) -> dict[str, str]:
        problems = {}
        try:
            async with asyncio.timeout(READY_SECONDS):
                await foundation.database.check()
        except TimeoutError:
            problems["database"] = f"No answer within {READY_SECONDS:g} s."
        except RingbackError as error:
            problems["database"] = error.message
        if (trouble := control.media.problem()) is not None:
            problems["media"] = trouble
        if control.journal.overloaded:
            problems["journal"] = "The database cannot keep up with the calls."
        if foundation.load.busy:
            problems["load"] = "There is no processor time left for another call."
        if control.service.draining:
            problems["calls"] = "The node is shutting down."
        return problems


async def _keep_discovering(addresses: PublicAddress) -> None:
    """Ask for our public address now and then; for ever."""
    while True:
        await asyncio.sleep(DISCOVERY_SECONDS)
        if await addresses.discover():
            log.info("public_address_changed", address=addresses.external_ip)
