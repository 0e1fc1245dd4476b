import ssl
from pathlib import Path

import pytest

from app.config import InvalidSettings, Settings

WORKING = {
    "DATABASE_URL": "postgresql://gateway_app:x@127.0.0.1/gateway",
    "DATABASE_INGEST_URL": "postgresql://gateway_ingest:x@127.0.0.1/gateway",
    "REDIS_URL": "redis://127.0.0.1/0",
    "SECRET_KEY": "0123456789abcdef0123456789abcdef",
}
OLD, OLDER = "fedcba9876543210fedcba9876543210", "a key with spaces, and commas, of enough length"


def read(**changes):
    return Settings.read(WORKING | changes)


def problems(**changes):
    with pytest.raises(InvalidSettings) as refused:
        read(**changes)
    return refused.value.problems


def test_everything_that_is_wrong_is_named_at_once():
    wrong = {
        "PUBLIC_URL": "gateway.example.com",
        "ALLOWED_HOSTS": "https://gateway.example.com",
        "TRUSTED_PROXIES": "10.0.0.5/8",
        "CONSOLE_NETWORKS": "office",
        "BREAK_GLASS_NETWORKS": "1.2.3.4.5",
        "CA_FILE": "/nowhere.pem",
        "SECRET_KEY_PREVIOUS": "short",
    }

    said = problems(**wrong)

    assert set(wrong) == {one.partition(":")[0] for one in said}
    assert "TRUSTED_PROXIES: '10.0.0.5/8' is an address inside a network; write 10.0.0.0/8." in said


@pytest.mark.parametrize("name", ["SECRET_KEY", "BOOTSTRAP_ADMIN_PASSWORD", "SECRET_KEY_PREVIOUS"])
@pytest.mark.parametrize("value", ["changeme", "CHANGEME", "secret", "replace-me-with-64-random-hex-characters"])
def test_bc_084_a_sample_is_no_secret(name, value):
    assert [f"{name}: is a sample value; set a random one of your own."] == problems(**{name: value})


@pytest.mark.parametrize("value", ["", "   "])
def test_bc_084_an_empty_secret_key_is_missing(value):
    assert ["SECRET_KEY: is missing."] == problems(SECRET_KEY=value)


@pytest.mark.parametrize("name", ["BOOTSTRAP_ADMIN_PASSWORD", "BOOTSTRAP_MANAGEMENT_KEY"])
def test_bc_084_an_empty_bootstrap_secret_is_as_good_as_none(name):
    assert "" == getattr(read(**{name: ""}), name.lower())


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ("https://gateway.example.com", "https://gateway.example.com"),
        ("https://Gateway.Example.com/", "https://gateway.example.com"),
        ("http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080"),
    ],
)
def test_a_public_address_is_scheme_and_host(given, read_as):
    assert read_as == read(PUBLIC_URL=given).public_url


@pytest.mark.parametrize(
    "given",
    [
        "https://gateway.example.com/console",
        "https://user:password@gateway.example.com",
        "https://gateway.example.com?x=1",
        "https://gateway.example.com#x",
        "https://gateway.example.com:port",
        "https://gate way",
        "https://",
        "ftp://gateway.example.com",
    ],
)
def test_what_is_more_or_less_is_no_public_address(given):
    (said,) = problems(PUBLIC_URL=given)

    assert said.startswith("PUBLIC_URL: ")
    assert "user:password" not in said


@pytest.mark.parametrize(
    ("public_url", "given", "names"),
    [
        ("", "", set()),
        ("https://gw.test:8443", "", {"gw.test", "localhost", "127.0.0.1", "[::1]"}),
        (
            "https://gw.test",
            "gw.internal,10.0.0.7 2001:db8::1",
            {"gw.test", "gw.internal", "10.0.0.7", "[2001:db8::1]"},
        ),
        ("", "GW.internal", {"gw.internal"}),
        ("https://gw.test", "*", set()),
    ],
)
def test_allowed_hosts_follow_the_public_address_unless_given(public_url, given, names):
    assert names == read(PUBLIC_URL=public_url, ALLOWED_HOSTS=given).allowed_hosts


@pytest.mark.parametrize("given", ["gw.test:8080", "*.gw.test", "gw.test/x", "-gw", "http:gw"])
def test_a_host_is_a_bare_name(given):
    assert [f"ALLOWED_HOSTS: {given!r} is no host name; give it without scheme and port."] == problems(
        ALLOWED_HOSTS=given
    )


def test_networks_are_read_and_loopback_is_trusted_unless_others_are():
    found = read(CONSOLE_NETWORKS="192.0.2.0/24, 2001:db8::/32")

    assert ["192.0.2.0/24", "2001:db8::/32"] == found.console_networks.texts()
    assert ["127.0.0.0/8", "::1/128"] == found.trusted_proxies.texts()
    assert ["10.0.0.0/8"] == read(TRUSTED_PROXIES="10.0.0.0/8").trusted_proxies.texts()


def test_earlier_secret_keys_stand_one_a_line_and_are_never_shown(tmp_path):
    (tmp_path / "previous").write_text(f"{OLD}\n{OLDER}\n")

    found = read(SECRET_KEY_PREVIOUS_FILE=str(tmp_path / "previous"))

    assert (OLD, OLDER) == found.secret_key_previous
    assert OLD not in repr(found)
    assert OLDER not in repr(found)


def test_the_secret_key_is_not_the_one_before_it():
    said = problems(SECRET_KEY_PREVIOUS=WORKING["SECRET_KEY"])

    assert ["SECRET_KEY_PREVIOUS: is the same as SECRET_KEY; give the one before it."] == said


def test_a_file_of_authorities_holds_certificates(tmp_path):
    (tmp_path / "ca.pem").write_text("not a certificate")
    (tmp_path / "good.pem").write_text(_an_authority())

    assert [f"CA_FILE: '{tmp_path}/ca.pem' holds no certificates in PEM form."] == problems(
        CA_FILE=str(tmp_path / "ca.pem")
    )
    assert tmp_path / "good.pem" == read(CA_FILE=str(tmp_path / "good.pem")).ca_file


def _an_authority():
    """The first certificate of the packages' bundle."""
    import certifi

    return Path(certifi.where()).read_text().partition(ssl.PEM_FOOTER)[0] + ssl.PEM_FOOTER
