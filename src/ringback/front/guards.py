"""The guards as the settings have them, with their metrics."""

from __future__ import annotations

from ringback.connectors.sip.guard import Doorlist, SipGuard
from ringback.core.clock import Clock
from ringback.core.database import Database
from ringback.core.metrics import Metrics
from ringback.core.settings import Settings
from ringback.core.time_zones import time_zone
from ringback.front.node_metrics import show_counters
from ringback.net.source_guard import GuardRules, SourceGuard
from ringback.telephony.outbound_limits import DialLimits, NodeLimits
from ringback.telephony.usage import UsageBook

OFF = "RINGBACK_GUARD is off: scanners and floods are not kept out."


def sip_guard(settings: Settings, clock: Clock, metrics: Metrics, doorlist: Doorlist) -> SipGuard:
    """What stands before the SIP stack."""
    rules = GuardRules(
        enabled=settings.guard,
        rate=settings.guard_rate,
        burst=settings.guard_burst,
        total_rate=settings.guard_total_rate,
        trunk_rate=settings.guard_trunk_rate,
        trunk_burst=max(1, round(settings.guard_trunk_rate)),
        offences=settings.guard_offences,
        first_ban=settings.guard_ban,
        exempt=settings.guard_exempt,
    )
    guard = SipGuard(
        SourceGuard(rules),
        doorlist,
        clock,
        calls_per_source=settings.demo_calls_per_source,
        scanners=settings.guard_scanners,
    )
    show_counters(metrics, "guard", "Strangers that send SIP.", guard.counters)
    show_counters(metrics, "guard_offences", "What strangers did.", guard.offences, "offence")
    metrics.gauge_from("guard_banned_sources", "Bans in force.", lambda: guard.banned_now)
    return guard


def dial_limits(
    settings: Settings, clock: Clock, metrics: Metrics, database: Database
) -> DialLimits:
    """What every call out, and every call of a trunk in, has to pass."""
    refused = metrics.counter(
        "limits_refused", "Calls that a limit or a destination rule refused.", ["code"]
    )
    limits = NodeLimits(
        account_calls=settings.outbound_max_calls,
        account_calls_per_second=settings.outbound_calls_per_second,
        account_calls_per_day=settings.outbound_calls_per_day,
        account_cost_per_day=settings.outbound_cost_per_day,
        trunk_calls=settings.trunk_max_calls,
        trunk_inbound_calls=settings.trunk_max_inbound_calls,
        denied_prefixes=settings.outbound_denied_prefixes,
        day_zone=time_zone(settings.outbound_time_zone),
    )
    return DialLimits(limits, UsageBook(database), clock, lambda code: refused.labels(code).inc())
