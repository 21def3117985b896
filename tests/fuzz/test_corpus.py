"""The fuzz targets on their corpus, and on the same few mutations of it each time.

The long runs are `make fuzz`. What these find once stays found: an input that broke something is
added to ``fuzz/corpus``.
"""

from __future__ import annotations

from random import Random

import pytest
from ringback_fuzz import corpus
from ringback_fuzz.memory import MemoryGrew, MemoryWatch
from ringback_fuzz.mutate import MAX_BYTES, Mutator
from ringback_fuzz.one import main
from ringback_fuzz.targets import NAMES, Violation, load, require

MUTATIONS = 300
SLOW = frozenset({"sip_endpoint"})
"""Targets whose inputs take milliseconds: a tenth of the mutations."""


@pytest.mark.requirement("bad.fuzz")
@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_breaks_nothing(name: str) -> None:
    target = load(name)
    seeds = corpus.seeds(name)
    assert seeds, f"no seeds for {name}"
    for seed in seeds:
        target(seed)


@pytest.mark.requirement("bad.fuzz")
@pytest.mark.parametrize("name", NAMES)
def test_mutations_of_the_corpus_break_nothing(name: str) -> None:
    target = load(name)
    mutator = Mutator(corpus.seeds(name), Random(name))
    for _ in range(MUTATIONS // 10 if name in SLOW else MUTATIONS):
        data = mutator.next()
        try:
            target(data)
        except Exception as error:
            raise AssertionError(f"{name} breaks on {data!r}") from error


def test_every_seed_belongs_to_a_target_and_is_small() -> None:
    folders = {path.name for path in corpus.CORPUS.iterdir()}
    assert folders == set(NAMES)
    for name in NAMES:
        assert all(path.stat().st_size <= MAX_BYTES for path in corpus.files(name))


def test_the_same_seed_makes_the_same_inputs() -> None:
    seeds = corpus.seeds("sdp")
    first, second = (Mutator(seeds, Random(7)) for _ in range(2))
    made = [first.next() for _ in range(50)]
    assert made == [second.next() for _ in range(50)]
    assert len(set(made)) > 40
    assert all(len(data) <= MAX_BYTES for data in made)


def test_a_broken_property_is_a_finding() -> None:
    require(True, "holds")
    with pytest.raises(Violation, match="does not hold"):
        require(False, "does not hold")


def test_memory_that_grows_is_a_finding() -> None:
    watch = MemoryWatch(warm_up_runs=1, allowed=-1e9)
    watch.tick()
    with pytest.raises(MemoryGrew):
        watch.check()


def test_a_run_without_findings_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stun", "--plain", "--runs", "50", "--seed", "1"]) == 0
    assert capsys.readouterr().out.startswith("stun: 50 inputs, ")
