"""The servers of tests/cdshooks, ours and the EHR's."""

from tests.cdshooks.ehr import ehr
from tests.cdshooks.fixtures import desk, empty_ledger, lenient, open_desk

__all__ = ["desk", "ehr", "empty_ledger", "lenient", "open_desk"]
