"""Retry policy for network requests: what is tried again, how often, and the message after the last failure."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random_exponential,
)

from engine.errors import GelisolError

PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers of servers that a later try may well find changed."""
_SECRETS = {
    "sig", "signature", "token", "access_token", "awsaccesskeyid", "googleaccessid", "key-pair-id", "policy", "expires",
    "se", "sp", "sv", "sr", "st", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv", "sig_ver", "subscription-key",
}  # fmt: skip
"""Parts of a query that unlock a file for a while."""
T = TypeVar("T")


_NO_NAME = re.compile(
    r"Name or service not known|nodename nor servname|name resolution|NameResolutionError|getaddrinfo failed"
    r"|No address associated with hostname|Could not resolve host"
)
"""How systems and libraries say that a name has no address."""


class RemoteError(OSError):
    """A server did not give what was asked for, after all tries that made sense.

    Attributes
    ----------
    status : int or None
        Of its answer, if it gave one.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


def unsigned(url: str) -> str:
    """Return an address without its signature or token."""
    parts = urlsplit(url)
    kept = [(k, v) for k, v in parse_qsl(parts.query) if not _unlocks(k)]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, urlencode(kept), ""))


def is_signed(url: str) -> bool:
    """Return whether an address holds a signature, a token or a password."""
    parts = urlsplit(url)
    return "@" in parts.netloc or any(_unlocks(key) for key, _ in parse_qsl(parts.query))


def _unlocks(key: str) -> bool:
    return key.lower() in _SECRETS or key.lower().startswith(("x-amz-", "x-goog-"))


def reason(error: BaseException) -> str:
    """Describe what went wrong, down to its cause, without the secrets of an address."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = " ".join(str(cause).split()) or type(cause).__name__
        if not any(text in other for other in texts):
            texts.append(text)
        cause = cause.__cause__
    text = "; ".join(texts)
    if is_unknown_name(text):
        return "no address is found for its name (is it spelt right, is this machine online?)"
    return _scrubbed(text)


def is_unknown_name(text: str) -> bool:
    """Return whether an error means that a server's name has no address."""
    return _NO_NAME.search(text) is not None


def _scrubbed(text: str) -> str:
    return " ".join(_bare(word) if "://" in word and "?" in word else word for word in text.split(" "))


def _bare(word: str) -> str:
    """Strip the query: an address in a message only has to be recognised."""
    end = word[-1] if word[-1] in ".,:;)'\"" else ""
    return word.partition("?")[0] + end


@dataclass(frozen=True)
class RetryPolicy:
    """Retry policy: how long to wait for servers and how often to ask them.

    Attributes
    ----------
    tries : int
        How often a request is made before it counts as failed.
    first_wait_s : float
        Longest wait, s, before the second try; that before each further one is twice as long. A random part of up to
        a half is taken off, so that many workers do not ask at the same moment.
    connect_s, read_s : float
        How long, s, a server may take to accept a connection, and to send something.
    """

    tries: int = 5
    first_wait_s: float = 0.5
    connect_s: float = 10.0
    read_s: float = 60.0

    def retrying(self) -> Retrying:
        """Return tenacity's loop: tries after faults that pass, and raises the last one."""
        half = self.first_wait_s / 2
        return Retrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(self.tries),
            wait=wait_exponential(multiplier=half) + wait_random_exponential(multiplier=half),
            reraise=True,
        )


_policies = [RetryPolicy()]


def policy() -> RetryPolicy:
    """Return the policy of this process."""
    return _policies[-1]


@contextmanager
def using(other: RetryPolicy) -> Iterator[RetryPolicy]:
    """Follow another policy in all threads of this process."""
    _policies.append(other)
    try:
        yield other
    finally:
        _policies.remove(other)


class _Passing(Exception):
    """A fault after which it is worth trying again."""

    def __init__(self, error: Exception):
        super().__init__(str(error))
        self.error = error


def persistently(action: Callable[[], T], what: str) -> T:
    """Do what needs a network, again if need be.

    Parameters
    ----------
    what : str
        For the error, e.g. an address; "" where the caller says so itself.

    Raises
    ------
    FileNotFoundError
        If the server says that there is no such file.
    RemoteError
        If it refuses, or fails after all tries.
    """
    prefix = f"{what}: " if what else ""

    def attempt() -> T:
        try:
            return action()
        except GelisolError:
            raise
        except Exception as raised:
            error = _behind(raised)
            if isinstance(error, FileNotFoundError):
                raise error from None
            if not _is_refusal(error) and not _may_pass(error):
                raise
            if not _may_pass(error):
                raise RemoteError(prefix + reason(error), status_of(error)) from None
            raise _Passing(error) from None

    patience = policy()
    try:
        return patience.retrying()(attempt)
    except _Passing as last:
        raise RemoteError(f"{prefix}{reason(last.error)}, {patience.tries} times; try again later") from None


def _behind(error: Exception) -> Exception:
    """Find the fault behind fsspec's "not found", which also stands for a busy, refusing or silent server."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or not isinstance(cause, Exception):
        return error
    status = status_of(cause)
    return cause if status not in (404, 410) and (status is not None or _may_pass(cause)) else error


def status_of(error: BaseException) -> int | None:
    """Return the status of a web server's answer, or the one within an object store's error."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status
    answer = getattr(error, "response", None)
    found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(answer, dict) else None
    return found if isinstance(found, int) else None


def _is_refusal(error: Exception) -> bool:
    """Return whether a server refused the request; any other error is a fault of this program."""
    return isinstance(error, OSError) or status_of(error) is not None


def _may_pass(error: Exception) -> bool:
    """Return whether a fault is transient: a busy or broken server, a lost or hung connection."""
    status = status_of(error)
    if status is not None:
        return status in PASSING
    if isinstance(error, PermissionError):
        return False
    return isinstance(error, (OSError, ValueError, asyncio.TimeoutError)) or type(error).__module__.startswith(
        ("aiohttp", "botocore", "aiobotocore")
    )
