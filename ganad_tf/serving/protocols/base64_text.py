"""Base64 as TensorFlow Serving reads it: white space anywhere, padding or none."""

import base64
import binascii
import re

_WHITE = re.compile(r"[ \t\n\v\f\r]+")


def decode(text: str) -> bytes:
    """The bytes that a text holds in the standard alphabet of RFC 4648.

    Other than `base64.b64decode`, line breaks are passed over and the padding may be missing. Where there is one, it
    must be right. The alphabet for URLs (`-` and `_`) is refused, as TensorFlow Serving does.

    Raises:
      ValueError: If it holds none.
    """
    try:
        return base64.b64decode(text, validate=True)  # the usual case, without a copy
    except binascii.Error:
        letters = _WHITE.sub("", text)
    bare = letters.rstrip("=")
    missing = -len(bare) % 4
    if len(letters) - len(bare) not in (0, missing):
        raise ValueError("the padding does not fit the length")
    return base64.b64decode(bare + missing * "=", validate=True)
