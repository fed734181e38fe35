"""Signs events with Stripe's own Python library and sends them to the webhook: genuine ones and forgeries.

Arguments: the webhook's URL and its signing secret. Prints how many were accepted and refused, as expected.
"""

import json
import sys
import time
import urllib.error
import urllib.request

import stripe


def signed(secret: str, payload: str, timestamp: int) -> str:
    """The header that Stripe's library computes, and accepts itself where it is not stale."""
    signature = stripe.WebhookSignature._compute_signature(f"{timestamp}.{payload}", secret)
    return f"t={timestamp},v1={signature}"


def send(url: str, payload: str, header: str) -> int:
    headers = {"Content-Type": "application/json", "Stripe-Signature": header}
    request = urllib.request.Request(url, payload.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code


def event(number: int) -> str:
    customer = {"id": f"cus_{number}", "object": "customer", "name": "Zoë 花子", "email": None, "created": 1}
    body = {
        "id": f"evt_{number}",
        "object": "event",
        "type": "customer.created",
        "created": int(time.time()),
        "livemode": False,
        "api_version": stripe.api_version,
        "data": {"object": customer},
    }
    return json.dumps(body, indent=2, ensure_ascii=False)


def main() -> None:
    url, secret = sys.argv[1:]
    now = int(time.time())
    first, second = event(1), event(2)

    header = signed(secret, first, now)
    stripe.Webhook.construct_event(first, header, secret)
    rolled = f"{header},v1={signed('whsec_the_old_one', first, now).split('v1=')[1]}"
    accepted = [(first, header), (second, signed(secret, second, now))]

    tampered = first.replace("cus_1", "cus_9")
    refused = [
        (tampered, header),
        (first, signed("whsec_not_ours", first, now)),
        (first, signed(secret, first, now - 3600)),
        (first, header.replace("v1=", "v1=00")),
    ]
    for payload, forged in refused:
        try:
            stripe.Webhook.construct_event(payload, forged, secret)
            sys.exit("Stripe's own library accepts this forgery")
        except stripe.SignatureVerificationError:
            pass

    counts = {200: 0, 400: 0}
    for payload, header in accepted + refused:
        counts[send(url, payload, header)] += 1
    if send(url, first, rolled) != 200:
        sys.exit("a header with two signatures, one of them of an old secret, is refused")
    print(f"accepted {counts[200]}, refused {counts[400]}")


main()
