"""Fetches a FHIR Bulk Data export, whole and once, whatever interrupts it."""

from cds.bulk.access import Access, BackendAccess, OpenAccess
from cds.bulk.asking import BulkServer
from cds.bulk.checkpoint import Record
from cds.bulk.ending import Exported
from cds.bulk.export import cancel, export
from cds.bulk.failed import AccessRefused, AlreadyRunning, ExportFailed, HostNotAllowed, NotThisExport
from cds.bulk.kickoff import ExportRequest
from cds.bulk.pace import Pace
from cds.bulk.run import Told

__all__ = [
    "Access",
    "AccessRefused",
    "AlreadyRunning",
    "BackendAccess",
    "BulkServer",
    "ExportFailed",
    "ExportRequest",
    "Exported",
    "HostNotAllowed",
    "NotThisExport",
    "OpenAccess",
    "Pace",
    "Record",
    "Told",
    "cancel",
    "export",
]
