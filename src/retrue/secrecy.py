"""Secrets stay out of what is shown, logged and written: the one place that blots them out.

Two nets. What is known to be secret (named by the environment, or by a secret field of the
configuration) is found as it is, URL-encoded and in base64. What looks secret is found by its
shape: user and password in an address, the signature of a signed link, an `Authorization` header.
"""

from __future__ import annotations

import base64
import logging
import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote

__all__ = ["guard_logs", "remember", "without_secrets"]

ENVIRONMENT = (  # what these hold is secret whoever reads it
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LABEL_STUDIO_API_KEY",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "PREFECT_API_KEY",
    "RETRUE_SMTP_PASSWORD",
    "RETRUE_WEBHOOK_SECRET",
)
SHORTEST = 6  # characters; to blot out "a" would blot out everything
_BLOT = "***"
_SHAPES = (
    # User and password in an address, unless somebody blotted out the password already.
    re.compile(r"(?<=://)(?![^/@\s]*:\*\*\*@)[^/@\s'\"]+(?=@)"),
    re.compile(
        r"(?i)(?<=[?&;])((?:x-amz-(?:signature|credential|security-token)|signature|awsaccesskeyid"
        r"|(?:access_|auth_|api_)?token|api_?key|password|secret)=)[^&\s'\"]+"
    ),
    re.compile(r"(?i)\b(authorization['\"]?\s*[:=]\s*b?['\"]?(?:\w+ )?)[^\s'\",]{6,}[^'\"\n]*"),
)
_known: set[str] = set()


def remember(values: Iterable[str]) -> None:
    """Blot these out from now on, in this process; of an address with a password only that."""
    for value in values:
        inside = re.search(r"://([^/@\s]+)@", value)
        secret = inside[1].rpartition(":")[2] if inside else value
        _known.update(one for one in (secret, unquote(secret)) if len(one) >= SHORTEST)


def without_secrets(text: str) -> str:
    """The text with every secret blotted out.

    >>> without_secrets("s3://key:secret@host/bucket")
    's3://***@host/bucket'
    >>> without_secrets("https://b/k?X-Amz-Expires=60&X-Amz-Signature=0af3")
    'https://b/k?X-Amz-Expires=60&X-Amz-Signature=***'
    """
    named = {os.environ.get(name, "") for name in ENVIRONMENT}
    for secret in sorted(_known | named, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            for form in _forms(secret):
                text = text.replace(form, _BLOT)
    for shape in _SHAPES:
        text = shape.sub(lambda found: (found[1] if found.re.groups else "") + _BLOT, text)
    return text


def guard_logs() -> None:
    """Blot secrets out of every log record of this process, whoever writes and handles it.

    The libraries we use log addresses, and at DEBUG whole requests with their headers.
    """
    make = logging.getLogRecordFactory()
    if not isinstance(make, _CleanRecords):
        logging.setLogRecordFactory(_CleanRecords(make))


class _CleanRecords:
    """Makes records as before, without secrets."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **more: Any) -> logging.LogRecord:  # noqa: ANN401 - handed on
        made = self._make(*args, **more)
        _blot(made)
        return made


def _blot(record: logging.LogRecord) -> None:
    try:
        said = record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit: logging itself will tell
        return
    clean = without_secrets(said)
    if clean != said:
        record.msg, record.args = clean, ()
    if record.exc_info and record.exc_info[0] is not None:
        # A formatter takes this text where there is one.
        told = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        record.exc_text = without_secrets(told)


def _forms(secret: str) -> Iterator[str]:
    """As it is, in an address, and in base64 with any bytes before it."""
    yield from {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
    raw = secret.encode()
    encoders: tuple[Callable[[bytes], bytes], ...] = (base64.b64encode, base64.urlsafe_b64encode)
    for encode in encoders:
        for before in range(3):
            # Characters that depend on neighbours are left out at both ends.
            whole = encode(b"\0" * before + raw).rstrip(b"=").decode()
            part = whole[-(-before * 8 // 6) : len(whole) - (1 if (before + len(raw)) % 3 else 0)]
            if len(part) >= SHORTEST:
                yield part
