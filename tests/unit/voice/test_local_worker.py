"""The worker process and its node's end, with small engines written for the purpose."""

from __future__ import annotations

import asyncio
import io
import os
import select
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.voice.contract import ProviderError
from ringback.voice.providers.local import process as process_module
from ringback.voice.providers.local.engine import EngineError
from ringback.voice.providers.local.frames import (
    MAX_HEADER,
    PREFIX,
    FrameError,
    Header,
    decode_header,
    encode,
)
from ringback.voice.providers.local.process import MAX_CRASHES, MAX_WAITING, WorkerProcess
from ringback.voice.providers.local.speech import PhraseCache
from ringback.voice.providers.local.worker import read_frame, serve

ENGINE = """
import os, sys
from ringback.voice.providers.local import worker
from ringback.voice.providers.local.engine import EngineError

class Engine:
    def handle(self, header, payload):
        match header.get("do"):
            case "die": os._exit(3)
            case "hang": sys.stdin.buffer.read()
            case "refuse": raise EngineError("no_such_voice", "there is no such voice")
            case "break": raise ValueError("a bug")
            case "print": print("in the way", flush=True)
        return {"size": len(payload)}, payload[::-1]

worker.load = lambda name: Engine()
sys.exit(worker.main("test"))
"""


def worker(code: str = ENGINE) -> WorkerProcess:
    return WorkerProcess("test", [sys.executable, "-c", textwrap.dedent(code)])


def with_worker(scenario: Callable[[WorkerProcess], Awaitable[None]], code: str = ENGINE) -> None:
    async def run() -> None:
        running = worker(code)
        try:
            async with asyncio.timeout(60):
                await scenario(running)
        finally:
            await running.stop()

    asyncio.run(run())


def test_requests_are_answered_and_one_process_serves_them_all() -> None:
    async def scenario(running: WorkerProcess) -> None:
        assert running.pid is None
        answers = await asyncio.gather(
            *(running.request({}, f"text {number}".encode()) for number in range(20))
        )
        assert [data[::-1].decode() for _, data in answers] == [f"text {n}" for n in range(20)]
        assert running.starts == 1

    with_worker(scenario)


def test_a_large_payload_passes_both_ways() -> None:
    async def scenario(running: WorkerProcess) -> None:
        data = os.urandom(3_000_000)
        _, answer = await running.request({}, data)
        assert answer == data[::-1]

    with_worker(scenario)


def test_what_the_engine_refuses_keeps_its_code() -> None:
    async def scenario(running: WorkerProcess) -> None:
        with pytest.raises(ProviderError) as caught:
            await running.request({"do": "refuse"})
        assert (caught.value.code, caught.value.retryable) == ("no_such_voice", False)
        with pytest.raises(ProviderError, match="ValueError: a bug"):
            await running.request({"do": "break"})
        await running.request({})
        assert running.starts == 1

    with_worker(scenario)


def test_what_a_library_prints_does_not_get_between_the_answers() -> None:
    async def scenario(running: WorkerProcess) -> None:
        assert (await running.request({"do": "print"}, b"ab"))[1] == b"ba"

    with_worker(scenario)


def test_a_worker_that_dies_fails_what_waits_and_is_started_again() -> None:
    async def scenario(running: WorkerProcess) -> None:
        await running.request({})
        requests = [running.request({"do": do}) for do in ("die", "", "")]
        failed = await asyncio.gather(*requests, return_exceptions=True)
        assert all(isinstance(each, ProviderError) and each.retryable for each in failed)
        assert (await running.request({}, b"ab"))[1] == b"ba"
        assert running.starts == 2

    with_worker(scenario)


def test_a_worker_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(running: WorkerProcess) -> None:
        await running.warm_up()
        monkeypatch.setattr(process_module, "ANSWER_TIMEOUT", 0.05)
        with pytest.raises(ProviderError) as caught:
            await running.request({"do": "hang"})
        assert caught.value.code == "worker_hangs"
        monkeypatch.setattr(process_module, "ANSWER_TIMEOUT", 30.0)
        assert (await running.request({}, b"ab"))[1] == b"ba"

    with_worker(scenario)


def test_a_worker_that_cannot_start_is_not_started_over_and_over() -> None:
    async def scenario(running: WorkerProcess) -> None:
        for _ in range(10):
            with pytest.raises(ProviderError):
                await running.request({})
        assert running.starts == MAX_CRASHES

    with_worker(scenario, "raise SystemExit(1)")


def test_an_engine_that_is_not_installed_says_so() -> None:
    code = """
        import sys
        from ringback.voice.providers.local import worker
        def load(name):
            raise ImportError("No module named 'espeakng_loader'")
        worker.load = load
        sys.exit(worker.main("test"))
    """

    async def scenario(running: WorkerProcess) -> None:
        with pytest.raises(ProviderError, match="espeakng_loader") as caught:
            await running.request({})
        assert not caught.value.retryable

    with_worker(scenario, code)


def test_a_worker_that_speaks_something_else_is_refused() -> None:
    async def scenario(running: WorkerProcess) -> None:
        with pytest.raises(ProviderError) as caught:
            await running.request({})
        assert caught.value.code == "worker_not_started"

    with_worker(scenario, "print('hello, this is no frame at all')")


