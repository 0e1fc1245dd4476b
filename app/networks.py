"""Networks in CIDR notation, and the client that a request really comes from.

A header that a client can write itself is believed only as far as proxies that we trust have
written it: the console, the proxy, audit and throttling all ask `client_of`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_MAPPED_BITS = 96


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks of which any counts. Without any it is false and holds nothing."""

    members: tuple[Network, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Networks":
        """Read each text; raise `ValueError`, in words, for the first that is no network."""
        return cls(tuple(parse(one) for one in texts))

    def __bool__(self) -> bool:
        return bool(self.members)

    def __str__(self) -> str:
        return ", ".join(self.texts())

    def texts(self) -> list[str]:
        """Write them as PostgreSQL and gunicorn have them."""
        return [str(one) for one in self.members]

    def hold(self, address: str) -> bool:
        """Tell whether an address lies in one of them; False for what is no address."""
        found = address_of(address)
        return found is not None and any(found in one for one in self.members)

    def with_mapped(self) -> "Networks":
        """Add how IPv4 peers look on a socket that listens for both families: ::ffff:192.0.2.1."""
        mapped = [
            ip_network(f"::ffff:{one.network_address}/{_MAPPED_BITS + one.prefixlen}")
            for one in self.members
            if isinstance(one, IPv4Network)
        ]
        return Networks((*self.members, *mapped))


def parse(text: str) -> Network:
    """Read one network; an address alone is a network of one. Raise `ValueError` with what is wrong, in words."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no network; write it like 192.0.2.0/24 or 2001:db8::/32") from None
    raise ValueError(f"{text!r} is an address inside a network; write {meant}")


def address_of(text: str) -> Address | None:
    """Read an address as peers and proxies write it: in brackets, with a port or IPv4 in IPv6; None when it is none."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ip_address(bare)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def client_of(peer: str, forwarded_for: str, trusted: Networks) -> str:
    """Find who a request comes from: the peer or, behind trusted proxies, the last hop that is none of them.

    A peer without an address speaks over a socket of this machine and is trusted. What a proxy
    reports that is no address ends the walk at that proxy.
    """
    client = _plain(peer)
    for hop in reversed(forwarded_for.split(",")):
        found = address_of(hop)
        if found is None or (client and not trusted.hold(client)):
            break
        client = str(found)
    return client


def _plain(peer: str) -> str:
    found = address_of(peer)
    return str(found) if found else peer


NO_NETWORKS = Networks()
LOOPBACK = Networks.of(("127.0.0.0/8", "::1"))
