"""The four transaction machines of RFC 3261 section 17, corrected by RFC 6026.

Everything that affects a transition is in this file: ``steps`` says what an input does in a
state, ``timers`` which timers run while the machine is in a state. Entering a state starts the
timers that it names and leaving it stops those that the next one does not name. An input that
has no step means nothing in that state and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from ringback.sip.timers import TRYING_DELAY, Timers


class TransactionState(StrEnum):
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class TransactionInput(StrEnum):
    # to a client
    RECEIVED_1XX = "1xx"
    RECEIVED_2XX = "2xx"
    RECEIVED_300_699 = "300-699"
    # to a server: the same request again, the ACK, and what the user sends
    RECEIVED_REQUEST = "request"
    RECEIVED_ACK = "ack"
    SENT_1XX = "send 1xx"
    SENT_2XX = "send 2xx"
    SENT_300_699 = "send 300-699"
    TRANSPORT_ERROR = "transport error"
    TIMER_A = "timer A"
    TIMER_B = "timer B"
    TIMER_D = "timer D"
    TIMER_E = "timer E"
    TIMER_F = "timer F"
    TIMER_G = "timer G"
    TIMER_H = "timer H"
    TIMER_I = "timer I"
    TIMER_J = "timer J"
    TIMER_K = "timer K"
    TIMER_L = "timer L"
    TIMER_M = "timer M"
    TIMER_100 = "timer 100"
    """200 ms without a response to an INVITE; the RFC gives it no letter."""


class Action(StrEnum):
    SEND = "send"
    """The request; or the response, the one given or else the last one again."""
    SEND_ACK = "send ack"
    SEND_100 = "send 100"
    DELIVER = "deliver"
    """Pass the message up to the transaction user."""
    REPORT_TIMEOUT = "report timeout"
    REPORT_ERROR = "report error"
    REPORT_END = "report end"
    """Tell the user of an accepted INVITE that it may forget about it."""


@dataclass(frozen=True, slots=True)
class Step:
    state: TransactionState
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    name: str
    initial: TransactionState
    steps: MappingProxyType[tuple[TransactionState, TransactionInput], Step]
    timers: MappingProxyType[TransactionState, tuple[TransactionInput, ...]]


_S = TransactionState
_I = TransactionInput
_A = Action

INVITE_CLIENT = Machine(
    "INVITE client",
    _S.CALLING,
    MappingProxyType(
        {
            (_S.CALLING, _I.TIMER_A): Step(_S.CALLING, (_A.SEND,)),
            (_S.CALLING, _I.TIMER_B): Step(_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
            (_S.CALLING, _I.TRANSPORT_ERROR): Step(_S.TERMINATED, (_A.REPORT_ERROR,)),
            (_S.CALLING, _I.RECEIVED_1XX): Step(_S.PROCEEDING, (_A.DELIVER,)),
            (_S.CALLING, _I.RECEIVED_2XX): Step(_S.ACCEPTED, (_A.DELIVER,)),
            (_S.CALLING, _I.RECEIVED_300_699): Step(_S.COMPLETED, (_A.SEND_ACK, _A.DELIVER)),
            (_S.PROCEEDING, _I.RECEIVED_1XX): Step(_S.PROCEEDING, (_A.DELIVER,)),
            (_S.PROCEEDING, _I.RECEIVED_2XX): Step(_S.ACCEPTED, (_A.DELIVER,)),
            (_S.PROCEEDING, _I.RECEIVED_300_699): Step(_S.COMPLETED, (_A.SEND_ACK, _A.DELIVER)),
            (_S.COMPLETED, _I.RECEIVED_300_699): Step(_S.COMPLETED, (_A.SEND_ACK,)),
            (_S.COMPLETED, _I.TRANSPORT_ERROR): Step(_S.TERMINATED, (_A.REPORT_ERROR,)),
            (_S.COMPLETED, _I.TIMER_D): Step(_S.TERMINATED),
            (_S.ACCEPTED, _I.RECEIVED_2XX): Step(_S.ACCEPTED, (_A.DELIVER,)),
            (_S.ACCEPTED, _I.TIMER_M): Step(_S.TERMINATED, (_A.REPORT_END,)),
        }
    ),
    MappingProxyType(
        {
            _S.CALLING: (_I.TIMER_A, _I.TIMER_B),
            _S.COMPLETED: (_I.TIMER_D,),
            _S.ACCEPTED: (_I.TIMER_M,),
        }
    ),
)
"""RFC 3261 17.1.1, RFC 6026 figure 4. The ACK for a 2xx is the user's business."""

