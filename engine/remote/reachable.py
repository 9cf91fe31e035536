"""Reachability of servers: each is tried once, all at the same time, in seconds."""

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from engine.remote.retry import reason

CONNECT_S, ANSWER_S = 5.0, 10.0
"""How long, s, a server may take to accept a connection, and to begin an answer."""
_AWS = "https://s3.amazonaws.com"


def server_of(address: str) -> str | None:
    """Return scheme, host and port that an address is read from; None if unknown or behind a proxy.

    An object store's is that of the environment, where it names one.
    """
    parts = urlsplit(address)
    if parts.scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        configured = os.environ.get("AWS_CONFIG_FILE") or (Path.home() / ".aws" / "config").exists()
        return server_of(endpoint) if endpoint else None if configured else server_of(_AWS)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    if parts.scheme in getproxies() and not proxy_bypass(parts.hostname):
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def silent_servers(servers: Iterable[str]) -> dict[str, str]:
    """Return servers that do not answer, and why; one that refuses a request or breaks off does answer."""
    found: dict[str, str] = {}
    known = list(dict.fromkeys(servers))
    tried = {server: threading.Thread(target=_try, args=(server, found), daemon=True) for server in known}
    for thread in tried.values():
        thread.start()
    end = time.monotonic() + CONNECT_S + ANSWER_S
    for server, thread in tried.items():
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            found[server] = f"does not answer within {CONNECT_S + ANSWER_S:g} s"
    return {server: found[server] for server in known if server in found}


def _try(server: str, found: dict[str, str]) -> None:
    parts = urlsplit(server)
    assert parts.hostname
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=CONNECT_S)
    connected = False
    try:
        connection.connect()
        connected = True
        connection.sock.settimeout(ANSWER_S)
        connection.request("HEAD", "/")
        connection.getresponse()
    except TimeoutError:
        found[server] = (
            f"accepts connections, but does not answer within {ANSWER_S:g} s" if connected
            else f"does not accept a connection within {CONNECT_S:g} s"
        )  # fmt: skip
    except (ssl.SSLError, HTTPException, ConnectionResetError, BrokenPipeError):
        return  # it is there
    except (OSError, socket.gaierror) as error:
        found[server] = reason(error)
    finally:
        connection.close()
