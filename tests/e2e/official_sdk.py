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


def all_of(lister, **filters):
    """Every object of a list, by pages of two: as a comparison with Stripe reads it."""
    return list(lister(limit=2, **filters).auto_paging_iter())


def bills():
    customer = stripe.Customer.create(
        email="plan@example.com",
        payment_method="pm_card_visa",
        invoice_settings={"default_payment_method": "pm_card_visa"},
    )
    product = stripe.Product.create(name="Plan")
    price = stripe.Price.create(product=product.id, currency="usd", unit_amount=1500, recurring={"interval": "month"})
    made = [stripe.Subscription.create(customer=customer.id, items=[{"price": price.id}]) for _ in range(5)]
    assert {subscription.status for subscription in made} == {"active"}
    listed = all_of(stripe.Subscription.list, customer=customer.id, price=price.id, expand=["data.latest_invoice"])
    assert [subscription.id for subscription in listed] == [subscription.id for subscription in reversed(made)]
    assert listed[0].latest_invoice.status == "paid"
    item = listed[0]["items"].data[0]
    assert item.price.unit_amount == 1500 and item.current_period_end > item.current_period_start
    assert [found.id for found in stripe.SubscriptionItem.list(subscription=listed[0].id)] == [item.id]
    modified = stripe.Subscription.modify(made[0].id, cancel_at_period_end=True)
    assert modified.cancel_at == modified["items"].data[0].current_period_end
    assert stripe.Subscription.cancel(made[1].id).status == "canceled"
    assert [one.id for one in all_of(stripe.Subscription.list, status="canceled")] == [made[1].id]

    invoices = all_of(stripe.Invoice.list, customer=customer.id, status="paid", created={"gte": made[0].created})
    assert len(invoices) == 5 and {invoice.amount_paid for invoice in invoices} == {1500}
    assert all_of(stripe.Invoice.list, subscription=made[2].id)[0].parent.subscription_details.subscription == made[2].id
    lines = list(stripe.Invoice.list_lines(invoices[0].id).auto_paging_iter())
    assert lines[0].pricing.price_details.price == price.id
    payments = all_of(stripe.InvoicePayment.list, expand=["data.payment.payment_intent"])
    assert len(payments) == 5 and payments[0].payment.payment_intent.status == "succeeded"

    for number in range(3):
        stripe.InvoiceItem.create(customer=customer.id, amount=1000 + number, currency="usd")
    assert len(all_of(stripe.InvoiceItem.list, customer=customer.id, pending=True)) == 3
    draft = stripe.Invoice.create(customer=customer.id, pending_invoice_items_behavior="include")
    assert draft.status == "draft" and draft.total == 3003
    assert stripe.Invoice.finalize_invoice(draft.id).status == "open"
    assert stripe.Invoice.void_invoice(draft.id).status == "void"
    assert [method.card.last4 for method in stripe.Customer.list_payment_methods(customer.id)] == ["4242"]


def disputes_and_payouts():
    since = int(time.time())
    for card in ["pm_card_createDispute", "pm_card_createDisputeProductNotReceived", "pm_card_createDisputeInquiry"]:
        stripe.PaymentIntent.create(amount=5000, currency="eur", payment_method=card, confirm=True)
    disputes = all_of(stripe.Dispute.list, created={"gte": since}, expand=["data.charge"])
    assert [dispute.reason for dispute in disputes] == ["fraudulent", "product_not_received", "fraudulent"]
    assert disputes[0].status == "warning_needs_response" and disputes[1].charge.disputed
    won = stripe.Dispute.modify(disputes[2].id, evidence={"uncategorized_text": "winning_evidence"}, submit=True)
    assert won.status == "won" and [move.net for move in won.balance_transactions] == [-6500, 6500]
    assert stripe.Dispute.close(disputes[1].id).status == "lost"

    stripe.PaymentIntent.create(amount=90_000, currency="eur", payment_method="pm_card_bypassPending", confirm=True)
    available = {one.currency: one.amount for one in stripe.Balance.retrieve().available}
    by_hand = [stripe.Payout.create(amount=1000, currency="eur") for _ in range(3)]
    assert stripe.Payout.cancel(by_hand[0].id).status == "canceled"
    refused(stripe.InvalidRequestError, lambda: stripe.Payout.create(amount=10**7, currency="eur"), code="balance_insufficient")
    act("payouts", currency="eur")
    payouts = all_of(stripe.Payout.list, created={"gte": since})
    assert [payout.id for payout in payouts[1:]] == [payout.id for payout in reversed(by_hand)]
    assert payouts[0].automatic and payouts[0].amount == available["eur"] - 2000
    moves = all_of(stripe.BalanceTransaction.list, payout=payouts[0].id, expand=["data.source"])
    assert sum(move.net for move in moves) == 0
    assert {move.reporting_category for move in moves} >= {"charge", "dispute", "dispute_reversal", "payout"}


