"""Client of TensorFlow Serving's REST API: named arrays in, named lists out. No TensorFlow."""

import base64
import ipaddress
import json
import re
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import urllib3

from ganad_tf.errors import DataError, InputError

SCHEMES = ("http://", "https://")
CONCURRENT_REQUESTS = 8
TIMEOUT_SECONDS = 60.0  # for an answer
BUSY = (429, 503)
RETRIES_IF_BUSY = 4
LONGEST_WAIT = 30  # seconds between two attempts, even if the server's Retry-After is longer
REDIRECTS = 3
OPENSSL_CODES = re.compile(r"\[(?:SSL|X509)[^\]]*\] | \(_ssl\.c:\d+\)")  # around OpenSSL's own words

Ask = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, Any]]  # signature and inputs → outputs by name


def connect(url: str, *, headers: Sequence[str] = (), ca_cert: Path | None = None) -> Ask:
    """Returns a function that calls a model on a server.

    It takes a signature's name and its inputs `[clips, ...]`, and returns lists with one entry per clip by output
    name. It raises DataError if there is no answer or one with a status other than 200. While the server is busy it
    retries after the server's `Retry-After`, within bounds; a refused connection is not retried. Proxies come from the
    environment, except for loopback addresses. After a redirect to another host, the user's headers are not sent.

    Args:
      url: `http[s]://[USER:PASSWORD@]HOST[:PORT]/v1/models/NAME[/versions/N]`.
      headers: `NAME: VALUE` each, sent with every request.
      ca_cert: PEM file of the certificate authorities to trust instead of the system's.

    Raises:
      InputError: If the URL does not name a model, or a header is malformed.
    """
    address, user = _address(url)
    fields = parse_headers(headers)
    if user is not None:
        if "authorization" in (name.lower() for name in fields):
            raise InputError("Expected either a user in the URL or --header Authorization, and not both.")
        fields["Authorization"] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
    retries = urllib3.Retry(
        total=None,
        connect=0,
        read=1,  # the server may close an idle connection at the same moment
        other=0,
        redirect=REDIRECTS,
        status=RETRIES_IF_BUSY,
        status_forcelist=BUSY,
        allowed_methods=None,
        backoff_factor=0.2,
        retry_after_max=LONGEST_WAIT,
        raise_on_status=False,
        remove_headers_on_redirect=[*fields, "Cookie"],
    )
    pool = _pool(address, ca_cert)

    def ask(signature: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        values = {name: _json_value(array) for name, array in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": values}).encode()
        sent = {"Content-Type": "application/json", **fields}
        try:
            answer = pool.request("POST", f"{address}:predict", body=body, headers=sent, retries=retries)
        except urllib3.exceptions.HTTPError as error:
            raise DataError(f"no answer from {address}: {_reason(error)}.") from error
        if answer.status != 200:
            raise DataError(f"{address} answered {answer.status}: {_sentence(answer)}")
        return _outputs(answer, address)

    return ask


def parse_headers(headers: Sequence[str]) -> dict[str, str]:
    """Parses `NAME: VALUE` lines into values by name.

    Raises:
      InputError: If a header is malformed; the message hides its value, which may be a secret.
    """
    fields = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not _is_value(value):
            name = name if colon else "a text without a colon"
            raise InputError(f"--header: expected 'NAME: VALUE', of printable ASCII characters. Received: {name!r}.")
        fields[name] = value.strip()
    return fields


def hide_password(url: str) -> str:
    """Removes user and password from a URL, for messages."""
    return re.sub(r"^(\w+://)[^/?#]*@", r"\1", url)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_value(text: str) -> bool:
    return text.isascii() and text.strip().isprintable()


def _address(url: str) -> tuple[str, str | None]:
    """URL of the model without credentials, and `USER:PASSWORD` or None."""
    text = url.removesuffix("/").removesuffix(":predict")
    try:
        parts = urlsplit(text)
        is_model = parts.hostname and parts.port != 0 and "/v1/models/" in parts.path and text.isascii()
    except ValueError:
        is_model = False
    if not is_model or not text.isprintable() or " " in text or parts.query or parts.fragment:
        raise InputError(
            f"Expected the URL of a model, http://HOST:PORT/v1/models/NAME. Received: {hide_password(url)}."
        )
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=host).geturl(), user if at else None


def _pool(address: str, ca_cert: Path | None) -> urllib3.PoolManager:
    parts = urlsplit(address)
    assert parts.hostname
    if ca_cert is not None and not ca_cert.is_file():
        raise InputError(f"--ca-cert: expected a file of certificates. Received: {ca_cert}.")
    options: dict[str, Any] = {"maxsize": CONCURRENT_REQUESTS, "block": True, "timeout": TIMEOUT_SECONDS}
    if ca_cert is not None:
        options["ca_certs"] = str(ca_cert)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(parts.hostname) or urllib.request.proxy_bypass(parts.netloc):
        return urllib3.PoolManager(**options)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    user = urlsplit(proxy).netloc.rpartition("@")[0]
    options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else None
    try:
        return urllib3.ProxyManager(hide_password(proxy), **options)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise InputError(f"{parts.scheme}_proxy: expected the URL of a proxy for {address} ({error}).") from error


def _json_value(array: np.ndarray) -> list[Any]:
    if array.dtype == object:
        return [{"b64": base64.b64encode(value).decode()} for value in array]
    return list(array.tolist())


def _outputs(answer: urllib3.BaseHTTPResponse, address: str) -> Mapping[str, Any]:
    try:
        outputs = json.loads(answer.data)["outputs"]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{address}: expected an answer of TensorFlow Serving's REST API.") from error
    if not isinstance(outputs, dict):
        raise DataError(f"{address}: expected several outputs by name, as `ganad export` makes them.")
    return outputs


def _sentence(answer: urllib3.BaseHTTPResponse) -> str:
    try:
        return " ".join(str(json.loads(answer.data)["error"]).split())[:500]
    except (ValueError, LookupError, TypeError):
        return f"{answer.reason or 'no reason'}."


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """Message of the underlying error without urllib3's class names."""
    cause = getattr(error, "reason", None) or error
    text = str(cause).rpartition("): ")[2].rstrip(".")
    return OPENSSL_CODES.sub("", text) or "the connection failed"
