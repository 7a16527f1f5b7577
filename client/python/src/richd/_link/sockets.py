"""The ZeroMQ context of this process and the sockets of its runs.

Called by the thread that serves the runs. It takes descriptors only where enough are left: libzmq
ends the process where it finds none, and training needs them more.

Socket options come from faults that were measured with libzmq 4.3.4: without LINGER 0 an exit
hangs, without IMMEDIATE and a small SNDHWM an absent daemon costs the trainer 1 GB, and ZMTP
heartbeats beside a finite RCVHWM abort the process. So credits bound what comes in, and pings are
the protocol's own.
"""

from __future__ import annotations

import contextlib
from typing import Any

import zmq

from richd._link.descriptors import check_descriptors
from richd._link.keys import keys_for

#: Descriptors of a context and its two threads: five event descriptors, two epolls, one in reserve.
CONTEXT_N = 8
#: Of a run: its socket's event descriptor and the connection.
DEALER_N = 2
#: Of a monitor: the event descriptors of both its ends.
MONITOR_N = 2

_OPTIONS = (
    (zmq.LINGER, 0),
    (zmq.SNDHWM, 16),
    (zmq.RCVHWM, 0),
    (zmq.IMMEDIATE, 1),
    (zmq.RECONNECT_IVL, 100),
    (zmq.RECONNECT_IVL_MAX, 5000),
    (zmq.MAXMSGSIZE, 64 << 20),
    (zmq.CONNECT_TIMEOUT, 5000),  # a host that does not answer at all: the system waits for minutes
)


_ENDS = "ends the handshake: it asks for a key, or has another one now"
#: Events of a handshake that came to nothing (EVENT_HANDSHAKE_FAILED_AUTH, _PROTOCOL, _NO_DETAIL),
#: and what they say of the daemon.
REFUSALS = {0x4000: "does not know the key of this host", 0x2000: _ENDS, 0x0800: _ENDS}


class Sockets:
    """One context with one I/O thread, made with the first socket."""

    def __init__(self) -> None:
        self._context: Any = None

    def dealer(self, address: str, n_connecting: int) -> Any:
        """A DEALER that connects to `address`, beside others that still connect.

        Raises ScarceError, NoKeyError, or zmq.ZMQError.
        """
        keys = keys_for(address)
        check_descriptors(n_connecting + DEALER_N + (0 if self._context else CONTEXT_N))
        if self._context is None:
            self._context = zmq.Context()
        dealer = self._context.socket(zmq.DEALER)
        try:
            for option, value in _OPTIONS:
                dealer.setsockopt(option, value)
            dealer.setsockopt(zmq.IPV6, int("[" in address))
            if keys is not None:
                keys.set_on(dealer)
            dealer.connect(address)
        except zmq.ZMQError:
            dealer.close(0)
            raise
        return dealer

    def monitor(self, dealer: Any) -> Any:
        """A socket that tells when the dealer's connection breaks, or its keys are refused.

        Raises as `dealer` does.
        """
        check_descriptors(MONITOR_N)
        return dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED | sum(REFUSALS))

    def close(self) -> None:
        """End the context, whose sockets are closed."""
        if self._context is not None:
            self._context.term()
            self._context = None


def close_monitor(dealer: Any, monitor: Any) -> None:
    """Close what `Sockets.monitor` returned."""
    with contextlib.suppress(zmq.ZMQError):
        dealer.disable_monitor()
    monitor.close(0)
