"""Drives the Stripe stand-in with Stripe's own Python SDK; run by the test `official_sdk`.

The environment names the stand-in (STRIPE_API_BASE, STRIPE_API_KEY) and a delivery that it made
(DELIVERED_BODY, DELIVERED_SIGNATURE, STRIPE_WEBHOOK_SECRET). Each check raises when it fails.
"""

import hmac
import os
import time
import urllib.parse
import urllib.request

import stripe

stripe.api_base = os.environ["STRIPE_API_BASE"]
stripe.api_key = os.environ["STRIPE_API_KEY"]
# The SDK would hide a 429 or a 500 behind its own retries.
stripe.max_network_retries = 0


def refused(kind, action, **expected):
    """Asserts that the action raises exactly this class of error, and what the error says."""
    try:
        action()
    except stripe.StripeError as error:
        assert type(error) is kind, f"expected {kind.__name__}, got {type(error).__name__}: {error}"
        for name, value in expected.items():
            assert getattr(error, name) == value, f"{name} is {getattr(error, name)!r}, expected {value!r}"
        return error
    raise AssertionError(f"expected {kind.__name__}, got no error")


def act(path, **parameters):
    """A test action of the stand-in, which no SDK knows."""
    request = urllib.request.Request(
        f"{stripe.api_base}/v1/test_helpers/{path}",
        data=urllib.parse.urlencode(parameters).encode(),
        headers={"Authorization": f"Bearer {stripe.api_key}"},
    )
    urllib.request.urlopen(request).read()


def creates_and_reads():
    customer = stripe.Customer.create(
        name="Ann", email="ann@example.com", address={"line1": "1 Main St", "country": "US"}, metadata={"a": "1", "b": "2"}
    )
    assert customer.address.line1 == "1 Main St" and customer.address.city is None
    updated = stripe.Customer.modify(customer.id, metadata={"a": "", "c": "3"})
    assert updated.metadata.to_dict() == {"b": "2", "c": "3"}, updated.metadata
    assert stripe.Customer.retrieve(customer.id).name == "Ann"
    assert stripe.Customer.delete(customer.id).deleted
    assert stripe.Customer.retrieve(customer.id).deleted
    assert stripe.Account.retrieve().charges_enabled


def pages():
    made = [stripe.Customer.create(name=f"Page {number}", email="pages@example.com").id for number in range(23)]
    listed = [customer.id for customer in stripe.Customer.list(email="pages@example.com", limit=5).auto_paging_iter()]
    assert listed == made[::-1], "auto-paging sees each once, newest first"
    backwards = stripe.Customer.list(email="pages@example.com", limit=7, ending_before=made[0])
    assert [customer.id for customer in backwards.auto_paging_iter()] == made[1:], "and backwards"


def sells():
    product = stripe.Product.create(name="Course", metadata={"recoup_kind": "course"})
    price = stripe.Price.create(product=product.id, currency="usd", unit_amount=4900)
    session = stripe.checkout.Session.create(
        mode="payment",
        success_url="https://shop.example/thanks",
        customer_creation="always",
        line_items=[{"price": price.id, "quantity": 2}],
        metadata={"order": "1"},
        expand=["line_items"],
    )
    assert session.line_items.data[0].amount_total == 9800
    act(f"checkout/sessions/{session.id}/complete", email="buyer@example.com")

    session = stripe.checkout.Session.retrieve(
        session.id, expand=["customer", "payment_intent.latest_charge", "line_items.data.price.product"]
    )
    assert session.payment_status == "paid" and session.status == "complete"
    assert session.customer.email == "buyer@example.com"
    assert session.line_items.data[0].price.product.name == "Course"
    items = stripe.checkout.Session.list_line_items(session.id, limit=1, expand=["data.price.product"])
    assert [item.price.product.id for item in items.auto_paging_iter()] == [product.id]
    charge = session.payment_intent.latest_charge
    assert charge.paid and charge.amount == 9800
    transaction = stripe.BalanceTransaction.retrieve(stripe.Charge.retrieve(charge.id).balance_transaction)
    assert transaction.net == 9800 - transaction.fee and transaction.reporting_category == "charge"
    return session.payment_intent.id, charge.id


def refunds(intent, charge):
    partial = stripe.Refund.create(payment_intent=intent, amount=1800)
    assert partial.status == "succeeded" and partial.charge == charge
    error = refused(stripe.InvalidRequestError, lambda: stripe.Refund.create(charge=charge, amount=8001), param="amount")
    assert "greater than unrefunded amount" in error.user_message
    assert stripe.Refund.create(charge=charge).amount == 8000
    refused(stripe.InvalidRequestError, lambda: stripe.Refund.create(charge=charge), code="charge_already_refunded")
    assert len(stripe.Refund.list(payment_intent=intent).data) == 2
    assert stripe.Charge.retrieve(charge, expand=["refunds"]).refunds.data[1].id == partial.id


