"""API keys as strings, the failure limiter and the cache: all pure."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.accounts.cache import KeyCache
from ringback.accounts.failures import FailureLimiter
from ringback.accounts.keys import digest, generate_key, plausible, visible_prefix
from ringback.core.http import Principal

PEPPER = b"p" * 32


def test_a_key_shows_its_id_and_hides_190_bits() -> None:
    key = generate_key()
    assert re.fullmatch(r"rb_live_[0-9a-z]{8}_[0-9A-Za-z]{32}", key)
    assert key.startswith(visible_prefix(key) + "_")
    assert generate_key() != key


@pytest.mark.parametrize(
    ("key", "is_one"),
    [
        ("rb_live_7f3k2m9q_pT4vXz8wLq2nRs6yBd0kJm3hCf9gAe5u", True),
        ("rb_live_chosen_by_the_operator_0123", True),
        ("a-key-the-operator-chose", True),
        ("x" * 257, False),
        ("clé-of-the-operator", False),
        ("two\nlines-of-a-key-here", False),
    ],
)
def test_what_cannot_be_a_key_is_refused_without_a_query(key: str, is_one: bool) -> None:
    assert plausible(key) is is_one


def test_a_chosen_key_shows_only_its_beginning() -> None:
    assert visible_prefix("a-key-the-operator-chose") == "a-ke…"


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_digest_matches_its_own_key_only(key: str, other: str) -> None:
    key, other = (text.encode("utf-8", "replace").decode() for text in (key, other))
    mine = digest(key, PEPPER)
    assert mine.matches(digest(key, PEPPER).full)
    assert mine.matches(digest(other, PEPPER).full) is (key == other)
    assert not mine.matches(digest(key, b"q" * 32).full)
    assert mine.full.startswith(mine.lookup)


def test_a_source_may_fail_a_few_times_and_then_must_wait() -> None:
    limiter = FailureLimiter(burst=3, refill_seconds=10.0)
    for _ in range(3):
        assert limiter.allows("1.2.3.4", 0.0)
        limiter.failed("1.2.3.4", 0.0)
    assert not limiter.allows("1.2.3.4", 9.9)
    assert limiter.allows("5.6.7.8", 9.9)
    assert limiter.allows("1.2.3.4", 10.0)
    limiter.failed("1.2.3.4", 10.0)
    assert not limiter.allows("1.2.3.4", 10.1)
    assert limiter.allows("1.2.3.4", 60.0)
    assert limiter.refused == 2


def test_the_limiter_forgets_the_oldest_source_beyond_its_bound() -> None:
    limiter = FailureLimiter(burst=1, refill_seconds=1e9, max_sources=2)
    for source in ("a", "b", "c"):
        limiter.failed(source, 0.0)
    assert [limiter.allows(source, 1.0) for source in ("a", "b", "c")] == [True, False, False]


ANN, BOB = Principal("acct", "ann"), Principal("acct", "bob")


def test_the_cache_forgets_after_its_lifetime() -> None:
    cache = KeyCache(lifetime_seconds=30.0)
    cache.put("d", ANN, 0.0, cache.generation)
    assert cache.get("d", 29.9) == ANN
    assert cache.get("d", 30.0) is None
    assert cache.get("unknown", 0.0) is None


def test_the_cache_drops_the_least_recently_used() -> None:
    cache = KeyCache(max_entries=2)
    cache.put("a", ANN, 0.0, 0)
    cache.put("b", BOB, 0.0, 0)
    assert cache.get("a", 1.0) == ANN
    cache.put("c", BOB, 1.0, 0)
    assert [cache.get(d, 1.0) is not None for d in "abc"] == [True, False, True]


def test_a_removed_key_is_gone_however_often_it_was_cached() -> None:
    cache = KeyCache()
    cache.put("a", ANN, 0.0, 0)
    cache.put("b", BOB, 0.0, 0)
    cache.remove_key("ann")
    assert cache.get("a", 0.0) is None
    assert cache.get("b", 0.0) == BOB


def test_a_lookup_that_began_before_a_removal_is_not_stored_after_it() -> None:
    cache = KeyCache()
    generation = cache.generation
    cache.remove_key("ann")
    cache.put("a", ANN, 0.0, generation)
    assert cache.get("a", 0.0) is None
