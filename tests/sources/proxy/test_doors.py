"""The sockets of proxies: opened once, and only where they can be had."""

import socket
from collections.abc import Iterator

import pytest

from exporter.listener import ListenError
from exporter.sources.proxy.config import ProxyConfig
from exporter.sources.proxy.doors import Doors, Sockets, WantedProxy
from tests.waiting import free_port


def wanted(*addresses: str) -> list[WantedProxy]:
    """Proxies that listen there, called a, b, and so on."""
    return [
        WantedProxy(name, ProxyConfig(listen=address, upstream="http://127.0.0.1:9"), ())
        for name, address in zip("abc", addresses, strict=False)
    ]


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


class Others:
    """The other processes, which hold what they were told of."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.sources: list[str] = []

    def told(self, proxies: object, sockets: Sockets) -> None:
        self.sources = [*sockets]
        self.sockets += [each.dup() for each in sockets.values()]

    def close(self) -> None:
        for each in self.sockets:
            each.close()


@pytest.fixture
def others() -> Iterator[Others]:
    others = Others()
    yield others
    others.close()


@pytest.fixture
def doors(others: Others) -> Iterator[Doors]:
    doors = Doors(others.told)
    yield doors
    doors.close()


def follow(doors: Doors, *addresses: str) -> list[int]:
    """The ports that are open then."""
    sockets = doors.follow(wanted(*addresses))
    ports = [each.getsockname()[1] for each in sockets.values()]
    for each in sockets.values():
        each.close()
    return ports


def test_a_door_that_stays_is_never_shut_and_one_that_goes_is_shut_in_all_processes(
    doors: Doors, others: Others
) -> None:
    stays, goes = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    ports = follow(doors, stays, goes)
    assert all(map(answers, ports))
    with socket.create_connection(("127.0.0.1", ports[0])) as waiting:
        waiting.sendall(b"still here")
        assert follow(doors, stays) == ports[:1]
        others.sockets[0].accept()[0].close()  # Who was there before.
        with others.sockets[0].accept()[0] as accepted:
            assert accepted.recv(100) == b"still here"
    assert others.sources == ["a"]
    assert not answers(ports[1])
    doors.close()
    assert not answers(ports[0])


def test_where_one_cannot_be_had_those_of_before_stay_open(doors: Doors, others: Others) -> None:
    port = free_port()
    follow(doors, f"127.0.0.1:{port}")
    with (
        socket.create_server(("127.0.0.1", 0)) as foreign,
        socket.create_connection(("127.0.0.1", port)) as waiting,
    ):
        taken = foreign.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen at 127.0.0.1:{taken}: .*in use"):
            doors.follow(wanted(f"127.0.0.1:{free_port()}", f"127.0.0.1:{taken}"))
        waiting.sendall(b"still here")
        with others.sockets[0].accept()[0] as accepted:
            assert accepted.recv(100) == b"still here"


def test_a_door_that_has_to_make_room_opens_again_where_another_cannot_be_had(
    doors: Doors, others: Others
) -> None:
    port = free_port()
    follow(doors, f"127.0.0.1:{port}")
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        taken = foreign.getsockname()[1]
        with pytest.raises(ListenError, match="in use"):
            doors.follow(wanted(f":{port}", f"127.0.0.1:{taken}"))
    with socket.create_connection(("127.0.0.1", port)):
        others.sockets[0].accept()[0].close()


def test_the_same_port_at_another_address_and_doors_that_change_places(doors: Doors) -> None:
    one, two = free_port(), free_port()
    assert follow(doors, f":{one}", f"127.0.0.1:{two}") == [one, two]
    assert follow(doors, f"127.0.0.1:{one}", f"127.0.0.1:{two}") == [one, two]
    assert follow(doors, f"127.0.0.1:{two}", f"127.0.0.1:{one}") == [two, one]
    assert answers(one)
    assert answers(two)


def test_two_proxies_do_not_get_one_address(doors: Doors) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ListenError, match="in use"):
        doors.follow(wanted(address, address))
