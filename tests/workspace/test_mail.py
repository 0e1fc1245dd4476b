"""E-mail: to a real mail server, in the open and encrypted, signed in and not, willing and unwilling."""

import ssl
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.workspace.outbound import Rules
from tests import receivers
from tests.receivers import Mailbox
from tests.tls import Authority
from tests.workspace.alerting import LINK, TEXT, TITLE, announce, channel, log


def test_an_e_mail_arrives_at_every_address(acme: UUID, send: Any, mailbox: Mailbox) -> None:
    channel(acme, "email", "a@b.test; c@d.test")
    announce(acme)

    assert 1 == send()

    (mail,) = mailbox.mails
    assert (TITLE, "gateway@corp.test", "a@b.test, c@d.test") == (mail["Subject"], mail["From"], mail["To"])
    assert [["a@b.test", "c@d.test"]] == mailbox.recipients
    assert f"{TEXT}\n\n{LINK}" == mail.get_content().strip().replace("\r\n", "\n")
    assert [("sent", 1, "accepted by the mail server")] == log(acme)
    assert 0 == send(timedelta(days=1)), "it is not sent twice"


def test_an_e_mail_that_is_refused_for_good_is_not_tried_again(acme: UUID, send: Any, mailbox: Mailbox) -> None:
    channel(acme, "email", "nobody@b.test")
    mailbox.refuses.add("nobody@b.test")
    announce(acme)

    send()

    assert [("failed", 1, "the mail server refuses every address: 550 no such mailbox")] == log(acme)


def test_of_several_addresses_those_that_are_accepted_get_it(acme: UUID, send: Any, mailbox: Mailbox) -> None:
    channel(acme, "email", "nobody@b.test a@b.test")
    mailbox.refuses.add("nobody@b.test")
    announce(acme)

    send()

    assert [["a@b.test"]] == mailbox.recipients
    assert [("sent", 1, "accepted, but not for nobody@b.test")] == log(acme)


def test_a_mail_server_that_is_busy_is_asked_again(acme: UUID, send: Any, mailbox: Mailbox) -> None:
    channel(acme, "email", "a@b.test")
    mailbox.answers["DATA"] = "451 try later"
    announce(acme)
    send()
    assert [("waiting", 1, "the mail server answers 451 try later")] == log(acme)
    mailbox.answers.clear()

    assert 0 == send()
    assert 1 == send(timedelta(minutes=1))

    assert [("sent", 2, "accepted by the mail server")] == log(acme)


def test_without_a_mail_server_e_mail_says_so(acme: UUID, send: Any) -> None:
    channel(acme, "email", "a@b.test")
    announce(acme)

    send(smtp_url="")

    assert "SMTP_URL" in str(log(acme))


def test_a_password_never_goes_to_a_mail_server_in_the_open(acme: UUID, send: Any, mailbox: Mailbox) -> None:
    channel(acme, "email", "a@b.test")
    announce(acme)

    send(smtp_url=f"smtp://me:word@127.0.0.1:{mailbox.port}")

    assert [] == mailbox.mails
    assert "offers no TLS" in str(log(acme))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("company"), "127.0.0.1")


@pytest.fixture
def tls(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.certificate, authority.key)
    return context


@pytest.fixture
def trusting(authority: Authority) -> Rules:
    return Rules(private_allowed=True, ca_file=authority.ca_file)


def test_starttls_comes_before_the_password(
    acme: UUID, send: Any, mailbox: Mailbox, tls: ssl.SSLContext, trusting: Rules
) -> None:
    mailbox.tls, mailbox.password = tls, ("me@corp.test", "w:rd")
    channel(acme, "email", "a@b.test")
    announce(acme)

    send(smtp_url=f"smtp://me%40corp.test:w%3Ard@127.0.0.1:{mailbox.port}", rules=trusting)

    assert [("sent", 1, "accepted by the mail server")] == log(acme)
    assert (["me@corp.test"], [True]) == (mailbox.signed_in, mailbox.encrypted)


def test_tls_from_the_first_byte(acme: UUID, send: Any, tls: ssl.SSLContext, trusting: Rules) -> None:
    channel(acme, "email", "a@b.test")
    announce(acme)

    with receivers.mailbox(tls) as secure:
        secure.password = ("me", "word")
        send(smtp_url=f"smtps://me:word@127.0.0.1:{secure.port}", rules=trusting)

    assert [("sent", 1, "accepted by the mail server")] == log(acme)
    assert (["me"], [True]) == (secure.signed_in, secure.encrypted)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_nobody_vouches_for_gets_no_mail(
    acme: UUID, send: Any, mailbox: Mailbox, tls: ssl.SSLContext, scheme: str
) -> None:
    mailbox.tls = tls
    channel(acme, "email", "a@b.test")
    announce(acme)

    with receivers.mailbox(tls) as secure:
        port = mailbox.port if scheme == "smtp" else secure.port
        send(smtp_url=f"{scheme}://127.0.0.1:{port}")

    assert [] == mailbox.mails + secure.mails
    assert [("waiting", 1, "mail server: TLS failed: unable to get local issuer certificate")] == log(acme)


def test_a_certificate_of_another_host_gets_no_mail(
    acme: UUID, send: Any, mailbox: Mailbox, tls: ssl.SSLContext, trusting: Rules
) -> None:
    mailbox.tls = tls
    channel(acme, "email", "a@b.test")
    announce(acme)

    send(smtp_url=f"smtp://localhost:{mailbox.port}", rules=trusting)

    assert [] == mailbox.mails
    ((state, _, answer),) = log(acme)
    assert "waiting" == state
    assert "TLS failed: Hostname mismatch" in str(answer)


def test_a_password_that_is_not_taken_is_tried_again(
    acme: UUID, send: Any, mailbox: Mailbox, tls: ssl.SSLContext, trusting: Rules
) -> None:
    mailbox.tls, mailbox.password = tls, ("me", "right")
    channel(acme, "email", "a@b.test")
    announce(acme)

    send(smtp_url=f"smtp://me:wrong@127.0.0.1:{mailbox.port}", rules=trusting)

    said = "the mail server does not take the name and password of SMTP_URL: 535 wrong name or password"
    assert [("waiting", 1, said)] == log(acme)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", ["452 no room", "554 not from you"])
def test_4xx_is_tried_again_and_5xx_given_up_with_its_reason(
    acme: UUID, send: Any, mailbox: Mailbox, verb: str, answer: str
) -> None:
    channel(acme, "email", "a@b.test")
    mailbox.answers[verb] = answer
    announce(acme)

    send()

    ((found, attempts, said),) = log(acme)
    assert ("waiting" if answer.startswith("4") else "failed", 1) == (found, attempts)
    assert str(said).endswith(answer)


def test_a_server_that_does_not_say_goodbye_gets_a_mail_once(acme: UUID, send: Any, mailbox: Mailbox) -> None:
    channel(acme, "email", "a@b.test")
    mailbox.answers["QUIT"] = "500 what?"
    announce(acme)

    send()

    assert [("sent", 1, "accepted by the mail server")] == log(acme)
    assert 1 == len(mailbox.mails)