def test_more_requests_than_may_wait_are_refused_and_counted() -> None:
    async def scenario(running: WorkerProcess) -> None:
        await running.warm_up()
        requests = [running.request({}) for _ in range(MAX_WAITING + 5)]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        refused = [each for each in answers if isinstance(each, ProviderError)]
        assert len(refused) == running.refused == 5
        assert {each.code for each in refused} == {"worker_busy"}

    with_worker(scenario)


def test_an_answered_request_waits_no_longer() -> None:
    async def scenario(running: WorkerProcess) -> None:
        for _ in range(MAX_WAITING + 5):
            await running.request({})
        assert running.refused == 0

    with_worker(scenario)


def test_a_request_given_up_does_not_disturb_the_next() -> None:
    async def scenario(running: WorkerProcess) -> None:
        await running.warm_up()
        abandoned = asyncio.ensure_future(running.request({}, b"old"))
        following = asyncio.ensure_future(running.request({}, b"new"))
        await asyncio.wait({following}, timeout=0)
        abandoned.cancel()
        assert (await following)[1] == b"wen"

    with_worker(scenario)


async def begun(running: WorkerProcess) -> None:
    """A few rounds of the event loop: enough for a start to be on its way."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert running.starts == 1


def test_callers_who_hang_up_while_it_starts_do_not_count_as_its_crashes() -> None:
    async def scenario(running: WorkerProcess) -> None:
        for _ in range(MAX_CRASHES + 1):
            caller = asyncio.create_task(running.request({}, b"early"))
            await begun(running)
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)
        assert (await running.request({}, b"abc"))[1] == b"cba"
        assert running.starts == 1

    with_worker(scenario)


def test_a_stop_does_not_wait_for_a_start() -> None:
    async def scenario(running: WorkerProcess) -> None:
        caller = asyncio.create_task(running.request({}, b"early"))
        await begun(running)
        await running.stop()
        (result,) = await asyncio.gather(caller, return_exceptions=True)
        assert isinstance(result, ProviderError | asyncio.CancelledError)
        assert running.pid is None

    with_worker(scenario)


def test_after_stop_nothing_runs_and_nothing_starts() -> None:
    async def scenario() -> None:
        running = worker()
        await running.warm_up()
        pid = running.pid
        assert pid is not None
        await running.stop()
        await running.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(ProviderError):
            await running.request({})
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def test_a_worker_whose_parent_is_gone_before_it_is_ready_ends_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(ENGINE), "engine"],
            stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE, timeout=20,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_worker_ends_when_its_parent_was_killed() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import asyncio, sys\n"
            "from ringback.voice.providers.local.process import WorkerProcess\n"
            "async def main():\n"
            "    worker = WorkerProcess('test', [sys.executable, '-c', sys.argv[1]])\n"
            "    await worker.warm_up()\n"
            "    print(worker.pid, flush=True)\n"
            "    await asyncio.Event().wait()\n"
            "asyncio.run(main())\n",
            ENGINE,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert parent.stdout is not None
    line = next(each for each in parent.stdout if each.strip().isdigit())
    pid = int(line)
    worker_ends = os.pidfd_open(pid)
    parent.kill()
    parent.communicate(timeout=30)
    ended, _, _ = select.select([worker_ends], [], [], 30)
    os.close(worker_ends)
    assert ended


class Echo:
    def handle(self, header: Header, payload: bytes) -> tuple[Header, bytes]:
        if header.get("fail"):
            raise EngineError("failed", "as asked", retryable=True)
        return {"echo": header.get("text")}, payload


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=30), max_size=5), st.binary())
def test_frames_come_back_as_they_were_sent(header: dict[str, str], payload: bytes) -> None:
    assert read_frame(io.BytesIO(encode(header, payload) + b"rest")) == (header, payload)


def test_the_worker_answers_in_order_and_ends_with_its_input() -> None:
    requests = [
        encode({"id": 1, "text": "a"}, b"x"),
        encode({"id": 2, "fail": True}),
        encode({"id": 3})[:-1],
    ]
    target = io.BytesIO()
    serve(Echo(), io.BytesIO(b"".join(requests)), target)
    target.seek(0)
    assert read_frame(target) == ({"id": 1, "echo": "a"}, b"x")
    failed = read_frame(target)
    assert failed is not None
    assert failed[0] == {
        "id": 2,
        "error": {"code": "failed", "message": "as asked", "retryable": True},
    }
    assert read_frame(target) is None


@pytest.mark.parametrize(
    "data",
    [
        PREFIX.pack(MAX_HEADER + 1, 0),
        PREFIX.pack(2, 2**31),
        PREFIX.pack(3, 0) + b"{no",
        PREFIX.pack(2, 0) + b"[]",
    ],
)
def test_anything_else_than_frames_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        read_frame(io.BytesIO(data))


def test_a_header_over_its_limit_is_not_sent() -> None:
    with pytest.raises(FrameError):
        encode({"hints": "x" * MAX_HEADER})


def test_a_header_is_an_object() -> None:
    with pytest.raises(FrameError):
        decode_header(b"5")


def test_the_phrase_cache_forgets_what_was_used_longest_ago() -> None:
    cache = PhraseCache(max_bytes=100)
    cache.put("a", bytes(40))
    cache.put("b", bytes(40))
    assert cache.get("a") == bytes(40)
    cache.put("c", bytes(40))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    cache.put("too large", bytes(101))
    assert cache.get("too large") is None
    assert (cache.size, cache.hits) == (80, 2)
