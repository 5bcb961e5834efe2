"""The mails that the emulator has delivered, as files."""

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path


def mails_in(folder: Path) -> list[EmailMessage]:
    """What the email subscribers of all topics have received so far, oldest first.

    A publishing call returns after its mail has been delivered. The emulator takes every address for confirmed.
    """
    files = sorted(folder.glob("*.eml"))
    return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]


def lines_of(mail: EmailMessage) -> list[str]:
    """The mail as its reader sees it, each line behind a bar."""
    return [f"| {line}" for line in (f"To: {mail['To']}", f"Subject: {mail['Subject']}", "", *_text(mail))]


def _text(mail: EmailMessage) -> list[str]:
    text: str = mail.get_content()
    return text.rstrip().split("\n")
