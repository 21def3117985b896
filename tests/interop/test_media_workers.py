"""Media in processes of their own: what dies with one, and what does not."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.peers.baresip import Baresip
from interop.peers.gateway import EventStream, Gateway
from interop.peers.process import wait_until

WORKERS = 2


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path / "gateway", media_workers=WORKERS) as running:
        yield running


def workers_of(gateway: Gateway) -> list[int]:
    """The process ids of the gateway's media workers."""
    listed = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text()
    return [int(pid) for pid in listed.split() if b"ringback.media_process" in _command(int(pid))]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill(pid: int) -> None:
    """``pid`` is a child of the gateway, which may have it collected already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def call_demo(gateway: Gateway, events: EventStream, phone: Baresip) -> str:
    """Until the demo agent greets; the id of the call. ``phone`` is the only one that calls now."""
    before = {call["call_id"] for call in gateway.get("/api/calls")["items"]}
    phone.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
    phone.wait_event("CALL_ESTABLISHED")
    (call_id,) = {str(call["call_id"]) for call in gateway.get("/api/calls")["items"]} - before
    events.wait(
        "call_transcript", lambda e: e["call_id"] == call_id and e["speaker"] == "agent", 30
    )
    return call_id


def ask_for(events: EventStream, alice: Baresip, call_id: str, key: str) -> None:
    """Press a key and wait until the demo agent says which one it was: both ways work."""
    alice.press(key)
    events.wait(
        "call_transcript",
        lambda e: e["call_id"] == call_id and e["speaker"] == "agent" and key in e["text"],
        30,
    )


@pytest.mark.requirement("ops.media-workers")
def test_a_worker_that_is_killed_takes_its_own_call_and_is_replaced(
    gateway: Gateway, tmp_path: Path
) -> None:
    with (
        gateway.events() as events,
        Baresip(tmp_path / "a") as one,
        Baresip(tmp_path / "b") as other,
    ):
        calls = {call_demo(gateway, events, phone): phone for phone in (one, other)}
        victim, survivor = workers_of(gateway)
        kill(victim)
        ended = events.wait("call_state", lambda e: e["state"] == "ended")
        assert ended["end_reason"] == "media_lost"
        calls.pop(ended["call_id"]).wait_event("CALL_CLOSED")

        ((still, phone),) = calls.items()
        ask_for(events, phone, still, "5")
        assert gateway.call(still)["state"] == "active"
        wait_until(lambda: len(workers_of(gateway)) == WORKERS, "a worker in its place", 30)
        assert survivor in workers_of(gateway)
        with Baresip(tmp_path / "c") as third, Baresip(tmp_path / "d") as fourth:
            for phone in (third, fourth):
                ask_for(events, phone, call_demo(gateway, events, phone), "7")
        assert gateway.call(ended["call_id"])["end_reason"] == "media_lost"


@pytest.mark.requirement("ops.media-workers")
def test_each_worker_that_dies_in_turn_is_replaced_and_counted(gateway: Gateway) -> None:
    before = workers_of(gateway)
    for pid in before:
        kill(pid)
    wait_until(
        lambda: len(workers_of(gateway)) == WORKERS and not set(before) & set(workers_of(gateway)),
        "two new workers",
        30,
    )
    wait_until(lambda: metric(gateway, "ringback_media_workers_ready") == WORKERS, "both ready")
    assert metric(gateway, "ringback_media_workers_lost_total") == len(before)


def metric(gateway: Gateway, name: str) -> float:
    for line in gateway.api.get("/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    raise AssertionError(f"no {name}")


@pytest.mark.requirement("ops.media-workers")
def test_workers_end_with_a_node_that_is_killed_and_give_their_ports_back(
    gateway: Gateway, tmp_path: Path
) -> None:
    with gateway.events() as events, Baresip(tmp_path / "a") as alice:
        call_demo(gateway, events, alice)
        pids = workers_of(gateway)
        assert len(pids) == WORKERS
        gateway.kill()
        wait_until(lambda: not any(_command(pid) for pid in pids), "the workers' end", 30)
        alice.process.stop(signal.SIGKILL)  # nobody is left to answer a BYE
    gateway.restart()
    assert len(workers_of(gateway)) == WORKERS


@pytest.mark.requirement("ops.media-workers")
def test_a_terminal_that_interrupts_the_whole_group_leaves_the_end_to_call_control(
    gateway: Gateway, tmp_path: Path
) -> None:
    with gateway.events() as events, Baresip(tmp_path / "a") as alice:
        call_id = call_demo(gateway, events, alice)
        for pid in workers_of(gateway):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        ask_for(events, alice, call_id, "3")
        gateway.process.send_signal(signal.SIGTERM)
        alice.wait_event("CALL_CLOSED")
        assert gateway.process.wait(20) == 0, gateway.process.output
    assert "Traceback" not in gateway.process.output
    gateway.restart()
    assert gateway.call(call_id)["end_reason"] == "shutdown"


def test_one_port_serves_the_streams_of_calls_in_every_worker(
    gateway: Gateway, tmp_path: Path
) -> None:
    with (
        gateway.events() as events,
        Baresip(tmp_path / "a") as one,
        Baresip(tmp_path / "b") as other,
    ):
        calls = [call_demo(gateway, events, phone) for phone in (one, other)]
        for call_id in calls:
            with gateway.stream(call_id) as stream:
                assert '"call_state"' in str(stream.recv(5))
                assert connected_to(stream.socket, gateway.http_port)


def connected_to(client: socket.socket, port: int) -> bool:
    return bool(client.getpeername()[1] == port)
