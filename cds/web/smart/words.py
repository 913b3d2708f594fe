"""What each end of a launch says to a clinician: what happened, and what to do now."""

from collections.abc import Mapping

from msgspec import Struct

from cds.smart import Reason

REOPEN = "Close this and open the app again from the patient's chart."
_TELL = "If it happens again, give your support team the code below."
_SUPPORT = "This needs your support team: give them the code below."
_NOTHING = "No patient data is shown."


class Words(Struct, frozen=True):
    """A page: its HTTP status, title, what happened, and what to do next, each a sentence or two."""

    status: int
    title: str
    happened: str
    next: str


WORDS: Mapping[Reason, Words] = {
    "issuer-missing": Words(
        400,
        "This page opens from a patient's chart",
        "The app was started without the address of an electronic health record.",
        "Open a patient's chart and start the app from there.",
    ),
    "issuer-unknown": Words(
        403,
        "This health record is not registered here",
        "The app was started from a system that this site does not know, so it was not contacted.",
        _SUPPORT,
    ),
    "launch-missing": Words(
        400,
        "The health record did not say which chart is open",
        "The app was started without the mark of a chart.",
        "Open a patient's chart and start the app from there.",
    ),
    "discovery-missing": Words(
        502,
        "The health record did not say how to sign in",
        "It was reached, but its sign-in settings were missing or could not be read.",
        f"{REOPEN} {_TELL}",
    ),
    "discovery-incomplete": Words(
        502,
        "The health record's sign-in is not set up completely",
        "Its settings do not name a safe address for signing in.",
        _SUPPORT,
    ),
    "host-unregistered": Words(
        502,
        "The health record's sign-in is not set up completely",
        "Its settings name a server that is not registered for it here, so that server was not contacted.",
        _SUPPORT,
    ),
    "unreachable": Words(
        504,
        "The health record is not answering",
        "It took too long, or could not be reached. Nothing was calculated.",
        f"Wait a minute. {REOPEN} {_TELL}",
    ),
    "access-denied": Words(
        403,
        "Access was declined",
        "The health record says that access was not allowed, or that sign-in was cancelled.",
        f"If that was not intended: {REOPEN[0].lower()}{REOPEN[1:]}",
    ),
    "scope-refused": Words(
        403,
        "The health record does not allow the data this app needs",
        "It refused the kinds of data that the app asked to read.",
        _SUPPORT,
    ),
    "client-refused": Words(
        502,
        "The health record did not accept this app",
        "The app's registration or its signing key was refused.",
        _SUPPORT,
    ),
    "authorization-failed": Words(
        502,
        "Signing in did not work",
        "The health record reported a problem while signing in.",
        f"{REOPEN} {_TELL}",
    ),
    "state-missing": Words(
        400,
        "This sign-in cannot be matched to a start of the app",
        "The health record came back without the mark that ties the sign-in to a patient's chart.",
        REOPEN,
    ),
    "state-unknown": Words(
        400,
        "This sign-in is not known here",
        "It was not started here, or the app was restarted in the meantime.",
        REOPEN,
    ),
    "state-expired": Words(
        400,
        "Signing in took too long",
        "For safety a sign-in must be finished within 10 minutes.",
        REOPEN,
    ),
    "state-replayed": Words(
        400,
        "This sign-in was already used",
        "That happens when a page is reloaded or opened with the Back button. A sign-in works once.",
        REOPEN,
    ),
    "other-browser": Words(
        403,
        "This sign-in belongs to another window",
        "It was started in another browser or window, so it was not continued here.",
        REOPEN,
    ),
    "cookies-blocked": Words(
        200,
        "Your browser did not keep this sign-in",
        "Inside this frame the browser stores nothing for the app, so it cannot tell that the sign-in is yours.",
        "Open the app in a new tab.",
    ),
    "code-missing": Words(
        400,
        "Signing in did not finish",
        "The health record came back without its permission to read the chart.",
        REOPEN,
    ),
    "code-refused": Words(
        403,
        "The health record did not confirm this sign-in",
        "Its permission had expired, or had been used before.",
        REOPEN,
    ),
    "token-unusable": Words(
        502,
        "The health record's answer was not usable",
        "It allowed access, but its answer was incomplete or not in the agreed form.",
        f"{REOPEN} {_TELL}",
    ),
    "identity-invalid": Words(
        403,
        "Who is signed in could not be confirmed",
        "The health record's statement of who you are did not pass the checks.",
        f"{REOPEN} {_TELL}",
    ),
    "no-patient": Words(
        400,
        "No patient is selected",
        "The health record did not say whose chart is open.",
        "Open a patient's chart, then start the app from there.",
    ),
    "not-permitted": Words(
        403,
        "Some of the chart may not be read",
        "The health record refused data that is needed, so nothing was calculated.",
        f"Ask whether your account may see this chart. {_TELL}",
    ),
    "not-recorded": Words(
        503,
        "The app cannot keep its records now",
        "Every look at a chart is recorded, and the record could not be written. Nothing was opened.",
        f"Wait a minute. {REOPEN} {_TELL}",
    ),
    "token-rejected": Words(
        401,
        "Your session has ended",
        f"The health record no longer accepts it. {_NOTHING}",
        REOPEN,
    ),
    "refresh-refused": Words(
        401,
        "Your session has ended",
        f"The health record did not extend it. {_NOTHING}",
        REOPEN,
    ),
    "session-ended": Words(
        401,
        "Your session has ended",
        f"It was closed, or it was not used for 15 minutes, or this page was used before. {_NOTHING}",
        REOPEN,
    ),
    "logged-out": Words(
        200,
        "You have left the app",
        f"The session is closed. {_NOTHING}",
        "You can close this. To come back, open the app from the patient's chart.",
    ),
    "another-patient": Words(
        409,
        "This is another patient",
        "The page was asked for a patient other than the one whose chart it was opened from, so it shows nothing.",
        REOPEN,
    ),
    "forged": Words(
        403,
        "This request was not accepted",
        "It could not be confirmed that it came from this app's own page. Nothing was saved.",
        f"Go back and try once more. If that does not help: {REOPEN[0].lower()}{REOPEN[1:]}",
    ),
    "request-unusable": Words(
        400,
        "This request cannot be used",
        "What the browser sent is not in the expected form. Nothing was saved.",
        REOPEN,
    ),
    "too-many": Words(
        429,
        "Too many sign-ins from here",
        "More sign-ins were started or failed at your address than are allowed in a short time.",
        f"Wait a minute. {REOPEN} {_TELL}",
    ),
    "no-standalone": Words(
        404,
        "This app opens from a patient's chart",
        "No health record is offered here to choose from.",
        "Open a patient's chart and start the app from there.",
    ),
}
