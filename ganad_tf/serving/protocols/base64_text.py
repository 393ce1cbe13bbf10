"""Base64 in TensorFlow Serving's lenient form: whitespace anywhere, optional padding."""

import base64
import binascii
import re

_WHITE = re.compile(r"[ \t\n\v\f\r]+")


def decode(text: str) -> bytes:
    """Decodes base64 in the standard alphabet of RFC 4648.

    Unlike in `base64.b64decode`, whitespace is ignored and the padding may be missing, but it must not be wrong. The
    URL alphabet (`-` and `_`) is refused, as in TensorFlow Serving.

    Raises:
      ValueError: If the text is not base64.
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
