"""One page of a real browser, with everything in it that must not happen."""

from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page


class Screen:
    """One browser page on the demo, with a list of everything that must not happen."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.faults: list[str] = []
        self.addresses: list[str] = []
        origin = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}/"
        page.on("console", lambda message: self._note("console", message.text, message.type in {"error", "warning"}))
        page.on("pageerror", lambda error: self._note("script", str(error)))
        page.on("request", lambda request: self._note("off-origin", request.url, not request.url.startswith(origin)))
        page.on("request", lambda request: self.addresses.append(request.url))
        page.expose_function("reportViolation", lambda directive: self._note("policy", directive))
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', (event) => reportViolation(event.violatedDirective))"
        )
        page.goto(url)
        page.wait_for_selector("body[data-ready]")

    def _note(self, kind: str, text: str, is_fault: bool = True) -> None:
        if is_fault:
            self.faults.append(f"{kind}: {text}")

    def all(self, name: str) -> Locator:
        return self.page.get_by_test_id(name)

    def choose(self, story: int) -> str:
        """Opens the chart, which calls patient-view; gives what the screen then shows: card, silence or error."""
        if self.all("patients").get_attribute("open") is None:
            self.all("patients").locator("> summary").click()
        self.all("patient").nth(story).click()
        return self.shown()

    def shown(self) -> str:
        self.page.wait_for_selector("[data-testid=answer][data-state]")
        return self.all("answer").get_attribute("data-state") or ""

    def summaries(self) -> list[str]:
        return self.all("card-summary").all_inner_texts()

    def overflow(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
