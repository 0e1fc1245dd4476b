"""Addresses that tenants name: which URLs may be tried, which networks are public, which services give away secrets."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

METADATA = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23"))
)
"""Services of clouds that give credentials to whoever asks; the others are link-local."""
TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv6 addresses whose last 32 bits are the IPv4 address that is meant."""
TRANSLATED_HERE = IPv6Network("64:ff9b:1::/48")
COMPATIBLE = IPv6Network("::/96")

Address = IPv4Address | IPv6Address


def problem_with(url: str) -> str | None:
    """Say what is wrong with an address that a tenant gives; None when it may be tried."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a valid address"
    if parts.scheme not in {"https", "http"} or not parts.hostname or port == 0:
        return "must be an address such as https://hooks.example.com/gateway"
    if "@" in parts.netloc:
        return "must not hold a user name or password"
    if not url.isascii() or any(letter.isspace() or not letter.isprintable() for letter in url):
        return "must not hold spaces, control characters or letters outside ASCII"
    return None


def is_metadata(address: str) -> bool:
    """Tell whether an address may be one of a cloud's metadata service. All that is link-local counts as one."""
    return any(one in METADATA or one.is_link_local for one in _meant(address))


def is_inside(address: str) -> bool:
    """Tell whether an address is not one of the public internet: loopback, link-local, metadata, private, reserved."""
    meant = _meant(address)
    return is_metadata(address) or any(
        not one.is_global or one.is_multicast or (one.version == 6 and one in TRANSLATED_HERE) for one in meant
    )


def _meant(address: str) -> list[Address]:
    """List an address, and those that it stands for on the way."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return [found]
    last = [IPv4Address(found.packed[-4:])] if found in TRANSLATED or found in COMPATIBLE else []
    inner = (found.ipv4_mapped, found.sixtofour, *(found.teredo or ()))
    return [found, *last, *(one for one in inner if one is not None)]
