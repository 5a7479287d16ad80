"""Locations of storages without their secrets, for errors and logs."""

import re
import urllib.parse
from typing import NamedTuple

HIDDEN = "***"
# Parameters of PostgreSQL's and MySQL's drivers that are not secrets.
HARMLESS = ("host", "port", "dbname", "sslmode", "ssl_ca", "sslrootcert", "charset", "connect_timeout")
SECRET = ("user", "password", "passwd", "passfile", "sslpassword")  # parameters whose names are shown
SHORTEST = 3  # number of characters from which on a secret is replaced in the text of a library
_NAME = r"[\w.%+-]+"  # name of a user


class Redacted(NamedTuple):
    """A location with its secrets hidden.

    Attributes:
      shown: location with *** in place of each secret.
      secrets: secrets that were hidden.
    """

    shown: str
    secrets: frozenset[str]

    def __str__(self) -> str:
        return self.shown

    def scrubbed(self, text: str) -> str:
        """Returns a library's text without the secrets, in plain form and in the form of a URL."""
        secrets = [secret for secret in self.secrets if len(secret) >= SHORTEST]
        spellings = {spelling for secret in secrets for spelling in (secret, *_spellings(secret))}
        for secret in sorted(spellings, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text


def redacted(location: str) -> Redacted:
    """Hides passwords, and everything else that may be one, in a location that need not be well formed.

    Names of users, hosts, ports and paths are shown, and parameters that are known to be harmless; drivers accept
    passwords under many other names. If a character that ends a part of a URL may belong to a password, everything is
    hidden.
    """
    if location.startswith("journal:"):
        return Redacted(location, frozenset())
    scheme, separator, rest = location.partition("://")
    if not separator:
        if re.fullmatch(r"[\w./~-]*:?[\w./~-]*", location):
            return Redacted(location, frozenset())
        known = re.match("(grpc|mariadb|mysql|postgres|postgresql|sqlite)(?=:)", location)
        return Redacted(f"{known[0]}:{HIDDEN}" if known else HIDDEN, _pieces(location))
    secrets: set[str] = set()
    authority, mark, parameters = _cut_at(rest, "?#")
    if "@" in parameters:
        return Redacted(f"{scheme}{separator}{HIDDEN}", _pieces(rest))
    account, at, place = authority.rpartition("@")
    if at:
        user, colon, password = account.partition(":")
        if not re.fullmatch(_NAME, user):
            user, colon, password = "", "", account
            secrets.update(account.split(":"))
        secrets.add(password)
        account = f"{user}:{HIDDEN}" if colon else user if user else HIDDEN
    place = _without_secret_ports(place, secrets)
    shown = f"{scheme}{separator}{account}{at}{place}{mark}"
    for number, parameter in enumerate(re.split("[&;]", parameters) if mark else []):
        name, equals, value = parameter.partition("=")
        if equals and name in HARMLESS and re.fullmatch(r"[\w./-]*", value):
            shown += ("&" if number else "") + parameter
            continue
        is_named = bool(equals) and name in SECRET
        secrets.update((value,) if is_named else (parameter, name, value))
        shown += ("&" if number else "") + (f"{name}={HIDDEN}" if is_named else HIDDEN)
    return Redacted(shown, frozenset(secrets - {""}))


def _pieces(text: str) -> frozenset[str]:
    return frozenset({text, *re.split(r"[:/@?#&;=\s]", text)} - {""})


def _cut_at(text: str, marks: str) -> tuple[str, str, str]:
    found = re.search(f"[{marks}]", text)
    return (text, "", "") if found is None else (text[: found.start()], found[0], text[found.end() :])


def _without_secret_ports(place: str, secrets: set[str]) -> str:
    """Hides text after a colon that is not a port, as when @HOST is missing; and values in libpq's connection
    strings.
    """
    host, slash, path = place.partition("/")
    bracket, _, numbers = host.rpartition("]")  # of an address with colons
    name, _, port = numbers.partition(":")
    name = f"{bracket}]{name}" if bracket else name
    if port and not port.isdecimal():
        secrets.update((port, f"{port}{slash}{path}", path))
        return f"{name}:{HIDDEN}"

    def hide(found: re.Match[str]) -> str:
        secrets.add(found[2])
        return f"{found[1]}={HIDDEN}"

    return re.sub(r"(\w+)\s*=\s*('[^']*'|\S+)", hide, f"{host}{slash}{path}")


def _spellings(secret: str) -> tuple[str, str]:
    return urllib.parse.unquote_plus(secret), urllib.parse.quote(secret, safe="")
