"""The servers of tests/cdshooks/fixtures.py."""

from tests.cdshooks.fixtures import desk, empty_ledger, lenient, open_desk

__all__ = ["desk", "empty_ledger", "lenient", "open_desk"]
