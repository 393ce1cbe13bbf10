"""A model on a server over TensorFlow Serving's REST API: named arrays in, named lists out. No TensorFlow here."""

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
AT_ONCE = 8  # requests
SECONDS = 60.0  # that an answer may take
BUSY = (429, 503)
TRIES_AGAIN = 4  # of a server that is busy
LONGEST_WAIT = 30  # seconds between two tries, whatever the server's Retry-After says
REDIRECTS = 3

Ask = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, Any]]  # signature and inputs → outputs by name


def connect(url: str, *, headers: Sequence[str] = (), ca_cert: Path | None = None) -> Ask:
    """A function that asks a server's model.

    It takes a signature and its inputs, `[clips, ...]` each, and returns the outputs, one list entry per
    clip. It raises DataError if the server gives no answer, or another than 200. It tries again while the server is
    busy, for as long as its `Retry-After` says, within bounds, but not where nobody listens. Proxies are those of the
    environment, except for this machine's own addresses. Nothing that the user gave as a header goes to another host
    when the server redirects.

    Args:
      url: `http[s]://[USER:PASSWORD@]HOST[:PORT]/v1/models/NAME[/versions/N]`.
      headers: `NAME: VALUE` each, to be sent with every request.
      ca_cert: Certificates in PEM that the server's is checked against, instead of the system's.

    Raises:
      InputError: If the URL does not name a model, or a header is none.
    """
    address, user = _address(url)
    fields = header_fields(headers)
    if user is not None:
        if "authorization" in (name.lower() for name in fields):
            raise InputError("Expected either a user in the URL or --header Authorization, and not both.")
        fields["Authorization"] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
    retries = urllib3.Retry(
        total=None,
        connect=0,
        read=1,  # a connection that was kept may be closed by the server just then
        other=0,
        redirect=REDIRECTS,
        status=TRIES_AGAIN,
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


def header_fields(headers: Sequence[str]) -> dict[str, str]:
    """`NAME: VALUE` each → values by name.

    Raises:
      InputError: If one is none; does not show its value, which may be a secret.
    """
    fields = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not _is_value(value):
            name = name if colon else "a text without a colon"
            raise InputError(f"--header: expected 'NAME: VALUE', of printable ASCII characters. Received: {name!r}.")
        fields[name] = value.strip()
    return fields


def without_password(url: str) -> str:
    """A URL, or any other text, that can be shown: who asks is left out."""
    return re.sub(r"^(\w+://)[^/?#]*@", r"\1", url)


def is_this_machine(host: str) -> bool:
    """Whether it is an address that no packet leaves this machine for."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_value(text: str) -> bool:
    return text.isascii() and text.strip().isprintable()


def _address(url: str) -> tuple[str, str | None]:
    """A model's address, and who asks: `USER:PASSWORD`."""
    text = url.removesuffix("/").removesuffix(":predict")
    try:
        parts = urlsplit(text)
        is_model = parts.hostname and parts.port != 0 and "/v1/models/" in parts.path and text.isascii()
    except ValueError:
        is_model = False
    if not is_model or not text.isprintable() or " " in text or parts.query or parts.fragment:
        raise InputError(
            f"Expected the URL of a model, http://HOST:PORT/v1/models/NAME. Received: {without_password(url)}."
        )
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=host).geturl(), user if at else None


def _pool(address: str, ca_cert: Path | None) -> urllib3.PoolManager:
    parts = urlsplit(address)
    assert parts.hostname
    if ca_cert is not None and not ca_cert.is_file():
        raise InputError(f"--ca-cert: expected a file of certificates, {ca_cert} is none.")
    ways: dict[str, Any] = {"maxsize": AT_ONCE, "block": True, "timeout": SECONDS}
    if ca_cert is not None:
        ways["ca_certs"] = str(ca_cert)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_this_machine(parts.hostname) or urllib.request.proxy_bypass(parts.netloc):
        return urllib3.PoolManager(**ways)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    user = urlsplit(proxy).netloc.rpartition("@")[0]
    ways["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else None
    try:
        return urllib3.ProxyManager(without_password(proxy), **ways)
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
    """The last of several errors that led to one another, without the library's own names."""
    cause = getattr(error, "reason", None) or error
    return str(cause).rpartition("): ")[2].rstrip(".") or type(cause).__name__
