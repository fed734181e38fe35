//! Stripe's test cards and bank accounts, and what becomes of a payment with each
//! (<https://docs.stripe.com/testing>).

use serde_json::{Value, json};

use super::fields;

/// Why a card is declined: code, decline code, message.
pub type Decline = (&'static str, &'static str, &'static str);

pub const BANK: &str = "us_bank_account";
pub const SEPA: &str = "sepa_debit";

/// A test payment method, by the name under which Stripe offers it. Tokens have the same names: `tok_visa`.
struct TestMethod {
    name: &'static str,
    brand: &'static str,
    last4: &'static str,
}

const fn visa(name: &'static str, last4: &'static str) -> TestMethod {
    TestMethod { name, brand: "visa", last4 }
}

const METHODS: [TestMethod; 23] = [
    visa("visa", "4242"),
    TestMethod { name: "mastercard", brand: "mastercard", last4: "4444" },
    TestMethod { name: "amex", brand: "amex", last4: "8431" },
    visa("bypassPending", "0077"),
    visa("chargeDeclined", "0002"),
    visa("chargeDeclinedInsufficientFunds", "9995"),
    visa("chargeDeclinedLostCard", "9987"),
    visa("chargeDeclinedStolenCard", "9979"),
    visa("chargeDeclinedExpiredCard", "0069"),
    visa("chargeDeclinedIncorrectCvc", "0127"),
    visa("chargeDeclinedProcessingError", "0119"),
    // Can be attached to a customer, and is declined afterwards.
    visa("chargeCustomerFail", "0341"),
    visa("authenticationRequired", "3184"),
    visa("threeDSecure2Required", "3220"),
    visa("createDispute", "0259"),
    visa("createDisputeProductNotReceived", "2685"),
    visa("createDisputeInquiry", "1976"),
    visa("refundFail", "5126"),
    visa("pendingRefund", "7726"),
    // Debits are confirmed days later: the payment stays `processing` until a test action ends it.
    TestMethod { name: "usBankAccount", brand: BANK, last4: "6789" },
    TestMethod { name: "usBankAccount_processing", brand: BANK, last4: "6789" },
    TestMethod { name: "usBankAccount_success", brand: BANK, last4: "6789" },
    TestMethod { name: "usBankAccount_insufficientFunds", brand: BANK, last4: "2227" },
];

/// What a new payment method of this test name (`pm_card_visa`, `tok_visa`) is of: its `type` and the details
/// under it.
pub fn named(name: &str) -> Option<(&'static str, Value)> {
    // Stripe spells some of them with the brand.
    let name = name
        .strip_prefix("pm_card_visa_")
        .or_else(|| name.strip_prefix("pm_card_"))
        .or_else(|| name.strip_prefix("tok_visa_"))
        .or_else(|| name.strip_prefix("tok_"))
        .or_else(|| name.strip_prefix("pm_"))?;
    let method = METHODS.iter().find(|method| method.name == name)?;
    Some(if method.brand == BANK { (BANK, bank(method)) } else { ("card", card(method)) })
}

fn card(method: &TestMethod) -> Value {
    json!({
        "brand": method.brand,
        "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
        "country": "US", "display_brand": method.brand, "exp_month": 8, "exp_year": 2034,
        "fingerprint": format!("AOB934RVNwzk{}", method.last4), "funding": "credit", "generated_from": null,
        "last4": method.last4, "networks": { "available": [method.brand], "preferred": null },
        "regulated_status": "unregulated", "three_d_secure_usage": { "supported": true }, "wallet": null,
    })
}

fn bank(method: &TestMethod) -> Value {
    // The name is kept as the fingerprint's end: it tells what becomes of a payment.
    json!({
        "account_holder_type": "individual", "account_type": "checking", "bank_name": "STRIPE TEST BANK",
        "blocked": null, "financial_connections_account": null,
        "fingerprint": format!("FFDMA0JJDFjD{}", method.name.rsplit('_').next().unwrap_or_default()),
        "last4": method.last4, "networks": { "preferred": "ach", "supported": ["ach"] },
        "routing_number": "110000000", "status_details": {},
    })
}

/// The details of a SEPA account; `None` when its check digits are wrong.
pub fn sepa(iban: &str) -> Option<Value> {
    let iban: String =
        iban.chars().filter(|letter| !letter.is_whitespace()).collect::<String>().to_uppercase();
    if !is_iban(&iban) {
        return None;
    }
    // All that Stripe shows of an account later; the last four digits tell what becomes of a payment.
    Some(json!({
        "bank_code": &iban[4..9], "branch_code": "", "country": &iban[..2], "fingerprint": format!("vifs0Ho7{iban}"),
        "generated_from": { "charge": null, "setup_attempt": null }, "last4": &iban[iban.len() - 4..],
    }))
}

/// ISO 13616: moved to the end, the country and the check digits make the whole 1 modulo 97.
fn is_iban(iban: &str) -> bool {
    if !(15..=34).contains(&iban.len()) || !iban.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let digits = iban[4..].chars().chain(iban[..4].chars()).filter_map(|letter| letter.to_digit(36));
    digits.fold(0, |rest, value| (rest * if value < 10 { 10 } else { 100 } + value) % 97) == 1
}

/// Billing details of which nothing is known.
pub fn no_billing_details() -> Value {
    json!({ "address": fields::no_address(), "email": null, "name": null, "phone": null, "tax_id": null })
}

/// Debits: the bank answers later.
pub fn is_delayed(method: &Value) -> bool {
    method["type"] == BANK || method["type"] == SEPA
}

/// After how many seconds the bank answers for a debit, and whether it pays; `None` where it waits for a test
/// action. The IBANs are those that Stripe's page on SEPA debits lists.
pub fn bank_answer(method: &Value) -> Option<(i64, bool)> {
    if method["type"] == BANK {
        let fingerprint = method[BANK]["fingerprint"].as_str()?;
        return match fingerprint {
            name if name.ends_with("success") => Some((1, true)),
            name if name.ends_with("insufficientFunds") => Some((1, false)),
            _ => None,
        };
    }
    Some(match method[SEPA]["fingerprint"].as_str()?.strip_prefix("vifs0Ho7")? {
        "AT321904300235473204" => (180, true),
        "AT861904300235473202" | "DE62370400440532013001" | "IT60X0542811101000000123456" => (1, false),
        "AT051904300235473205" => (180, false),
        _ => (1, true),
    })
}

fn last4(method: &Value) -> &str {
    method["card"]["last4"].as_str().unwrap_or_default()
}

/// Whether the cardholder has to confirm a payment before it is made.
pub fn needs_authentication(method: &Value) -> bool {
    matches!(last4(method), "3184" | "3220")
}

/// Whether the funds are available at once.
pub fn is_available_at_once(method: &Value) -> bool {
    last4(method) == "0077"
}

/// The dispute that follows a payment: its reason, and whether it is only an inquiry.
pub fn dispute(method: &Value) -> Option<(&'static str, bool)> {
    match last4(method) {
        "0259" => Some(("fraudulent", false)),
        "2685" => Some(("product_not_received", false)),
        "1976" => Some(("fraudulent", true)),
        _ => None,
    }
}

/// The decline of a payment that needs its buyer, who is not there.
pub const NOT_AUTHENTICATED: Decline = (
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
);

/// Why paying with this method fails, if it does.
pub fn decline(method: &Value) -> Option<Decline> {
    Some(match last4(method) {
        "0002" | "0341" => ("card_declined", "generic_decline", "Your card was declined."),
        "9995" => ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
        "9987" => ("card_declined", "lost_card", "Your card was declined."),
        "9979" => ("card_declined", "stolen_card", "Your card was declined."),
        "0069" => ("expired_card", "expired_card", "Your card has expired."),
        "0127" => ("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
        "0119" => {
            let message = "An error occurred while processing your card. Try again in a little bit.";
            ("processing_error", "processing_error", message)
        }
        _ => return None,
    })
}

/// What a charge shows of the method that paid it.
pub fn details(method: &Value, amount: i64) -> Value {
    let bank = &method[BANK];
    let sepa = &method[SEPA];
    let card = &method["card"];
    match method["type"].as_str() {
        Some(BANK) => json!({
            "type": BANK,
            BANK: {
                "account_holder_type": bank["account_holder_type"], "account_type": bank["account_type"],
                "bank_name": bank["bank_name"], "expected_debit_date": null, "fingerprint": bank["fingerprint"],
                "last4": bank["last4"], "mandate": null, "payment_reference": null, "routing_number": bank["routing_number"],
            },
        }),
        Some(SEPA) => json!({
            "type": SEPA,
            SEPA: {
                "bank_code": sepa["bank_code"], "branch_code": sepa["branch_code"], "country": sepa["country"],
                "expected_debit_date": null, "fingerprint": sepa["fingerprint"], "last4": sepa["last4"], "mandate": null,
            },
        }),
        _ => json!({
            "type": "card",
            "card": {
                "amount_authorized": amount, "authorization_code": "123456", "brand": card["brand"],
                "checks": card["checks"], "country": card["country"], "exp_month": card["exp_month"],
                "exp_year": card["exp_year"], "extended_authorization": { "status": "disabled" },
                "fingerprint": card["fingerprint"], "funding": card["funding"],
                "incremental_authorization": { "status": "unavailable" }, "installments": null, "last4": card["last4"],
                "mandate": null, "multicapture": { "status": "unavailable" }, "network": card["brand"],
                "network_token": { "used": false }, "network_transaction_id": null,
                "overcapture": { "maximum_amount_capturable": amount, "status": "unavailable" },
                "regulated_status": "unregulated", "three_d_secure": null, "transaction_link_id": null, "wallet": null,
            },
        }),
    }
}
