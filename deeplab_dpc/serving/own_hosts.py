"""The host names that a request may use for the page, since a foreign name that leads here can be an attack of another
web site.

A site whose name first leads to itself and then here (DNS rebinding) can read everything that its visitors' browsers
reach.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence

from deeplab_dpc.errors import UserError

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+)(:[0-9]*)?", re.ASCII | re.IGNORECASE)


class OwnHosts:
    """The names of a server.

    Args:
      host: host to which it was told to bind.
      address: address to which it is bound.
      allowed: additional names.

    Raises:
      UserError: if one of them is not a host.
    """

    def __init__(self, host: str, address: str, allowed: Sequence[str] = ()) -> None:
        for name in allowed:
            if not _HOST.fullmatch(name):
                raise UserError(
                    f"--allowed_hosts={name} is no host; give it as a browser shows it, without http:// and path."
                )
        self._names = {*LOCAL_NAMES, bracketed(address), host.lower(), *(_name(name) for name in allowed)}
        if not is_loopback(address):
            machine = socket.gethostname().lower()
            self._names |= {machine, f"{machine}.local"}

    def has(self, host: str, reached: str) -> bool:
        """Returns whether a request may use that host; any port is accepted, since it may be a tunnel's.

        Args:
          host: host of the request.
          reached: address of this machine that the client has reached.
        """
        return _name(host) in self._names | {bracketed(reached)}


def shown(host: str) -> str:
    """Returns a host in a form that may be repeated in an answer."""
    return host if _HOST.fullmatch(host) and len(host) < 100 else "that name"


def bracketed(address: str) -> str:
    """Returns an address in the form for a URL."""
    address = address.removeprefix("::ffff:").partition("%")[0]  # of IPv4 on a socket of IPv6; without its interface
    return f"[{address}]" if ":" in address else address


def is_loopback(address: str) -> bool:
    """Returns whether only this machine can reach the address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _name(host: str) -> str:
    """Returns a host without its port, or '' if it is not a host."""
    found = _HOST.fullmatch(host)
    return found[1].lower().rstrip(".") if found else ""
