//! Payment methods: Stripe's test cards and a bank debit (<https://docs.stripe.com/testing>).

use serde_json::{Value, json};

use super::fields;
use crate::stripe::errors::{ApiError, Result};
use crate::stripe::kinds::Kind;
use crate::stripe::world::Call;

/// A test payment method, by the name under which Stripe offers it.
pub struct TestMethod {
    name: &'static str,
    brand: &'static str,
    last4: &'static str,
}

/// Why a card is declined: code, decline code, message.
pub type Decline = (&'static str, &'static str, &'static str);

const BANK: &str = "us_bank_account";

const METHODS: [TestMethod; 14] = [
    TestMethod { name: "pm_card_visa", brand: "visa", last4: "4242" },
    TestMethod { name: "pm_card_mastercard", brand: "mastercard", last4: "4444" },
    TestMethod { name: "pm_card_amex", brand: "amex", last4: "8431" },
    TestMethod { name: "pm_card_chargeDeclined", brand: "visa", last4: "0002" },
    TestMethod { name: "pm_card_chargeDeclinedInsufficientFunds", brand: "visa", last4: "9995" },
    TestMethod { name: "pm_card_chargeDeclinedLostCard", brand: "visa", last4: "9987" },
    TestMethod { name: "pm_card_chargeDeclinedStolenCard", brand: "visa", last4: "9979" },
    TestMethod { name: "pm_card_chargeDeclinedExpiredCard", brand: "visa", last4: "0069" },
    TestMethod { name: "pm_card_chargeDeclinedIncorrectCvc", brand: "visa", last4: "0127" },
    TestMethod { name: "pm_card_chargeDeclinedProcessingError", brand: "visa", last4: "0119" },
    TestMethod { name: "pm_card_refundFail", brand: "visa", last4: "5126" },
    TestMethod { name: "pm_card_pendingRefund", brand: "visa", last4: "7726" },
    // Debits are confirmed days later: the payment stays `processing` until a test action ends it.
    TestMethod { name: "pm_usBankAccount", brand: BANK, last4: "6789" },
    TestMethod { name: "pm_usBankAccount_processing", brand: BANK, last4: "6789" },
];

/// The payment method that an id or a test name means; a test name makes a new one.
pub fn resolve(call: &mut Call, id: &str, param: &str, billing: Option<&Value>) -> Result<Value> {
    if let Some(method) = call.get(Kind::PaymentMethod, id) {
        return Ok(method);
    }
    // Stripe spells some of them with the brand.
    let name = id.replace("pm_card_visa_", "pm_card_");
    let Some(method) = METHODS.iter().find(|method| method.name == name) else {
        return Err(ApiError::no_such("PaymentMethod", id, param, 400));
    };
    let bank = method.brand == BANK;
    let id = call.new_id("pm_1", 23);
    let mut object = json!({
        "id": &*id, "object": "payment_method", "allow_redisplay": "unspecified",
        "billing_details": billing.cloned().unwrap_or_else(no_billing_details), "created": call.now, "customer": null,
        "customer_account": null, "livemode": false, "metadata": {}, "type": if bank { BANK } else { "card" },
    });
    if bank {
        object[BANK] = json!({
            "account_holder_type": "individual", "account_type": "checking", "bank_name": "STRIPE TEST BANK",
            "blocked": null, "financial_connections_account": null, "fingerprint": "FFDMA0JJDFjDf0aS",
            "last4": method.last4, "networks": { "preferred": "ach", "supported": ["ach"] },
            "routing_number": "110000000", "status_details": {},
        });
    } else {
        object["card"] = json!({
            "brand": method.brand,
            "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
            "country": "US", "display_brand": method.brand, "exp_month": 8, "exp_year": 2034,
            "fingerprint": format!("AOB934RVNwzk{}", method.last4), "funding": "credit", "generated_from": null,
            "last4": method.last4, "networks": { "available": [method.brand], "preferred": null },
            "regulated_status": "unregulated", "three_d_secure_usage": { "supported": true }, "wallet": null,
        });
    }
    call.insert(Kind::PaymentMethod, &object);
    Ok(object)
}

/// Billing details of which nothing is known.
pub fn no_billing_details() -> Value {
    json!({ "address": fields::no_address(), "email": null, "name": null, "phone": null, "tax_id": null })
}

pub fn is_delayed(method: &Value) -> bool {
    method["type"] == BANK
}

/// Why paying with this method fails, if it does.
pub fn decline(method: &Value) -> Option<Decline> {
    Some(match method["card"]["last4"].as_str()? {
        "0002" => ("card_declined", "generic_decline", "Your card was declined."),
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
    if is_delayed(method) {
        let bank = &method[BANK];
        return json!({
            "type": BANK,
            BANK: {
                "account_holder_type": bank["account_holder_type"], "account_type": bank["account_type"],
                "bank_name": bank["bank_name"], "expected_debit_date": null, "fingerprint": bank["fingerprint"],
                "last4": bank["last4"], "mandate": null, "payment_reference": null, "routing_number": bank["routing_number"],
            },
        });
    }
    let card = &method["card"];
    json!({
        "type": "card",
        "card": {
            "amount_authorized": amount, "authorization_code": "123456", "brand": card["brand"], "checks": card["checks"],
            "country": card["country"], "exp_month": card["exp_month"], "exp_year": card["exp_year"],
            "extended_authorization": { "status": "disabled" }, "fingerprint": card["fingerprint"],
            "funding": card["funding"], "incremental_authorization": { "status": "unavailable" }, "installments": null,
            "last4": card["last4"], "mandate": null, "multicapture": { "status": "unavailable" },
            "network": card["brand"], "network_token": { "used": false }, "network_transaction_id": null,
            "overcapture": { "maximum_amount_capturable": amount, "status": "unavailable" },
            "regulated_status": "unregulated", "three_d_secure": null, "transaction_link_id": null, "wallet": null,
        },
    })
}
