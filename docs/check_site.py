"""Check the built site: it loads nothing from another server, and its links lead to pages and anchors that are there.

`python docs/check_site.py FOLDER`, as `make docs` calls it.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"link": "href", "object": "data"} | dict.fromkeys(
    ("audio", "embed", "iframe", "img", "script", "source", "video"), "src"
)
"""Element → attribute by which a browser loads something when it shows the page."""
DOES_NOT_LOAD = {"canonical", "next", "prev", "index", "search", "author", "copyright", "license"}
_OF_STYLES = re.compile(r"""(?:@import\s+(?:url\()?|url\()\s*["']?([^"')\s;]+)""")


class Page(HTMLParser):
    """What a page loads, where it links to, and its anchors."""

    def __init__(self, path: Path):
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self._in_style = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element loads, links to or names."""
        found = {key: value or "" for key, value in attrs}
        self._in_style = tag == "style"
        if "id" in found:
            self.anchors.add(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        does_not = tag == "link" and set(found.get("rel", "").split()) & DOES_NOT_LOAD
        if tag in LOADS and LOADS[tag] in found and not does_not:
            self.loads.append(found[LOADS[tag]])
        self.loads += _OF_STYLES.findall(found.get("style", ""))

    def handle_data(self, data: str) -> None:
        """Note what styles within the page load."""
        if self._in_style:
            self.loads += _OF_STYLES.findall(data)


def is_elsewhere(address: str) -> bool:
    """Whether an address names a server."""
    return bool(urlsplit(address).netloc)


def problems(site: Path) -> list[str]:
    """One line per thing that a page loads from elsewhere, and per link that leads nowhere."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.relative_to(site).parts}
    found = [] if pages else [f"{site}: has no pages"]
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name}: loads {address} from another server" for address in page.loads if is_elsewhere(address)]
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                found.append(f"{name}: {link} leads to no file")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{name}: {link} leads to no anchor")
    for style in sorted(site.rglob("*.css")):
        addresses = _OF_STYLES.findall(style.read_text(encoding="utf-8"))
        found += [f"{style.relative_to(site)}: loads {address}" for address in addresses if is_elsewhere(address)]
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems(Path(sys.argv[1]).resolve())) or 0)
