"""What a test may ask of a page: whether its HTML is well formed, and whether anything in it could run."""

from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "input", "br", "img", "hr"})


class Markup(HTMLParser):
    """Every start and end tag in order, the text, and the faults."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.written: list[str] = []
        """The texts outside drawings."""
        self.feed(html)
        self.close()
        self.faults += [f"<{name}> is never closed" for name in self.open]
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        self.faults += [f"id {one} stands twice" for one in set(ids) if ids.count(one) > 1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len({name for name, _ in attrs}) != len(attrs):
            self.faults.append(f"<{tag}> has an attribute twice")
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes what is not open")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "svg" not in self.open:
            self.written.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def active(self) -> list[str]:
        """Whatever a strict policy would have to stop: scripts, styles in the page, handlers, foreign addresses."""
        found = []
        for tag, attributes in self.tags:
            if tag in {"script", "style", "iframe", "object", "embed", "base", "template", "foreignobject", "animate"}:
                found.append(f"<{tag}>")
            for name, value in attributes.items():
                if name.startswith("on") or name in {"style", "srcdoc", "formaction"}:
                    found.append(f"{tag} {name}")
                if name in {"href", "src", "action", "xlink:href"} and not _safe(tag, value or ""):
                    found.append(f"{tag} {name}={value}")
        return found


def _safe(tag: str, address: str) -> bool:
    """Our own paths and anchors; only a link that opens a new tab leads elsewhere, and by https."""
    return address.startswith(("/smart/", "/models/", "#")) or (tag == "a" and address.startswith("https://"))