def refuses():
    missing = refused(
        stripe.InvalidRequestError, lambda: stripe.Price.retrieve("price_x"), code="resource_missing", http_status=404
    )
    assert missing.request_id.startswith("req_")
    refused(
        stripe.InvalidRequestError,
        lambda: stripe.Customer.create(nonsense="1"),
        code="parameter_unknown",
        param="nonsense",
        http_status=400,
    )
    declined = refused(
        stripe.CardError,
        lambda: stripe.PaymentIntent.create(
            amount=1000, currency="usd", payment_method="pm_card_chargeDeclined", confirm=True
        ),
        code="card_declined",
        http_status=402,
    )
    assert declined.error.decline_code == "generic_decline"
    assert declined.error.payment_intent.status == "requires_payment_method"
    refused(stripe.AuthenticationError, lambda: stripe.Customer.list(api_key="sk_test_wrong"), http_status=401)
    refused(stripe.PermissionError, lambda: stripe.Customer.list(stripe_account="acct_nobody"), http_status=403)


def repeats():
    first = stripe.Customer.create(name="Once", idempotency_key="key-of-the-sdk")
    again = stripe.Customer.create(name="Once", idempotency_key="key-of-the-sdk")
    assert first.id == again.id
    refused(stripe.IdempotencyError, lambda: stripe.Customer.create(name="Twice", idempotency_key="key-of-the-sdk"))


def separates_accounts():
    act("accounts", id="acct_of_the_sdk")
    theirs = stripe.Customer.create(name="Theirs", stripe_account="acct_of_the_sdk")
    refused(stripe.InvalidRequestError, lambda: stripe.Customer.retrieve(theirs.id), code="resource_missing")
    event = stripe.Event.list(stripe_account="acct_of_the_sdk").data[0]
    assert event.account == "acct_of_the_sdk" and event.data.object.id == theirs.id


def tells():
    types = [event.type for event in stripe.Event.list(types=["refund.created", "charge.refunded"]).auto_paging_iter()]
    assert types == ["charge.refunded", "refund.created"] * 2, types
    event = stripe.Event.list(type="customer.updated", limit=1).data[0]
    assert event.data.previous_attributes.to_dict() == {"metadata": {"a": "1", "c": None}}, event
    assert stripe.Event.retrieve(event.id).id == event.id
    endpoint = stripe.WebhookEndpoint.create(url="http://127.0.0.1:1/", enabled_events=["charge.failed"])
    assert endpoint.secret.startswith("whsec_")
    assert stripe.WebhookEndpoint.delete(endpoint.id).deleted


def signs():
    secret, signature = os.environ["STRIPE_WEBHOOK_SECRET"], os.environ["DELIVERED_SIGNATURE"]
    with open(os.environ["DELIVERED_BODY"], encoding="utf-8", newline="") as file:
        body = file.read()
    event = stripe.Webhook.construct_event(body, signature, secret)
    assert event.type == "customer.created" and event.data.object.name == "Signed"
    forged = body.replace("Signed", "Forged")
    refused(stripe.SignatureVerificationError, lambda: stripe.Webhook.construct_event(forged, signature, secret))
    refused(stripe.SignatureVerificationError, lambda: stripe.Webhook.construct_event(body, signature, "whsec_other"))
    # A true signature from a quarter of an hour ago, as someone who recorded the delivery would send it.
    then = int(time.time()) - 900
    stale = f"t={then},v1={hmac.new(secret.encode(), f'{then}.{body}'.encode(), 'sha256').hexdigest()}"
    refused(stripe.SignatureVerificationError, lambda: stripe.Webhook.construct_event(body, stale, secret))
    assert stripe.Webhook.construct_event(body, stale, secret, tolerance=3600).id == event.id


def limits():
    act("rate_limit", per_second=3)
    limited = refused(stripe.RateLimitError, lambda: [stripe.Account.retrieve() for _ in range(50)], http_status=429)
    assert limited.headers["retry-after"] == "1"
    act("rate_limit", per_second="")


def main():
    print(f"stripe {stripe.VERSION}")
    creates_and_reads()
    pages()
    intent, charge = sells()
    refunds(intent, charge)
    refuses()
    repeats()
    separates_accounts()
    tells()
    signs()
    limits()
    print("all checks passed")


main()
