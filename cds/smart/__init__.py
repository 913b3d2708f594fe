"""The SMART app towards an EHR's authorization server: launches, tokens and sessions; knows no web framework."""

from cds.smart.app import Begun, SmartApp
from cds.smart.refused import Reason, SentBack, SessionEnded, SmartRefused
from cds.smart.scopes import lacking
from cds.smart.sessions import Access, Session, Sessions

__all__ = [
    "Access",
    "Begun",
    "Reason",
    "SentBack",
    "Session",
    "SessionEnded",
    "Sessions",
    "SmartApp",
    "SmartRefused",
    "lacking",
]
