"""A clinician on the page of a patient made of canaries, and the means to make things fail around her."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import httpx

from tests.safety.canaries import PATIENT
from tests.web.two_ehrs import THEIRS, Fault, OtherEhr, TwoEhrs, hidden


class Road:
    """`back` is the address with which her sign-in ends; `act` sends one of her page's forms."""

    def __init__(self, at: TwoEhrs) -> None:
        self.at, self.browser = at, at.visitor()
        self.path = self.browser.opened(at.a)

    def reopen(self) -> None:
        self.path = self.browser.opened(self.at.a)

    def form(self, **members: str) -> dict[str, str]:
        page = self.browser.get(self.path)
        usual = {"assessment": hidden(page, "assessment"), "card": hidden(page, "card"), "verdict": "helpful"}
        return usual | {"ticket": hidden(page, "ticket"), "egfr": "25", "acr": "310"} | members

    def act(self, what: str, **members: str) -> httpx.Response:
        return self.browser.post(f"{self.path}/{what}", self.form(**members))

    def back(self, at: OtherEhr | None = None) -> str:
        at = at or self.at.a
        return self.browser.back(at, PATIENT if at is self.at.a else THEIRS)

    @contextmanager
    def failing(self, named: str, fault: Fault, at: OtherEhr | None = None) -> Iterator[None]:
        at = at or self.at.a
        at.faults[named] = fault
        try:
            yield
        finally:
            at.faults.clear()

    @contextmanager
    def held(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.at.desk.database)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield

    @contextmanager
    def later(self, **span: float) -> Iterator[None]:
        self.at.desk.now += timedelta(**span)
        try:
            yield
        finally:
            self.at.desk.now -= timedelta(**span)
            self.reopen()
