r"""One number for a whole dataset: every row, every column, in any order.

How to compute it again, in any language. A row becomes bytes:

    line  = "retrue-row-1\n"  (content digest: "retrue-content-1\n")
    then, for every column whose value is not None, in alphabetical order of the column names:
    size(name) name tag size(payload) payload

`size` is the number of bytes as 8 bytes, big-endian; names are UTF-8; `tag` is one ASCII letter:

    s  text      UTF-8
    i  integer   decimal digits, "-" in front if negative
    f  float     IEEE 754 double, 8 bytes, big-endian; -0.0 is written as 0.0; NaN is refused
    b  boolean   "1" or "0"
    t  time      whole microseconds since 1970-01-01T00:00:00Z, as an integer's decimal digits

The digest is the sum of the rows' BLAKE2b-256 hashes, each read as a big-endian number, modulo
2^256, as 64 hexadecimal digits; no rows give 64 zeros. Because it is a sum it does not depend on
order, counts a doubled row twice, and a row can be taken out of it again (`subtract`). It notices
any mistake; it is not made against somebody who forges rows to fit a sum (Wagner 2002).

`dataset_digest` covers all columns of `DatasetRow`. `content_digest` leaves out `labelled_at` (a
clock) and `verdict` (a file name), which an interrupted and repeated run may give otherwise.
Neither covers file bytes, version numbers of dataset or library, nor anything in the manifest.
A column that is None adds nothing, so a column added to the format later leaves old digests as
they are.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime, timedelta

from retrue.records import DatasetRow

__all__ = ["content_digest", "dataset_digest", "subtract"]

_MODULUS = 1 << 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = tuple(sorted(field.name for field in fields(DatasetRow)))
_CONTENT = tuple(name for name in _COLUMNS if name not in {"labelled_at", "verdict"})


def dataset_digest(rows: Iterable[DatasetRow]) -> str:
    """The digest over every column of every row, 64 hexadecimal digits.

    Raises:
        ValueError: A number is NaN, or a time has no zone.

    >>> dataset_digest([]) == "0" * 64
    True
    """
    return _digest(b"retrue-row-1\n", _COLUMNS, rows)


def content_digest(rows: Iterable[DatasetRow]) -> str:
    """The digest without `labelled_at` and `verdict`: what a repeated run must agree on.

    Raises:
        ValueError: As for `dataset_digest`.
    """
    return _digest(b"retrue-content-1\n", _CONTENT, rows)


def subtract(whole: str, part: str) -> str:
    """The digest of the rows of `whole` that are not in `part` (both of the same kind of digest).

    >>> subtract("0" * 63 + "5", "0" * 63 + "3")[-1]
    '2'
    """
    return f"{(int(whole, 16) - int(part, 16)) % _MODULUS:064x}"


def _digest(line: bytes, columns: Iterable[str], rows: Iterable[DatasetRow]) -> str:
    names = [(name, _sized(name.encode())) for name in columns]
    total = 0
    for row in rows:
        parts = [line]
        for name, head in names:
            value: object = getattr(row, name)
            if value is not None:
                parts += (head, _tagged(name, value))
        hashed = hashlib.blake2b(b"".join(parts), digest_size=32).digest()
        total += int.from_bytes(hashed, "big")
    return f"{total % _MODULUS:064x}"


def _tagged(name: str, value: object) -> bytes:
    match value:
        case str():
            return b"s" + _sized(value.encode())
        case bool():  # before int: True is an int, too
            return b"b" + _sized(b"1" if value else b"0")
        case int():
            return b"i" + _sized(str(value).encode())
        case float() if not math.isnan(value):
            return b"f" + _sized(struct.pack(">d", value + 0.0))  # -0.0 + 0.0 is 0.0
        case datetime() if value.tzinfo is not None:
            since = (value - _EPOCH) // timedelta(microseconds=1)
            return b"t" + _sized(str(since).encode())
        case _:
            raise ValueError(f"{name}: expected text, number, boolean or zoned time, got {value!r}")


def _sized(payload: bytes) -> bytes:
    return len(payload).to_bytes(8, "big") + payload
