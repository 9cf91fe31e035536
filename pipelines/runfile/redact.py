"""Secrets stay out of what is written: resolved run files, provenance, logs."""

import re
from typing import Any

HIDDEN = "(hidden)"
_NAME = re.compile(r"passw|secret|token|credential|(api|access|private|account)_?key|^auth$", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^/@\s]+:[^/@\s]+(?=@)")
_IN_QUERY = re.compile(
    r"(?<=[?&])((?:x-amz-[a-z-]+|sig|signature|token|access_token|api_?key|key|password)=)[^&\s]+", re.IGNORECASE
)


def redacted(node: Any) -> Any:
    """Copy nested values with passwords, tokens and keys hidden, by the name of their key or in a URL."""
    if isinstance(node, dict):
        return {
            k: HIDDEN if isinstance(v, str) and v and _NAME.search(str(k)) else redacted(v) for k, v in node.items()
        }
    if isinstance(node, list | tuple):
        return [redacted(value) for value in node]
    return redacted_text(node) if isinstance(node, str) else node


def redacted_text(text: str) -> str:
    """Return a text without the secrets of the URLs in it."""
    return _IN_QUERY.sub(rf"\g<1>{HIDDEN}", _IN_URL.sub(HIDDEN, text))
