"""The ledger remembers every answer, card and reaction: no answer leaves without a durable record (D26)."""

from cds.ledger.database import upgrade
from cds.ledger.ledger import Ledger
from cds.ledger.records import AnswerRecord, FeedbackRecord, ScoreRecord, Tally
from cds.ledger.seal import Keyring

__all__ = ["AnswerRecord", "FeedbackRecord", "Keyring", "Ledger", "ScoreRecord", "Tally", "upgrade"]
