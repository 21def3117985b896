"""The simulated network does what it says, and the same each time."""

from __future__ import annotations

from functools import partial

from sim.network import Address, Conditions, Network, World

A, B = ("10.0.0.1", 1), ("10.0.0.2", 2)


def carried(seed: int, conditions: Conditions, count: int = 2000) -> tuple[list[int], Network]:
    """The numbers that arrived, of ``count`` sent 20 ms apart."""
    world = World(seed)
    network = Network(world, conditions)
    arrived: list[int] = []

    def take(data: bytes, source: Address, target: Address) -> None:
        assert (source, target) == (A, B)
        arrived.append(int(data))

    network.listen(B[0], take)
    for number in range(count):
        world.at(world.now + number * 0.02, partial(network.send, b"%d" % number, A, B))
    world.run(count * 0.02 + 10)
    return arrived, network


def test_a_fine_network_carries_all_in_order() -> None:
    arrived, _ = carried(1, Conditions())
    assert arrived == list(range(2000))


def test_loss_duplication_and_reordering_happen_at_their_rates() -> None:
    rough = Conditions(loss=0.1, duplicate=0.05, jitter=0.01, reorder=0.05)
    arrived, network = carried(2, rough)
    traffic = network.traffic[A[0], B[0]]
    assert 150 < traffic.lost < 250
    assert 60 < traffic.doubled < 130
    assert 60 < traffic.overtaken < 250
    assert len(arrived) == traffic.delivered == 2000 - traffic.lost + traffic.doubled


def test_the_same_seed_is_the_same_network_and_another_is_another() -> None:
    rough = Conditions(loss=0.2, jitter=0.3)
    assert carried(3, rough)[0] == carried(3, rough)[0] != carried(4, rough)[0]


def test_a_partition_loses_also_what_is_under_way_and_one_way_only_if_told_so() -> None:
    world = World(1)
    network = Network(world, Conditions(delay=1.0))
    heard: list[bytes] = []
    for host in (A[0], B[0]):
        network.listen(host, lambda data, source, target: heard.append(data))
    network.send(b"under way", A, B)
    network.part(A[0], B[0], both=False)
    network.send(b"back", B, A)
    world.run(5)
    network.heal()
    network.send(b"again", A, B)
    world.run(5)
    assert heard == [b"back", b"again"]


def test_each_direction_has_its_own_conditions() -> None:
    world = World(1)
    network = Network(world)
    network.set(A[0], B[0], Conditions(loss=1.0))
    heard: list[bytes] = []
    for host in (A[0], B[0]):
        network.listen(host, lambda data, source, target: heard.append(data))
    network.send(b"there", A, B)
    network.send(b"back", B, A)
    world.run(5)
    assert heard == [b"back"]
