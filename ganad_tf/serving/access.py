"""Access control: bearer token, CORS and TLS."""

import hmac
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.errors import ConfigError
from ganad_tf.serving.refusals import RefusedError

PREFLIGHT_SECONDS = 600
CORS_HEADERS = "Authorization, Content-Encoding, Content-Type, Inference-Header-Content-Length"


@dataclass(frozen=True)
class Access:
    """Token and CORS rules of the server.

    Attributes:
      token: Required in all requests except health checks; None for no authentication.
      origins: Origins whose pages may send requests from a browser; `*` for any.
    """

    token: bytes | None = None
    origins: Sequence[str] = ()

    def check_token(self, authorization: str | None) -> None:
        """Refuses a request without the token, compared in constant time.

        Raises:
          RefusedError: 401, if the token is missing or wrong.
        """
        if self.token is None:
            return
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(token.strip().encode("utf-8", "replace"), self.token):
            sentence = "expected the header `Authorization: Bearer TOKEN` with the server's token."
            raise RefusedError(401, sentence, {"WWW-Authenticate": "Bearer"})

    def cors_headers(self, origin: str | None) -> Mapping[str, str]:
        """CORS headers of a response to a page of `origin`."""
        if not self.origins:
            return {}
        if "*" in self.origins:
            return {"Access-Control-Allow-Origin": "*"}
        if origin in self.origins:
            return {"Access-Control-Allow-Origin": str(origin), "Vary": "Origin"}
        return {"Vary": "Origin"}

    def preflight_headers(self, origin: str | None, allowed: str) -> Mapping[str, str] | None:
        """CORS headers of a preflight response; None if the origin is not allowed."""
        headers = self.cors_headers(origin)
        if "Access-Control-Allow-Origin" not in headers:
            return None
        return {
            **headers,
            "Access-Control-Allow-Methods": allowed,
            "Access-Control-Allow-Headers": CORS_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        }


def read_token(path: Path) -> bytes:
    """Reads the token, the only line of a file.

    Raises:
      ConfigError: If the file can't be read, is empty, or holds more than one word.
    """
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"Expected a token in {path} (--token-file), but it can't be read: {error.strerror}."
        ) from error
    if not token or len(token.split()) != 1:
        raise ConfigError(
            f"Expected one line with a token in {path} (--token-file). Received: {len(token.split())} words."
        )
    return token


def tls(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """TLS context from PEM files with a certificate chain and its key; without `key`, the first file holds both.

    Raises:
      ConfigError: If the files can't be read or don't belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    files = f"{certificate} and {key}" if key else str(certificate)
    expected = f"Expected a certificate and its key in {files} (--tls-cert, --tls-key)"
    try:
        context.load_cert_chain(certificate, key, password="")  # an encrypted key is refused instead of prompted for
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"{expected}: the key is not that of the certificate.") from error
        raise ConfigError(f"{expected}: they are not in PEM format, or the key needs a password.") from error
    except OSError as error:
        raise ConfigError(f"{expected}: {error.strerror or error}.") from error
    return context
