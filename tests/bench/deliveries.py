"""Stripe's deliveries of certain sizes, signed: what the bench sends and reads."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

SECRET = "whsec_bench"
HEADER = "stripe-signature"
SIZES = (1_200, 2_600, 20_000)
"""Bytes: a bare customer, one as Stripe sends it with its indentation, one whose metadata is full."""
_KEYS = 50
"""Metadata keys that a customer may have: https://docs.stripe.com/api/metadata."""


def event(number: int, size: int, *, created: int, phone: str = "+1 202 555 0101") -> bytes:
    """A `customer.updated` of about `size` bytes (2 % off at most), whose phone number was another before."""
    customer: dict[str, Any] = {
        "id": f"cus_{number:014d}",
        "object": "customer",
        "address": {
            "city": "London",
            "country": "GB",
            "line1": "12 St James's Square",
            "line2": None,
            "postal_code": "SW1Y 4JH",
            "state": None,
        },
        "created": created - 86_400,
        "description": "Countess",
        "email": f"p{number}@example.com",
        "livemode": False,
        "metadata": {"product": "syncbox"},
        "name": f"Ada Nr{number}",
        "phone": phone,
    }
    if size > SIZES[0]:
        customer |= {
            "balance": 0,
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "discount": None,
            "invoice_prefix": "0759376C",
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "next_invoice_sequence": 1,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
        }
    body = {
        "id": f"evt_{number:024d}",
        "object": "event",
        "api_version": "2026-08-26",
        "created": created,
        "data": {"object": customer, "previous_attributes": {"phone": "+1 202 555 0100"}},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": "req_bench", "idempotency_key": "00000000-0000-4000-8000-000000000000"},
        "type": "customer.updated",
    }
    keys = _KEYS - 1 if size > SIZES[1] else 1
    indent = None if size <= SIZES[0] else 2
    rest = size - len(_filled(body, keys, 0, indent))
    return _filled(body, keys, max(0, rest // keys), indent)


def signed(body: bytes, *, at: int) -> str:
    """The header that signs a body at `at` (unix seconds)."""
    fits = hmac.digest(SECRET.encode(), b"%d." % at + body, hashlib.sha256).hex()
    return f"t={at},v1={fits}"


def _filled(body: dict[str, Any], keys: int, length: int, indent: int | None) -> bytes:
    body["data"]["object"]["metadata"] |= {f"key_{at:02d}": "x" * length for at in range(keys)}
    return json.dumps(body, indent=indent).encode()