NON_INVITE_CLIENT = Machine(
    "non-INVITE client",
    _S.TRYING,
    MappingProxyType(
        {
            (_S.TRYING, _I.TIMER_E): Step(_S.TRYING, (_A.SEND,)),
            (_S.TRYING, _I.TIMER_F): Step(_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
            (_S.TRYING, _I.TRANSPORT_ERROR): Step(_S.TERMINATED, (_A.REPORT_ERROR,)),
            (_S.TRYING, _I.RECEIVED_1XX): Step(_S.PROCEEDING, (_A.DELIVER,)),
            (_S.TRYING, _I.RECEIVED_2XX): Step(_S.COMPLETED, (_A.DELIVER,)),
            (_S.TRYING, _I.RECEIVED_300_699): Step(_S.COMPLETED, (_A.DELIVER,)),
            (_S.PROCEEDING, _I.TIMER_E): Step(_S.PROCEEDING, (_A.SEND,)),
            (_S.PROCEEDING, _I.TIMER_F): Step(_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
            (_S.PROCEEDING, _I.TRANSPORT_ERROR): Step(_S.TERMINATED, (_A.REPORT_ERROR,)),
            (_S.PROCEEDING, _I.RECEIVED_1XX): Step(_S.PROCEEDING, (_A.DELIVER,)),
            (_S.PROCEEDING, _I.RECEIVED_2XX): Step(_S.COMPLETED, (_A.DELIVER,)),
            (_S.PROCEEDING, _I.RECEIVED_300_699): Step(_S.COMPLETED, (_A.DELIVER,)),
            (_S.COMPLETED, _I.TIMER_K): Step(_S.TERMINATED),
        }
    ),
    MappingProxyType(
        {
            _S.TRYING: (_I.TIMER_E, _I.TIMER_F),
            _S.PROCEEDING: (_I.TIMER_E, _I.TIMER_F),
            _S.COMPLETED: (_I.TIMER_K,),
        }
    ),
)
"""RFC 3261 17.1.2."""

INVITE_SERVER = Machine(
    "INVITE server",
    _S.PROCEEDING,
    MappingProxyType(
        {
            (_S.PROCEEDING, _I.TIMER_100): Step(_S.PROCEEDING, (_A.SEND_100,)),
            (_S.PROCEEDING, _I.RECEIVED_REQUEST): Step(_S.PROCEEDING, (_A.SEND,)),
            (_S.PROCEEDING, _I.SENT_1XX): Step(_S.PROCEEDING, (_A.SEND,)),
            (_S.PROCEEDING, _I.SENT_2XX): Step(_S.ACCEPTED, (_A.SEND,)),
            (_S.PROCEEDING, _I.SENT_300_699): Step(_S.COMPLETED, (_A.SEND,)),
            (_S.PROCEEDING, _I.TRANSPORT_ERROR): Step(_S.PROCEEDING, (_A.REPORT_ERROR,)),
            (_S.COMPLETED, _I.RECEIVED_REQUEST): Step(_S.COMPLETED, (_A.SEND,)),
            (_S.COMPLETED, _I.TIMER_G): Step(_S.COMPLETED, (_A.SEND,)),
            (_S.COMPLETED, _I.TIMER_H): Step(_S.TERMINATED, (_A.REPORT_TIMEOUT,)),
            (_S.COMPLETED, _I.RECEIVED_ACK): Step(_S.CONFIRMED),
            (_S.COMPLETED, _I.TRANSPORT_ERROR): Step(_S.COMPLETED, (_A.REPORT_ERROR,)),
            (_S.ACCEPTED, _I.RECEIVED_REQUEST): Step(_S.ACCEPTED),
            (_S.ACCEPTED, _I.SENT_2XX): Step(_S.ACCEPTED, (_A.SEND,)),
            (_S.ACCEPTED, _I.RECEIVED_ACK): Step(_S.ACCEPTED, (_A.DELIVER,)),
            (_S.ACCEPTED, _I.TRANSPORT_ERROR): Step(_S.ACCEPTED, (_A.REPORT_ERROR,)),
            (_S.ACCEPTED, _I.TIMER_L): Step(_S.TERMINATED, (_A.REPORT_END,)),
            (_S.CONFIRMED, _I.RECEIVED_ACK): Step(_S.CONFIRMED),
            (_S.CONFIRMED, _I.RECEIVED_REQUEST): Step(_S.CONFIRMED),
            (_S.CONFIRMED, _I.TIMER_I): Step(_S.TERMINATED),
        }
    ),
    MappingProxyType(
        {
            _S.PROCEEDING: (_I.TIMER_100,),
            _S.COMPLETED: (_I.TIMER_G, _I.TIMER_H),
            _S.ACCEPTED: (_I.TIMER_L,),
            _S.CONFIRMED: (_I.TIMER_I,),
        }
    ),
)
"""RFC 3261 17.2.1, RFC 6026 figure 5: a transport error does not end it."""

NON_INVITE_SERVER = Machine(
    "non-INVITE server",
    _S.TRYING,
    MappingProxyType(
        {
            (_S.TRYING, _I.RECEIVED_REQUEST): Step(_S.TRYING),
            (_S.TRYING, _I.SENT_1XX): Step(_S.PROCEEDING, (_A.SEND,)),
            (_S.TRYING, _I.SENT_2XX): Step(_S.COMPLETED, (_A.SEND,)),
            (_S.TRYING, _I.SENT_300_699): Step(_S.COMPLETED, (_A.SEND,)),
            (_S.PROCEEDING, _I.RECEIVED_REQUEST): Step(_S.PROCEEDING, (_A.SEND,)),
            (_S.PROCEEDING, _I.SENT_1XX): Step(_S.PROCEEDING, (_A.SEND,)),
            (_S.PROCEEDING, _I.SENT_2XX): Step(_S.COMPLETED, (_A.SEND,)),
            (_S.PROCEEDING, _I.SENT_300_699): Step(_S.COMPLETED, (_A.SEND,)),
            (_S.PROCEEDING, _I.TRANSPORT_ERROR): Step(_S.TERMINATED, (_A.REPORT_ERROR,)),
            (_S.COMPLETED, _I.RECEIVED_REQUEST): Step(_S.COMPLETED, (_A.SEND,)),
            (_S.COMPLETED, _I.TRANSPORT_ERROR): Step(_S.TERMINATED, (_A.REPORT_ERROR,)),
            (_S.COMPLETED, _I.TIMER_J): Step(_S.TERMINATED),
        }
    ),
    MappingProxyType({_S.COMPLETED: (_I.TIMER_J,)}),
)
"""RFC 3261 17.2.2."""

MACHINES = (INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER)


def first_interval(timer: TransactionInput, values: Timers, reliable: bool) -> float | None:
    """Seconds until ``timer`` fires after its state was entered; ``None``: it does not run.

    0 means that the state is left at once: over a reliable transport nothing is waited for that
    only retransmissions would bring (RFC 3261 table 4).
    """
    match timer:
        case _I.TIMER_A | _I.TIMER_E | _I.TIMER_G:
            return None if reliable else values.t1
        case _I.TIMER_D:
            return 0.0 if reliable else values.invite_response_wait
        case _I.TIMER_I | _I.TIMER_K:
            return 0.0 if reliable else values.t4
        case _I.TIMER_J:
            return 0.0 if reliable else values.give_up
        case _I.TIMER_100:
            return TRYING_DELAY
        case _:
            return values.give_up


def next_interval(
    timer: TransactionInput, state: TransactionState, previous: float, values: Timers
) -> float | None:
    """Seconds until a retransmission timer fires again; ``None`` for the other timers."""
    match timer:
        case _I.TIMER_A:
            return previous * 2
        case _I.TIMER_E if state is _S.PROCEEDING:
            return values.t2
        case _I.TIMER_E | _I.TIMER_G:
            return min(previous * 2, values.t2)
        case _:
            return None
