"""Servers for the safety tests."""

from tests.cdshooks.ehr import ehr
from tests.cdshooks.fixtures import desk, empty_ledger, open_desk

__all__ = ["desk", "ehr", "empty_ledger", "open_desk"]
