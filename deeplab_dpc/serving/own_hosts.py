"""The host names that a request may use for the page, since a foreign name for this server can be an attack.

A web site whose name first resolves to itself and then to this server (DNS rebinding) can read everything that its
visitors' browsers can reach.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence

from deeplab_dpc.errors import UserError

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+)(:[0-9]*)?", re.ASCII | re.IGNORECASE)


class OwnHosts:
    """The host names of a server.

    Args:
      host: requested host to bind.
      address: address to which the server is bound.
      allowed: additional host names.

    Raises:
      UserError: if an additional name is not a host.
    """

    def __init__(self, host: str, address: str, allowed: Sequence[str] = ()) -> None:
        for name in allowed:
            if not _HOST.fullmatch(name):
                raise UserError(
                    f"--allowed_hosts={name} is not a host; give it as a browser shows it, without http:// and path."
                )
        self._names = {*LOCAL_NAMES, bracketed(address), host.lower(), *(_name(name) for name in allowed)}
        if not is_loopback(address):
            machine = socket.gethostname().lower()
            self._names |= {machine, f"{machine}.local"}

    def has(self, host: str, reached: str) -> bool:
        """Returns whether a request may use a host; any port is accepted, since it may be that of a tunnel.

        Args:
          host: Host header of the request.
          reached: address of this machine to which the client is connected.
        """
        return _name(host) in self._names | {bracketed(reached)}


def shown(host: str) -> str:
    """Returns a host in a form that is safe in an answer."""
    return host if _HOST.fullmatch(host) and len(host) < 100 else "that name"


def bracketed(address: str) -> str:
    """Returns an address in the form for URLs, with brackets for IPv6."""
    address = address.removeprefix("::ffff:").partition("%")[0]  # IPv4 on a socket of IPv6; without the interface
    return f"[{address}]" if ":" in address else address


def is_loopback(address: str) -> bool:
    """Returns whether only this machine can reach the address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _name(host: str) -> str:
    """Returns a host without its port, or '' if it is not a host."""
    found = _HOST.fullmatch(host)
    return found[1].lower().rstrip(".") if found else ""
