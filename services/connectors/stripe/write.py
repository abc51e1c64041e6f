"""Writing customers: create, update, tag, untag. One request each, never a deletion."""

import msgspec

from services.connectors.stripe.body import body
from services.connectors.stripe.client import Answer, ask
from services.connectors.stripe.customer import customer, observation
from services.connectors.stripe.error import ErrorAnswer, unreadable
from services.connectors.stripe.lookup import CUSTOMERS, path_of
from services.connectors.stripe.manifest import METADATA
from services.connectors.stripe.order import SECOND
from services.contracts.app import Trouble
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import Order
from services.contracts.receipts import Refused, Unchanged, Written
from services.runtime.app import Access, Attempt

# https://docs.stripe.com/error-codes; the sentences are ours, since Stripe's quote the value.
_REASONS = {
    "email_invalid": "it isn't a valid e-mail address",
    "country_code_invalid": "its country isn't a two-letter code",
    "parameter_invalid_string_blank": "it is blank",
    "parameter_invalid_string_empty": "it is empty",
    "parameter_unknown": "this account's API version doesn't know it",
}


async def write(access: Access, command: Write, attempt: Attempt) -> Written | Unchanged | Refused | Trouble:
    """Send one write once, under the attempt's idempotency key."""
    params = body(command)
    if isinstance(params, Refused):
        return params
    if not params:
        return Unchanged(contact_id="" if isinstance(command, Create) else command.contact_id)
    path = CUSTOMERS if isinstance(command, Create) else path_of(command.contact_id)
    answer = await ask(access, "post", path, params, key=attempt.key)
    match answer:
        case Answer():
            return _written(answer, attempt)
        case ErrorAnswer():
            return _refused(answer, command) or answer.trouble()
        case Trouble():
            return answer


def _written(answer: Answer, attempt: Attempt) -> Written | Trouble:
    raw = msgspec.Raw(answer.body)
    found = customer(raw)
    if found is None:
        return unreadable()
    order = answer.order
    if answer.replayed and attempt.first is not None:
        # It shows the customer as it was at some time since the first sending, under a fresh date.
        order = Order(min(attempt.first - SECOND, order.start), order.end)
    return Written(
        contact_id=found.id,
        seen=observation(found, raw, order),
        replayed=answer.replayed,
        label=attempt.key,
        ms=answer.ms,
    )


def _refused(answer: ErrorAnswer, command: Write) -> Refused | None:
    """The refusal in an error answer, or None if it isn't about the customer or one of its fields."""
    if answer.missing and not isinstance(command, Create):
        return Refused(reason="The customer isn't in Stripe any more.", code="resource_missing", gone=True)
    path = answer.path
    if answer.status not in (400, 402) or path is None or isinstance(answer.key, str):
        return None
    why = _REASONS.get(answer.code) or f"it answered {answer.code or answer.status}"
    code = answer.code or str(answer.status)
    match command:
        case Tag() | Untag():
            reason = f"Stripe doesn't take the tag {command.tag}: {why}. It keeps 50 metadata keys at most."
            return Refused(reason=reason, code=code)
        case Create() | Update():
            # Metadata as a whole: too many keys, those there already included.
            of_metadata = tuple(each for each in command.fields if each.startswith(METADATA))
            paths = of_metadata if path == METADATA else (path,)
            if not set(paths) <= command.fields.keys():
                return None
            return Refused(reason=f"Stripe doesn't take {', '.join(paths)}: {why}.", code=code, fields=paths)
