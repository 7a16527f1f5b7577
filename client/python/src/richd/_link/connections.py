"""The connections of all runs of this process: who is on which socket, and which socket has what.

Called by the thread that serves the runs. To learn at once that a daemon is gone takes a monitor,
two descriptors more; so of the connections to one address a single one is watched, and the others
are doubted when it breaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import zmq
from zmq.utils.monitor import recv_monitor_message

from richd._link.descriptors import ScarceError
from richd._link.sockets import REFUSALS, Sockets, close_monitor


class Owner(Protocol):
    """Whose connection it is."""

    def note_broken(self) -> None:
        """The connection broke."""

    def note_refused(self, why: str) -> None:
        """The daemon ended the handshake, for this and for each other connection to it."""

    def note_doubt(self) -> None:
        """Another connection to the same address broke."""


@dataclass
class _Watch:
    dealer: Any
    monitor: Any


class Connections:
    """Sockets by owner, one poll for all of them."""

    def __init__(self) -> None:
        self._sockets = Sockets()
        self._poller = zmq.Poller()
        self._owners: dict[Any, Any] = {}  # by dealer, or descriptor
        self._addresses: dict[Any, str] = {}  # by dealer
        self._watches: dict[str, _Watch] = {}  # by address

    def open(self, owner: Owner, address: str) -> Any:
        """A DEALER that connects to `address`. Raises ScarceError, NoKeyError, or zmq.ZMQError."""
        dealer = self._sockets.dealer(address, self._n_connecting())
        self._owners[dealer] = owner
        self._addresses[dealer] = address
        self._watch(address)
        return dealer

    def _n_connecting(self) -> int:
        """Sockets that will take the descriptor of a connection, but have none yet."""
        return sum(not dealer.getsockopt(zmq.EVENTS) & zmq.POLLOUT for dealer in self._addresses)

    def close(self, dealer: Any) -> None:
        """Close what `open` returned."""
        address = self._addresses.pop(dealer)
        del self._owners[dealer]
        self._poller.register(dealer, 0)
        watch = self._watches.get(address)
        if watch is not None and watch.dealer is dealer:
            del self._watches[address]
            self._poller.register(watch.monitor, 0)
            close_monitor(dealer, watch.monitor)
            self._watch(address)
        dealer.close(0)

    def want(self, dealer: Any, room: bool) -> None:
        """Have `poll` tell when the dealer has a message, with `room` also when it takes one."""
        self._poller.register(dealer, zmq.POLLIN | (zmq.POLLOUT if room else 0))

    def listen(self, descriptor: int, owner: Any = None) -> None:
        """Have `poll` return when the descriptor can be read."""
        self._owners[descriptor] = owner
        self._poller.register(descriptor, zmq.POLLIN)

    def poll(self, timeout_s: float) -> list[Any]:
        """Wait until something happens; returns the owners of the sockets where it did."""
        ready = [socket for socket, _ in self._poller.poll(int(1000 * timeout_s))]
        return [owner for s in ready if (owner := self._owners.get(s)) is not None]

    def end(self) -> None:
        """End the context; all is closed."""
        self._sockets.close()

    # ---- watching --------------------------------------------------------------------------------

    def _watch(self, address: str) -> None:
        """Watch one of the connections to `address`, if none is, and there is one."""
        dealer = next((d for d, a in self._addresses.items() if a == address), None)
        if dealer is None or address in self._watches:
            return
        try:
            monitor = self._sockets.monitor(dealer)
        except (ScarceError, zmq.ZMQError):
            return  # then pings tell, within seconds
        self._watches[address] = _Watch(dealer, monitor)
        self._poller.register(monitor, zmq.POLLIN)

    def look_for_broken(self) -> list[Any]:
        """Tell the owners of connections that broke or may have; returns them."""
        told = []
        for address, watch in list(self._watches.items()):
            broken, refused = self._read(watch.monitor)
            if refused:
                told += self._tell_refused(address, refused)
            elif broken:
                told += self._tell(address, watch.dealer)
        return told

    def _read(self, monitor: Any) -> tuple[bool, str]:
        broken, refused = False, ""
        while monitor.poll(0):
            event = recv_monitor_message(monitor)["event"]
            broken |= event == zmq.EVENT_DISCONNECTED
            refused = REFUSALS.get(event, refused)
        return broken, refused

    def _tell_refused(self, address: str, why: str) -> list[Any]:
        told = [self._owners[d] for d, a in self._addresses.items() if a == address]
        for owner in told:
            owner.note_refused(why)
        return told

    def _tell(self, address: str, broken: Any) -> list[Any]:
        told = {self._owners[d]: d for d, a in self._addresses.items() if a == address}
        for owner, dealer in told.items():
            if dealer is broken:
                owner.note_broken()
            else:
                owner.note_doubt()
        return list(told)
