"""A message's parts on their way to a receiver: all of them, in order, whatever room it has."""

import asyncio

import pytest

from exporter.sources.proxy.message import Message, Receiver
from tests.sources.proxy.wires import Taking


class Silent:
    """A sender that nobody holds back."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def pause_reading(self) -> None:
        """It goes on."""

    def resume_reading(self) -> None:
        """Nothing was paused."""


class Failing(Taking):
    """Cannot take any."""

    def take(self, part: bytes) -> bool:
        raise ZeroDivisionError


def came(message: Message, *parts: bytes, whole: bool = False) -> None:
    """What a connection does when it has read something."""
    for part in parts:
        message.add(part)
    if whole:
        message.is_whole = True
        message.wake()


async def passing(message: Message, receiver: Receiver) -> asyncio.Task[bool]:
    task = asyncio.ensure_future(message.pass_to(receiver))
    await asyncio.sleep(0)
    return task


def test_parts_come_to_the_receiver_before_any_task_runs() -> None:
    async def scenario() -> None:
        message, got = Message(Silent()), list[bytes]()
        came(message, b"early")
        task = await passing(message, Taking(got))
        came(message, b"one", b"two")
        assert got == [b"early", b"one", b"two"]
        came(message, b"last", whole=True)
        assert await task
        assert got[3:] == [b"last"]

    asyncio.run(scenario())


def test_a_receiver_without_room_gets_the_rest_when_it_asks_again() -> None:
    async def scenario() -> None:
        message, got = Message(Silent()), list[bytes]()

        full = Taking(got, has_room=False)
        task = await passing(message, full)
        came(message, b"one")
        assert not await task
        came(message, b"two")
        came(message, b"three", whole=True)
        assert got == [b"one"]
        assert await message.pass_to(full)
        assert got == [b"one", b"twothree"]

    asyncio.run(scenario())


def test_what_came_before_an_error_is_passed_on_first() -> None:
    async def scenario() -> None:
        message, got = Message(Silent()), list[bytes]()
        task = await passing(message, Taking(got))
        message.add(b"one")
        message.fail(ConnectionResetError("cut"))
        with pytest.raises(ConnectionResetError):
            await task
        assert got == [b"one"]

    asyncio.run(scenario())


def test_a_receiver_that_fails_is_told_of_where_it_is_waited_for() -> None:
    async def scenario() -> None:
        message = Message(Silent())
        task = await passing(message, Failing([]))
        came(message, b"one")
        with pytest.raises(ZeroDivisionError):
            await task

    asyncio.run(scenario())
