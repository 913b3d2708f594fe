"""The ledger remembers every answer, card and reaction: no answer leaves without a durable record (D26)."""

from cds.ledger.beginning import upgrade
from cds.ledger.events import Event
from cds.ledger.heads import Head
from cds.ledger.ledger import RECALL, Ledger
from cds.ledger.reactions import Whose
from cds.ledger.records import AnswerRecord, FeedbackRecord, ScoreRecord, Tally
from cds.ledger.seal import Keyring
from cds.ledger.verify import Verdict

__all__ = [
    "RECALL",
    "AnswerRecord",
    "Event",
    "FeedbackRecord",
    "Head",
    "Keyring",
    "Ledger",
    "ScoreRecord",
    "Tally",
    "Verdict",
    "Whose",
    "upgrade",
]
