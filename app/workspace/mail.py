"""E-mail by the operator's server: encrypted where the server can do it, and never a password in the open."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from urllib.parse import SplitResult, unquote, urlsplit

from app.workspace import outbound
from app.workspace.outbound import LIMIT_S, CannotSend, Rules

SUBMISSION, SUBMISSIONS = 587, 465
PERMANENT = range(500, 600)


def send(mail: EmailMessage, smtp_url: str, rules: Rules) -> str:
    """Hand a mail to the server and give back what became of it; raise `CannotSend`.

    What the server refuses with 5xx is refused for good; a password that it does not take may be put right.
    """
    parts = urlsplit(smtp_url)
    with _problems_said():
        server = _connected(parts, rules)
        try:
            with outbound.ending(lambda: server.sock):
                _greet(server, parts, rules)
                refused = server.send_message(mail)
            _leave(server)
        finally:
            server.close()
    return f"accepted, but not for {', '.join(refused)}" if refused else "accepted by the mail server"


def _connected(parts: SplitResult, rules: Rules) -> smtplib.SMTP:
    host = str(parts.hostname)
    if parts.scheme == "smtps":
        tls = outbound.context(rules)
        return smtplib.SMTP_SSL(host, parts.port or SUBMISSIONS, timeout=LIMIT_S, context=tls)
    return smtplib.SMTP(host, parts.port or SUBMISSION, timeout=LIMIT_S)


def _greet(server: smtplib.SMTP, parts: SplitResult, rules: Rules) -> None:
    """Encrypt the connection if the server offers that, and sign in if there is a name to do it with."""
    server.ehlo_or_helo_if_needed()
    if parts.scheme == "smtp" and server.has_extn("starttls"):
        server.starttls(context=outbound.context(rules))
    if not parts.username:
        return
    if not isinstance(server.sock, ssl.SSLSocket):
        raise CannotSend("the mail server offers no TLS, so it is not given the password")
    server.login(unquote(parts.username), unquote(parts.password or ""))


def _leave(server: smtplib.SMTP) -> None:
    """Say goodbye. The mail is taken already, so whatever is wrong with that must not send it once more."""
    with suppress(OSError):
        server.quit()


@contextmanager
def _problems_said() -> Iterator[None]:
    """Raise `CannotSend` for what goes wrong with the server, in its own words where it has some."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        answers = list(error.recipients.values())
        permanent = all(code in PERMANENT for code, _ in answers)
        raise CannotSend(
            f"the mail server refuses every address: {_answer(*answers[0])}", permanent=permanent
        ) from error
    except smtplib.SMTPAuthenticationError as error:
        said = _answer(error.smtp_code, error.smtp_error)
        raise CannotSend(f"the mail server does not take the name and password of SMTP_URL: {said}") from error
    except smtplib.SMTPResponseException as error:
        said = _answer(error.smtp_code, error.smtp_error)
        raise CannotSend(f"the mail server answers {said}", permanent=error.smtp_code in PERMANENT) from error
    except (OSError, ValueError) as error:
        raise CannotSend(f"mail server: {outbound.cause(error)}") from error


def _answer(code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return f"{code} {' '.join(text.split())}".strip()
