//! Amounts: integers in a currency's minor unit, and Stripe's bounds on them.

use crate::stripe::errors::{ApiError, Result};
use crate::stripe::form::Params;

/// <https://docs.stripe.com/currencies#presentment-currencies>
const CURRENCIES: &str = "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd \
    cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl hrk htg huf \
    idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk \
    mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos \
    srd std svc szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw";

/// Currencies without a minor unit (<https://docs.stripe.com/currencies#zero-decimal>).
const ZERO_DECIMAL: &str = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf";

/// Currencies with a thousandth as minor unit.
const THREE_DECIMAL: &str = "bhd jod kwd omr tnd";

const AMOUNT_MAX: i64 = 99_999_999;

fn listed(list: &str, currency: &str) -> bool {
    list.split_whitespace().any(|code| code == currency)
}

/// A supported currency, in lower case.
pub fn currency(params: Params) -> Result<String> {
    let given = params.required("currency")?;
    let currency = given.to_lowercase();
    if listed(CURRENCIES, &currency) {
        return Ok(currency);
    }
    let supported = CURRENCIES.split_whitespace().collect::<Vec<_>>().join(", ");
    let message =
        format!("Invalid currency: {currency}. Stripe currently supports these currencies: {supported}");
    Err(ApiError::invalid(None, message, params.name("currency")))
}

/// An amount that may not be negative.
pub fn unit_amount(params: Params, key: &str) -> Result<Option<i64>> {
    match params.integer(key)? {
        Some(amount) if amount < 0 => {
            let message = "Invalid non-negative integer";
            Err(ApiError::invalid(Some("parameter_invalid_integer"), message, params.name(key)))
        }
        other => Ok(other),
    }
}

/// An amount of at least 1.
pub fn positive(params: Params, key: &str) -> Result<Option<i64>> {
    match params.integer(key)? {
        Some(amount) if amount < 1 => {
            let message = "Invalid positive integer";
            Err(ApiError::invalid(Some("parameter_invalid_integer"), message, params.name(key)))
        }
        other => Ok(other),
    }
}

/// Refuses what Stripe does not charge (<https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts>).
pub fn check_chargeable(amount: i64, currency: &str, param: &str) -> Result<()> {
    let least = match currency {
        "aed" | "ron" => 200,
        "bgn" => 100,
        "czk" => 1500,
        "dkk" => 250,
        "gbp" => 30,
        "hkd" => 400,
        "huf" => 17500,
        "jpy" => 50,
        "mxn" => 1000,
        "myr" | "pln" => 200,
        "nok" | "sek" => 300,
        "thb" => 1000,
        "aud" | "brl" | "cad" | "chf" | "eur" | "inr" | "nzd" | "sgd" | "usd" => 50,
        _ => 1,
    };
    if amount < least {
        let message = format!("Amount must be at least {} {currency}", display(least, currency));
        return Err(ApiError::refused(Some("amount_too_small"), message, Some(param)));
    }
    if amount > AMOUNT_MAX {
        let message = format!("Amount must be no more than {}", display(AMOUNT_MAX, currency));
        return Err(ApiError::refused(Some("amount_too_large"), message, Some(param)));
    }
    Ok(())
}

/// An amount as Stripe's messages write it, e.g. `$10.00`.
pub fn display(amount: i64, currency: &str) -> String {
    let symbol = match currency {
        "usd" => "$",
        "eur" => "€",
        "gbp" => "£",
        "jpy" => "¥",
        _ => "",
    };
    if listed(ZERO_DECIMAL, currency) {
        format!("{symbol}{amount}")
    } else if listed(THREE_DECIMAL, currency) {
        format!("{symbol}{}.{:03}", amount / 1000, amount % 1000)
    } else {
        format!("{symbol}{}.{:02}", amount / 100, amount % 100)
    }
}

/// Stripe's fee on a payment: 2.9 % and 30, rounded half up, in minor units.
pub fn fee(amount: i64) -> i64 {
    (amount * 29 + 500) / 1000 + 30
}
