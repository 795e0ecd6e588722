"""Times in text, and how PoofDB writes the same ones.

Pure.
"""

import datetime
import re

from poof.encoding.scalars import encode_moment

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt _](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?:([Zz])|([+-])(\d\d):?(\d\d))?", re.ASCII
)
_STORED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_EARLIEST = encode_moment(datetime.datetime.min.replace(tzinfo=datetime.UTC))
_LATEST = encode_moment(datetime.datetime.max.replace(tzinfo=datetime.UTC))


def read_moment(text: str) -> datetime.datetime | None:
    """The datetime that a text of RFC 3339 or ISO 8601 means; it is naive where the text has no offset.

    What is finer than a microsecond is cut off. A leap second is the first moment after it.

    >>> read_moment("2024-02-29T01:30:00+01:00")
    datetime.datetime(2024, 2, 29, 1, 30, tzinfo=datetime.timezone(datetime.timedelta(seconds=3600)))
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zulu, sign, hours, minutes = found.groups()
    leap = second == "60"
    zone: datetime.tzinfo | None = None
    try:
        if zulu is not None:
            zone = datetime.UTC
        elif sign is not None:
            if int(minutes) > 59:
                return None
            offset = datetime.timedelta(hours=int(hours), minutes=int(minutes))
            zone = datetime.timezone(-offset if sign == "-" else offset)
        seconds = 59 if leap else int(second or 0)
        micros = 0 if leap else int((fraction or "0")[:6].ljust(6, "0"))
        moment = datetime.datetime(int(year), int(month), int(day), int(hour), int(minute), seconds, micros, zone)
        return moment + datetime.timedelta(seconds=1) if leap else moment
    except (ValueError, OverflowError):
        return None


def utc_text(text: str) -> str | None:
    """The moment that a text of RFC 3339 means, as PoofDB stores it; None for any other text, and without an offset.

    What is out of the range of a datetime becomes the earliest one or the latest.
    """
    if _STORED.fullmatch(text):
        return text
    is_before = text.startswith("0000-")  # no datetime has this year; 4 is a leap year as well
    moment = read_moment(f"0004{text[4:]}" if is_before else text)
    if moment is None or moment.tzinfo is None:
        return None
    if is_before:
        return _EARLIEST
    try:
        return encode_moment(moment.astimezone(datetime.UTC))
    except OverflowError:
        return _EARLIEST if moment.year == 1 else _LATEST
