"""Everything that can go wrong, as one tree: whoever raises names the cause, and one table turns causes into HTTP."""

from collections.abc import Sequence


class BedsideError(Exception):
    """The root. `message` is for the person who must act; it never carries a patient's data, a token or a JWT."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SiteError(BedsideError):
    """The site is wrongly set up (site.toml, a model's card, a service): stops the start. Says what and where."""


class NotInstalled(SiteError):
    """A library that only one model needs is not installed: that model is unavailable, and the rest starts."""


class UnsafeToServe(BedsideError):
    """Refused for safety: serving as asked could hand patient data to a stranger."""


class UnsafeToWrite(BedsideError):
    """Refused for safety: results could reach the wrong chart, or could not be written twice without doubling."""


class RunUnusable(BedsideError):
    """A batch run's folder cannot be written back: it is unfinished, was changed since, or holds something else."""


class RequestError(BedsideError):
    """The caller's request cannot be used. `expression` is the path of the member at fault, when there is one."""

    def __init__(self, message: str, expression: str | None = None) -> None:
        super().__init__(message)
        self.expression = expression


class MalformedRequest(RequestError):
    """Not JSON, not the hook's shape, or outside the limits on depth, entries and numbers."""


class UnsupportedMedia(RequestError):
    """The body is not JSON by its Content-Type, or is encoded."""


class RequestTooLarge(RequestError):
    """The body is over the limit."""


class UnknownService(RequestError):
    """No such service here, or it is off."""


class DataUnavailable(BedsideError):
    """What a model needs could be had neither from prefetch nor from the FHIR server. `keys` names it."""

    def __init__(self, message: str, keys: Sequence[str] = (), expressions: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = tuple(keys)
        self.expressions = tuple(expressions)


class TokenRejected(DataUnavailable):
    """The FHIR server does not take the access token (401): it has ended, or was withdrawn."""


class WrongPatient(DataUnavailable):
    """A resource about somebody else, or about nobody we can name, stands in this patient's data."""


class NotForUse(DataUnavailable):
    """The site does not let this record be answered: it is merged, inactive, a test's, or restricted."""


class WriteRefused(BedsideError):
    """A FHIR server did not save what it was given. `status` is its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnreadableResource(BedsideError):
    """A FHIR resource that is no FHIR R4: `path` says where, never what stood there."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class ExportUnreadable(BedsideError):
    """A file of an export cannot be read as a whole, so nobody can be scored from it. The message names the file."""


class RunInterrupted(BedsideError):
    """A batch run stopped before its end: what it had done is kept, and --resume goes on from there."""


class Overloaded(BedsideError):
    """Too much work, too little time, or the server is draining. Ask again in `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyCalls(Overloaded):
    """A client, or an address that shows no good token, calls more often than it may. `tenant` is the client's."""

    def __init__(self, message: str, retry_after: int = 1, tenant: str | None = None) -> None:
        super().__init__(message, retry_after)
        self.tenant = tenant


class LedgerUnavailable(Overloaded):
    """The answer could not be recorded, so it is not given."""


class LedgerSealed(BedsideError):
    """A sealed row cannot be opened: the key is missing or is not the one that sealed it."""


class ModelFailed(BedsideError):
    """A model or a service broke, or gave a number that is no probability.

    `model` is its id, `where` the file and line of the cause: all of it that may be told, since a cause's own text can
    hold a patient's value.
    """

    def __init__(self, message: str, model: str = "", cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.model = model
        self.where = _place(cause) if cause is not None else ""


def _place(cause: BaseException) -> str:
    place = ""
    trace = cause.__traceback__
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        place = f"{'/'.join(path.split('/')[-3:])}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(cause).__name__} at {place}"
