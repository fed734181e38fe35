//! Money: integer minor units with their currency. Never a float, never a sum over two currencies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A three-letter ISO 4217 currency code, in lower case as Stripe writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// A text that is not a currency code.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a three-letter currency code")]
pub struct NotACurrency(String);

impl Currency {
    /// How many digits stand after the decimal point (Stripe documentation, "Supported currencies":
    /// zero-decimal and three-decimal currencies).
    pub fn decimals(self) -> u32 {
        match &self.0 {
            b"bif" | b"clp" | b"djf" | b"gnf" | b"jpy" | b"kmf" | b"krw" | b"mga" | b"pyg" | b"rwf"
            | b"ugx" | b"vnd" | b"vuv" | b"xaf" | b"xof" | b"xpf" => 0,
            b"bhd" | b"jod" | b"kwd" | b"omr" | b"tnd" => 3,
            _ => 2,
        }
    }

    /// The code, in lower case.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII letters are stored")
    }
}

impl TryFrom<String> for Currency {
    type Error = NotACurrency;

    fn try_from(text: String) -> Result<Self, NotACurrency> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_alphabetic) => {
                Ok(Self(code.map(|letter| letter.to_ascii_lowercase())))
            }
            _ => Err(NotACurrency(text)),
        }
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

/// An amount in the minor unit of its currency (cents, or yen, or fils).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// Minor units; negative where money went back.
    pub minor: i64,
    /// What they are units of.
    pub currency: Currency,
}

impl fmt::Display for Money {
    /// `1234.50 EUR`, `500 JPY`, `-1.234 KWD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.currency.decimals();
        let unit = 10_u64.pow(decimals);
        let sign = if self.minor < 0 { "-" } else { "" };
        let minor = self.minor.unsigned_abs();
        write!(f, "{sign}{}", minor / unit)?;
        if decimals > 0 {
            write!(f, ".{:0width$}", minor % unit, width = decimals as usize)?;
        }
        write!(f, " {}", self.currency.code().to_ascii_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(minor: i64, code: &str) -> String {
        Money { minor, currency: Currency::try_from(code.to_owned()).expect("a code") }.to_string()
    }

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        assert_eq!(shown(123_450, "eur"), "1234.50 EUR");
        assert_eq!(shown(500, "JPY"), "500 JPY");
        assert_eq!(shown(-1_234, "kwd"), "-1.234 KWD");
        assert_eq!(shown(-5, "usd"), "-0.05 USD");
        assert_eq!(shown(i64::MIN, "usd"), "-92233720368547758.08 USD");
    }

    #[test]
    fn what_is_no_currency_is_refused() {
        for text in ["", "eu", "euro", "e1r", "€"] {
            assert!(Currency::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
