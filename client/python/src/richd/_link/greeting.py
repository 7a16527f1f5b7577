"""The feed of a daemon that is known by its ingest address alone: hello tells where it is.

Called by whoever reads, in any thread; a connection lives for one question. Behind a tunnel the
address that is told names a place on the daemon's machine, and here it may be nothing, or another
daemon's. So who answers there has to be the same process.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any, Optional

from richd._link import feed as _feed
from richd._link.endpoint import NotFoundError
from richd._link.keys import NoKeyError, keys_for
from richd._link.session import PROTOCOL, encode
from richd._report import RichdError
from richd._version import VERSION

#: How long the daemon's answers are waited for, in seconds.
TIMEOUT_S = 5.0


def feed_behind(ingest: str) -> str:
    """The address at which the daemon behind `ingest` is read from here. Raises NotFoundError."""
    hello = _hello(ingest)
    told = [address for address in (hello.get("feed"), hello.get("page")) if address]
    if not told:
        raise NotFoundError("ENOENT", f"the daemon at {ingest} does not tell where it is read")
    for address in told:
        if _pid_at(str(address)) == hello.get("pid"):
            return str(address)
    places = " or ".join(str(address).partition("#")[0] for address in told)
    raise NotFoundError(
        "ENOENT",
        f"the daemon at {ingest} is read at {places} of its machine, and does not answer there on "
        "this one: bring one here, too (ssh -L, the page by the same port), or name where it is "
        "with feed= or RICHD_FEED",
    )


def _pid_at(address: str) -> Optional[int]:
    with contextlib.suppress(RichdError, AttributeError):  # nobody is there, or something else
        status = _feed.call(lambda: address, "server.status", {}, TIMEOUT_S)
        found: Optional[int] = status.get("pid")
        return found
    return None


def _hello(ingest: str) -> Mapping[str, Any]:
    import zmq

    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.linger = 0
        peer.ipv6 = "[" in ingest
        try:
            keys = keys_for(ingest)
            if keys is not None:
                keys.set_on(peer)
            peer.connect(ingest)
            hello = {"type": "hello", "protocol_min": PROTOCOL, "protocol_max": PROTOCOL}
            peer.send(encode({**hello, "client": f"richd-python {VERSION}"}))
            deadline = time.monotonic() + TIMEOUT_S
            while peer.poll(max(0, 1000 * (deadline - time.monotonic()))):
                message = json.loads(peer.recv())
                if message.get("type") == "hello":
                    return dict(message)
        except (NoKeyError, zmq.ZMQError, ValueError) as error:
            raise NotFoundError("ENOENT", f"the daemon at {ingest}: {error}") from error
    raise NotFoundError("ENOENT", f"no daemon says hello at {ingest}")