def balances():
    """What `reconcile balance` and `reconcile endpoint` list, by their filters."""
    moves = all_of(stripe.BalanceTransaction.list)
    times = [move.created for move in moves]
    assert times == sorted(times, reverse=True) and all(move.net == move.amount - move.fee for move in moves)
    middle = times[len(times) // 2]
    later = all_of(stripe.BalanceTransaction.list, created={"gte": middle, "lte": times[0]})
    assert [move.id for move in later] == [move.id for move in moves if move.created >= middle]
    charge = next(move for move in moves if move.reporting_category == "charge")
    assert [move.id for move in all_of(stripe.BalanceTransaction.list, source=charge.source)] == [charge.id]
    assert stripe.BalanceTransaction.retrieve(charge.id).fee == charge.fee
    payouts = all_of(stripe.Payout.list, created={"gte": times[-1]})
    told = [payout for payout in payouts if payout.automatic and payout.reconciliation_status == "completed"]
    for payout in told:
        paid = all_of(stripe.BalanceTransaction.list, payout=payout.id)
        assert sum(move.net for move in paid if move.source != payout.id) == payout.amount
    assert told
    manual = next(payout for payout in payouts if not payout.automatic)
    refused(stripe.InvalidRequestError, lambda: stripe.BalanceTransaction.list(payout=manual.id), param="payout")

    silent = [stripe.WebhookEndpoint.create(url=f"http://127.0.0.1:1/{n}", enabled_events=["product.created"]) for n in range(3)]
    listed = {endpoint.id: endpoint for endpoint in all_of(stripe.WebhookEndpoint.list)}
    assert all(listed[one.id].status == "enabled" and listed[one.id].enabled_events == ["product.created"] for one in silent)
    assert stripe.WebhookEndpoint.modify(silent[0].id, disabled=True).status == "disabled"
    stripe.Product.create(name="Nobody hears of it")
    undelivered = all_of(stripe.Event.list, delivery_success=False, created={"gte": times[-1]})
    assert [event.type for event in undelivered][0] == "product.created" and undelivered[0].pending_webhooks == 2
    delivered = {event.id for event in all_of(stripe.Event.list, delivery_success=True)}
    assert delivered and not delivered & {event.id for event in undelivered}
    for endpoint in silent:
        stripe.WebhookEndpoint.delete(endpoint.id)


def connects():
    made = [stripe.Account.create(type="express", country="DE", email=f"{number}@example.com") for number in range(3)]
    assert not made[0].charges_enabled and "external_account" in made[0].requirements.currently_due
    listed = all_of(stripe.Account.list)
    assert [account.id for account in listed] == [account.id for account in reversed(made)]
    stripe.Account.modify(made[0].id, metadata={"tier": "gold"})
    act(f"accounts/{made[0].id}/verify")
    updated = stripe.Event.list(type="account.updated", stripe_account=made[0].id)
    assert [event.account for event in updated] == [made[0].id] * 2
    assert updated.data[0].data.previous_attributes.charges_enabled is False
    assert stripe.Account.retrieve(made[0].id).payouts_enabled


def compared():
    """The lists that `reconcile` reads, as it reads them: by when objects were made, newest first, with what it expands."""
    since, until = 0, int(time.time()) + 60
    window = {"created": {"gte": since, "lte": until}}
    lists = {
        "account": all_of(stripe.Account.list, **window),
        "product": all_of(stripe.Product.list, created={"lte": until}),
        "price": all_of(stripe.Price.list, created={"lte": until}),
        "customer": all_of(stripe.Customer.list, **window),
        "payment_intent": all_of(stripe.PaymentIntent.list, **window),
        "charge": all_of(stripe.Charge.list, **window),
        "refund": all_of(stripe.Refund.list, **window),
        "dispute": all_of(stripe.Dispute.list, **window),
        "subscription": all_of(stripe.Subscription.list, status="all", **window),
        "invoice": all_of(stripe.Invoice.list, expand=["data.payments"], **window),
        "invoice_payment": all_of(stripe.InvoicePayment.list, status="paid", **window),
        "checkout.session": all_of(
            stripe.checkout.Session.list,
            expand=[
                "data.line_items",
                "data.subscription",
                "data.payment_intent.latest_charge.balance_transaction",
            ],
            **window,
        ),
        "payout": all_of(stripe.Payout.list, **window),
    }
    for name, objects in lists.items():
        assert objects and {found.object for found in objects} == {name}, name
        made = [found.created for found in objects]
        assert made == sorted(made, reverse=True), f"{name}: newest first"
        assert len({found.id for found in objects}) == len(objects), f"{name}: each once"
    sold = lists["checkout.session"][-1]
    assert sold.payment_intent.latest_charge.balance_transaction.created >= sold.created
    assert sold.line_items.data[0].price.product.startswith("prod_")
    paid = next(invoice for invoice in lists["invoice"] if invoice.status == "paid" and invoice.amount_due)
    assert paid.payments.data[0].payment.payment_intent and paid.status_transitions.paid_at
    assert {payment.status for payment in lists["invoice_payment"]} == {"paid"}
    assert {"canceled", "active"} <= {subscription.status for subscription in lists["subscription"]}
    nothing = stripe.Charge.list(limit=100, created={"gte": since, "lte": since + 1})
    assert nothing.data == [] and not nothing.has_more
    newest = stripe.Customer.list(limit=100, created={"gte": since, "lte": lists["customer"][2].created})
    assert newest.data[0].created <= lists["customer"][2].created
    # An object that is gone: a mark where Stripe keeps one, else 404.
    gone = stripe.Customer.create(name="Gone").id
    stripe.Customer.delete(gone)
    assert stripe.Customer.retrieve(gone).deleted
    assert gone not in [customer.id for customer in all_of(stripe.Customer.list, **window)]
    refused(stripe.InvalidRequestError, lambda: stripe.Charge.retrieve("ch_gone"), code="resource_missing", http_status=404)
    left = refused(stripe.PermissionError, lambda: stripe.Charge.list(stripe_account="acct_left"), http_status=403)
    assert left.json_body["error"]["code"] == "account_invalid"


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
    bills()
    disputes_and_payouts()
    balances()
    connects()
    compared()
    refuses()
    repeats()
    separates_accounts()
    tells()
    signs()
    limits()
    print("all checks passed")


main()
