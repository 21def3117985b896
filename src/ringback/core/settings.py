"""The settings: ``RINGBACK_*`` in the environment or ``.env``, or ``--flags`` of the same names.

A flag wins over the environment, which wins over ``.env``. Every fault is a
:class:`~ringback.core.errors.StartupError` whose message has one sentence per bad value. The
table in ``docs/settings.md`` is generated from the fields below (``tools/settings_table.py``).
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import NoDecode, SettingsConfigDict

from ringback.core.errors import StartupError
from ringback.core.guard_settings import GuardSettings

PREFIX = "RINGBACK_"
DEFAULT_ENV_FILE = Path(".env")
_SERVER_NAME = re.compile(r"[A-Za-z0-9._-]+")
API_KEY_MIN_LENGTH = 16
DNS_PORT = 53
STUN_PORT = 3478
AUTO: Literal["auto"] = "auto"
FEWEST_PAIRS = 8
"""Pairs of RTP ports that a media worker has for its own."""
MOST_AUTO_WORKERS = 4
MOST_WORKERS = 64


@dataclass(frozen=True, slots=True)
class PortRange:
    """UDP ports for media, both ends included: RTP on an even port, RTCP on the next odd one."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """``"10000-20000"``. Raises :class:`ValueError` with a sentence's predicate."""
        low, dash, high = text.strip().partition("-")
        if not dash or not _is_number(low) or not _is_number(high):
            raise ValueError("must look like 10000-20000")
        first, last = int(low), int(high)
        if first < 1024 or last > 65535:
            raise ValueError("must lie between 1024 and 65535")
        if first >= last:
            raise ValueError("must start with its lower port")
        if first % 2:
            raise ValueError(
                f"must start with an even port, because RTP uses even ports "
                f"({first - 1} or {first + 1} would do)"
            )
        return cls(first, last)

    def split(self, parts: int) -> tuple[PortRange, ...]:
        """``parts`` ranges, or as many as get :data:`FEWEST_PAIRS` pairs each, at least one."""
        pairs = self.rtp_ports
        parts = max(1, min(parts, len(pairs) // FEWEST_PAIRS))
        ends = [pairs.start + 2 * (len(pairs) * part // parts) for part in range(parts + 1)]
        return tuple(PortRange(first, end - 1) for first, end in itertools.pairwise(ends))

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    @property
    def rtp_ports(self) -> range:
        """The even ports whose odd neighbour is in the range too."""
        return range(self.first, self.last, 2)


@dataclass(frozen=True, slots=True)
class HostPort:
    """A server: a host name or an IP literal (IPv6 without brackets) and its port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, default_port: int) -> Self:
        """``host``, ``host:port`` or ``[v6]:port``. Raises :class:`ValueError`."""
        text = text.strip()
        if text.startswith("["):
            host, closed, rest = text[1:].partition("]")
            if not closed or (rest and not rest.startswith(":")):
                raise ValueError("must look like [2001:db8::1]:3478")
            port = rest[1:]
        elif text.count(":") > 1:
            host, port = text, ""
        else:
            host, _, port = text.partition(":")
        if _SERVER_NAME.fullmatch(host) is None and not _is_ipv6(host):
            raise ValueError("must look like stun.example.com:3478")
        if not port:
            return cls(host, default_port)
        if not _is_number(port) or not 0 < int(port) < 65536:
            raise ValueError("must end in a port between 1 and 65535")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _complaint(text: str) -> PydanticCustomError:
    return PydanticCustomError("setting", "{complaint}", {"complaint": text})


def _workers(value: object) -> object:
    if value == AUTO or (isinstance(value, int) and 0 <= value <= MOST_WORKERS):
        return value
    if isinstance(value, str) and _is_number(value.strip()) and int(value) <= MOST_WORKERS:
        return int(value)
    raise _complaint(f"must be auto or a number from 0 to {MOST_WORKERS}")


def _port_range(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return PortRange.parse(value)
    except ValueError as error:
        raise _complaint(str(error)) from None


def _stun_server(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return HostPort.parse(value, STUN_PORT)
    except ValueError as error:
        raise _complaint(str(error)) from None


def _dns_servers(value: object) -> object:
    if not isinstance(value, str):
        return value
    servers = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            server = HostPort.parse(part, DNS_PORT)
            ipaddress.ip_address(server.host)
        except ValueError:
            raise _complaint(
                "must be IP addresses with or without a port, such as 192.0.2.53,198.51.100.1:5353"
            ) from None
        servers.append(server)
    return tuple(servers)


def _ip_address(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return str(ipaddress.ip_address(value.strip().strip("[]")))
    except ValueError:
        raise _complaint("must be an IP address, such as 203.0.113.7 (not a host name)") from None


def _key_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _api_key(value: object) -> object:
    key = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(key, str):
        if len(key) < API_KEY_MIN_LENGTH:
            raise _complaint(f"must have at least {API_KEY_MIN_LENGTH} characters")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise _complaint("must be printable ASCII without spaces, as it travels in a header")
    return value


def _readable_file(value: object) -> object:
    if isinstance(value, str | Path) and not os.access(value, os.R_OK):
        raise _complaint(f"names {value}, which is no readable file")
    return value


Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(GuardSettings):
    """What the operator decides. Build it with :func:`load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        env_file_encoding="utf-8",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    data_dir: Path = Field(
        Path("data"), description="Folder for the database, the secret key and the recordings."
    )
    http_host: str = Field("0.0.0.0", description="Address that the HTTP API listens on.")
    http_port: Port = Field(8080, description="Port of the HTTP API; 0 takes a free one.")
    sip_host: str = Field("0.0.0.0", description="Address that SIP listens on.")
    sip_port: Port = Field(5060, description="SIP port, UDP and TCP; 0 takes a free one.")
    sip_tls_port: Port | None = Field(
        None, description="SIP over TLS port, usually 5061; unset: no TLS listener."
    )
    sip_tls_cert: Annotated[Path | None, BeforeValidator(_readable_file)] = Field(
        None, description="Certificate chain (PEM) of the TLS listener."
    )
    sip_tls_key: Annotated[Path | None, BeforeValidator(_readable_file)] = Field(
        None, description="Private key (PEM) of the TLS listener."
    )
    sip_tls_ca: Annotated[Path | None, BeforeValidator(_readable_file)] = Field(
        None,
        description="PEM file with further authorities that a trunk's TLS certificate may come "
        "from, such as a PBX's own.",
    )
    rtp_ports: Annotated[PortRange, NoDecode, BeforeValidator(_port_range)] = Field(
        PortRange(10000, 20000),
        description="UDP ports for media, two per call; open them in the firewall.",
    )
    external_ip: Annotated[str | None, BeforeValidator(_ip_address)] = Field(
        None, description="Public IP address of this node; unset: found by STUN or by the route."
    )
    stun_server: Annotated[HostPort | None, NoDecode, BeforeValidator(_stun_server)] = Field(
        None, description="STUN server (host:port) that tells the public address; unset: not asked."
    )
    database_url: SecretStr | None = Field(
        None,
        description="sqlite:///… or postgresql://user:password@host/name; "
        "unset: ringback.db in the data folder.",
    )
    dns_servers: Annotated[tuple[HostPort, ...], NoDecode, BeforeValidator(_dns_servers)] = Field(
        (),
        description="The name servers that are asked for SIP servers, as addresses with commas "
        "between. Empty: those of the system.",
    )
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_key_list)] = Field(
        (),
        description="Fernet keys, separated by commas: the first encrypts, all decrypt; "
        "unset: secret.key in the data folder, made at first start.",
    )
    api_key: Annotated[SecretStr | None, BeforeValidator(_api_key)] = Field(
        None,
        description="API key that the owner account gets at first start "
        "(at least 16 characters); unset: one is made and shown once.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = (
        Field("info", description="debug, info, warning or error.")
    )
    log_json: bool = Field(False, description="Log one JSON object per line.")
    sip_trace: bool = Field(
        True, description="Keep the SIP messages of each call with it, without their secrets."
    )
    demo_agent: bool = Field(True, description="Let the demo agent answer sip:demo@<host>.")
    demo_max_calls: int = Field(
        100, ge=0, le=100_000, description="Calls that the demo agent holds at once."
    )
    ring_timeout: float = Field(
        60.0, ge=1, le=600, description="Seconds until an unanswered inbound call is missed."
    )
    session_expires: int = Field(
        1800,
        ge=0,
        le=86_400,
        description="Seconds until a call that nobody refreshes is over (RFC 4028), asked of every "
        "phone and provider; a peer may have no fewer than 90. 0: calls are not refreshed.",
    )
    media_timeout: float = Field(
        60.0, ge=1, le=3600, description="Seconds without audio packets until a call is ended."
    )
    hold_music: Path | None = Field(
        None, description="WAV file that held people hear; unset: a tune of Ringback's own."
    )
    recording: bool = Field(
        True, description="Record calls. A call that is placed may ask for it, or for none."
    )
    shutdown_grace: float = Field(
        10.0, ge=0, le=3600, description="Seconds that live calls are given when the node stops."
    )
    media_workers: Annotated[int | Literal["auto"], NoDecode, BeforeValidator(_workers)] = Field(
        AUTO,
        description="Processes that carry audio beside the one that controls calls; 0: that one "
        f"carries it. auto: one per core, {MOST_AUTO_WORKERS} at most, and 0 on a single core.",
    )
    max_calls: int = Field(
        1000, ge=1, le=100_000, description="Calls that this node carries at once."
    )
    load_limit: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share of a processor, used or waited for, from which on new calls get 503 so "
        "that live ones keep their audio; from half of it on they do while the audio clock is "
        "late. 0: never.",
    )

    def media_worker_count(self, cores: int) -> int:
        """How many media workers a node on ``cores`` cores has."""
        if self.media_workers != AUTO:
            return self.media_workers
        return min(cores, MOST_AUTO_WORKERS) if cores > 1 else 0

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if self.sip_tls_port is not None:
            for name, value in (("CERT", self.sip_tls_cert), ("KEY", self.sip_tls_key)):
                if value is None:
                    raise _complaint(
                        f"{PREFIX}SIP_TLS_PORT needs {PREFIX}SIP_TLS_{name}, "
                        f"the path of a PEM file."
                    )
        return self

    @property
    def resolved_database_url(self) -> str:
        """``DATABASE_URL``, or the SQLite file in the data folder. May hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'ringback.db'}"

    @property
    def recordings_dir(self) -> Path:
        return self.data_dir / "recordings"


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One line of the settings table."""

    name: str
    """The environment variable, ``RINGBACK_HTTP_PORT``."""
    flag: str
    """The command line flag, ``--http-port``."""
    default: str
    """As one would write it; empty where there is none."""
    meaning: str


def settings_table() -> list[SettingRow]:
    """Every setting in the order of the fields, those of the guards last."""
    ordered = sorted(
        Settings.model_fields.items(), key=lambda f: f[0] in GuardSettings.model_fields
    )
    return [
        SettingRow(
            name=variable_name(field),
            flag=flag_name(field),
            default=_written(info.get_default()),
            meaning=info.description or "",
        )
        for field, info in ordered
    ]


def variable_name(field: str) -> str:
    return PREFIX + field.upper()


def flag_name(field: str) -> str:
    return "--" + field.replace("_", "-")


def _written(default: object) -> str:
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, float):
        return f"{default:g}"
    return str(default)


def load_settings(
    overrides: Mapping[str, object] | None = None, *, env_file: Path | None = DEFAULT_ENV_FILE
) -> Settings:
    """The settings from ``overrides`` (field name to text or value; ``None`` means not given),
    the environment and ``env_file``, in this order of precedence.

    Raises :class:`StartupError` for an unknown ``RINGBACK_*`` name or override, and for bad
    values: one sentence each.
    """
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    in_file = _read_env_file(env_file)
    complaints = _unknown_names(given, in_file)
    values: dict[str, Any] = {
        **{name: value for name, value in in_file.items() if not _in_environment(name)},
        **given,
    }
    known = {name: value for name, value in values.items() if name in Settings.model_fields}
    try:
        settings = Settings(**known)
    except ValidationError as error:
        complaints += [_sentence(detail, given) for detail in error.errors(include_url=False)]
    if complaints:
        raise StartupError(
            " ".join(complaints),
            code="bad_settings",
            hint="All settings are described in docs/settings.md.",
        )
    return settings


def _read_env_file(path: Path | None) -> dict[str, str]:
    """The ``RINGBACK_*`` lines of the file, by field name; other names are left alone."""
    if path is None or not path.exists():
        return {}
    try:
        lines = dotenv_values(path, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"The file {path} cannot be read: {error}.") from error
    return {
        name.upper().removeprefix(PREFIX).lower(): value
        for name, value in lines.items()
        if name.upper().startswith(PREFIX) and value
    }


def _in_environment(field: str) -> bool:
    return any(os.environ[name] for name in os.environ if name.upper() == variable_name(field))


def _unknown_names(given: Mapping[str, object], in_file: Mapping[str, str]) -> list[str]:
    in_environment = [
        name.upper().removeprefix(PREFIX).lower()
        for name in os.environ
        if name.upper().startswith(PREFIX)
    ]
    unknown = [
        variable_name(field)
        for field in dict.fromkeys([*in_environment, *in_file])
        if field not in Settings.model_fields
    ]
    unknown += [flag_name(field) for field in given if field not in Settings.model_fields]
    return [_unknown_sentence(name) for name in unknown]


def _unknown_sentence(name: str) -> str:
    spell = flag_name if name.startswith("--") else variable_name
    field = name.removeprefix("--").removeprefix(PREFIX).replace("-", "_").lower()
    close = get_close_matches(field, Settings.model_fields, n=1)
    remedy = f"did you mean {spell(close[0])}?" if close else "see docs/settings.md."
    return f"There is no setting {name}: {remedy}"


def _sentence(detail: ErrorDetails, given: Mapping[str, object]) -> str:
    if not detail["loc"]:
        return detail["msg"]
    field = str(detail["loc"][0])
    name = flag_name(field) if field in given else variable_name(field)
    predicate = detail["msg"] if detail["type"] == "setting" else _predicate(detail)
    return f"{name} {predicate}."


def _predicate(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number"
        case "float_parsing" | "float_type":
            return "must be a number"
        case "bool_parsing" | "bool_type":
            return "must be true or false"
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}"
        case "less_than_equal":
            return f"must be at most {context['le']:g}"
        case "literal_error":
            return f"must be {context['expected']}"
        case _:
            return f"is not valid: {detail['msg']}"
