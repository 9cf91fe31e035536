"""Access to the files of an archive: tokens from the environment, added to requests and nowhere else.

Planetary Computer signs the addresses of a collection's files with a token that its service gives out
(`PC_SDK_SUBSCRIPTION_KEY` raises the limits, `PC_SDK_SAS_URL` names another service); NASA's archives take the bearer
token of an Earthdata login (`EARTHDATA_TOKEN`). A source holds the names of these rules, never a token.
"""

import os
import time
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from threading import Lock
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from engine.errors import InputError
from engine.extras import load
from engine.remote.retry import RemoteError, persistently, policy

Rule = Literal["planetary_computer", "earthdata", "none"]
_PLANETARY_COMPUTER = "https://planetarycomputer.microsoft.com/api/sas/v1"
_EARTHDATA_HOSTS = (".earthdata.nasa.gov", ".earthdatacloud.nasa.gov")
_ONE_AT_A_TIME = Lock()
_SPARE_S = 300.0
"""A token is renewed so long, s, before it expires."""


@dataclass(frozen=True)
class Access:
    """Rules for access to the files of a source.

    Attributes
    ----------
    rule : {"planetary_computer", "earthdata", "none"} or None
        None: by the host of each file.
    collection : str
        Whose token to ask for.
    """

    rule: Rule | None = None
    collection: str = ""

    def signed(self, url: str) -> str:
        """Return the address with its access token; unchanged if it needs none."""
        token = self._token(url)
        return f"{url}{'&' if urlsplit(url).query else '?'}{token}" if token else url

    def gdal_options(self, url: str) -> dict[str, str]:
        """Return GDAL's settings for access to the file."""
        token = self.bearer(url)
        return {"GDAL_HTTP_AUTH": "BEARER", "GDAL_HTTP_BEARER": token} if token else {}

    def fsspec_options(self, url: str) -> dict[str, dict[str, str]]:
        """Return fsspec's options for requests for the file, or for those of a store."""
        if not url.startswith("http"):
            return {}
        added = {"params": dict(parse_qsl(self._token(url)))}
        if token := self.bearer(url):
            added["headers"] = {"Authorization": f"Bearer {token}"}
        return {key: what for key, what in added.items() if what}

    def bearer(self, url: str) -> str | None:
        """Return the bearer token that the file's host is given, if any."""
        host = urlsplit(url).hostname or ""
        known = host.endswith(_EARTHDATA_HOSTS)
        if self.rule != "earthdata" and not (self.rule is None and known):
            return None
        token = os.environ.get("EARTHDATA_TOKEN")
        if not token:
            raise InputError(
                f"{url}: needs the bearer token of an Earthdata login; make one at urs.earthdata.nasa.gov and set "
                "EARTHDATA_TOKEN in the environment (of the workers too)"
            )
        return token

    def _token(self, url: str) -> str:
        if self.rule != "planetary_computer" or not url.startswith("http"):
            return ""
        return _sas_token(self.collection, os.environ.get("PC_SDK_SAS_URL", _PLANETARY_COMPUTER))


BY_HOST = Access()
"""What each file's host asks for."""


def rule_for(api: str) -> Rule:
    """Return the access rule for the files of a STAC API, by its address."""
    host = urlsplit(api).hostname or ""
    if host == "planetarycomputer.microsoft.com":
        return "planetary_computer"
    return "earthdata" if host.endswith(_EARTHDATA_HOSTS) else "none"


@lru_cache(maxsize=64)
def _kept(collection: str, service: str) -> dict[str, tuple[str, float]]:
    """Return the kept token of a collection and when it expires."""
    del collection, service
    return {}


def _sas_token(collection: str, service: str) -> str:
    with _ONE_AT_A_TIME:
        return _current_token(collection, service)


def _current_token(collection: str, service: str) -> str:
    kept = _kept(collection, service)
    if "token" in kept and kept["token"][1] - _SPARE_S > time.time():
        return kept["token"][0]
    key = os.environ.get("PC_SDK_SUBSCRIPTION_KEY")
    headers = {"Ocp-Apim-Subscription-Key": key} if key else {}
    address = f"{service.rstrip('/')}/token/{collection}"

    requests = load("requests", "stac", "Tokens of Planetary Computer")

    def ask() -> tuple[str, float]:
        answer = requests.get(address, headers=headers, timeout=(policy().connect_s, policy().read_s))
        if not answer.ok:
            raise RemoteError(f"answers {answer.status_code} {answer.reason}", answer.status_code)
        document = answer.json()
        expiry = datetime.fromisoformat(document["msft:expiry"].replace("Z", "+00:00"))
        return document["token"], expiry.timestamp()

    kept["token"] = persistently(ask, f"token service {address}")
    return kept["token"][0]
