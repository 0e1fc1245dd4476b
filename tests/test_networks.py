import pytest

from app.networks import LOOPBACK, NO_NETWORKS, Networks, client_of

PROXIES = Networks.of(("10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1"))


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2,10.0.0.3", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "1.2.3.4, unknown", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, , 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "1.2.3.4, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "203.0.113.9:61234", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::9]:61234", "2001:db8::9"),
        ("2001:db8:1::7", "2001:DB8::9", "2001:db8::9"),
        ("2001:db8:2::7", "2001:db8::9", "2001:db8:2::7"),
        ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("", "203.0.113.9", "203.0.113.9"),
        ("", "", ""),
    ],
)
def test_bc_130_the_client_is_the_last_hop_that_is_no_trusted_proxy(peer, told, client):
    assert client == client_of(peer, told, PROXIES)


def test_without_trusted_proxies_only_the_peer_counts():
    assert "10.0.0.1" == client_of("10.0.0.1", "203.0.113.9", NO_NETWORKS)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("::ffff:10.0.0.1", True),
        ("2001:db8:1::1", True),
        ("2001:db8:2::1", False),
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_an_address_is_inside_or_not(address, inside):
    assert inside == PROXIES.hold(address)


def test_no_networks_are_false_and_hold_nothing():
    assert not NO_NETWORKS
    assert not NO_NETWORKS.hold("127.0.0.1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.5/8", "'10.0.0.5/8' is an address inside a network; write 10.0.0.0/8"),
        ("10.0.0.0/33", "'10.0.0.0/33' is no network; write it like 192.0.2.0/24 or 2001:db8::/32"),
        ("gateway", "'gateway' is no network; write it like 192.0.2.0/24 or 2001:db8::/32"),
        ("", "'' is no network; write it like 192.0.2.0/24 or 2001:db8::/32"),
    ],
)
def test_what_is_no_network_is_refused_in_words(text, said):
    with pytest.raises(ValueError) as refused:
        Networks.of(["192.0.2.0/24", text])

    assert said == str(refused.value)


def test_ipv4_networks_are_also_known_as_ipv6_sockets_see_them():
    assert ["127.0.0.0/8", "::1/128", "::ffff:7f00:0/104"] == LOOPBACK.with_mapped().texts()
