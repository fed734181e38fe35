//! A shop that sells through Stripe: what the demo, the tests and the benchmarks have happen.
//!
//! Everything is done through Stripe's API, so that the stand-in refuses what Stripe would refuse, and emits what
//! Stripe would emit. The same seed sells the same things.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::stripe::{Buyer, Outcome, RefundOutcome, Refusal, Stripe};

/// What is on offer: kind, reference, how many one unit grants, name, currency, price in minor units.
const OFFERS: [(&str, &str, u32, &str, &str, i64); 8] = [
    ("course", "rust-101", 1, "Rust, the first hundred pages", "eur", 4_900),
    ("course", "postgres-201", 1, "Postgres for people who sleep at night", "eur", 12_900),
    ("course", "async-301", 1, "Async without tears", "usd", 9_900),
    ("path", "rust-101,postgres-201,async-301", 1, "The whole path", "eur", 21_900),
    ("ticket", "autumn-conference", 1, "Autumn conference, one seat", "usd", 39_900),
    ("ticket", "tokyo-meetup", 1, "Tokyo meetup, one seat", "jpy", 3_000),
    ("credits", "review-credits", 10, "Ten review credits", "eur", 2_500),
    ("credits", "review-credits", 50, "Fifty review credits", "kwd", 31_500),
];

/// Names of buyers; the combinations suffice.
const FIRST_NAMES: [&str; 8] = ["Ada", "Bruno", "Chloé", "Dmitri", "Emeka", "Farah", "Grüße", "花子"];
const LAST_NAMES: [&str; 6] = ["Lovelace", "O'Neil", "Nguyễn", "Santos", "van den Berg", "Yılmaz"];

/// What became of the sales of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Checkouts that were paid, at once or later.
    pub paid: u32,
    /// Checkouts whose bank refused later.
    pub failed: u32,
    /// Checkouts that nobody finished.
    pub expired: u32,
    /// Refunds of a whole payment.
    pub refunded: u32,
    /// Refunds of a part of one.
    pub partly_refunded: u32,
    /// Refunds that the buyer's bank sent back.
    pub refunds_failed: u32,
}

/// A shop.
pub struct Shop {
    stripe: Stripe,
    random: StdRng,
    prices: Vec<(String, &'static str)>,
    customers: Vec<String>,
    buyers: u32,
}

impl Shop {
    /// Opens: products and prices are created, what they grant in their metadata.
    ///
    /// # Errors
    /// What Stripe refuses.
    pub fn open(stripe: &Stripe, seed: u64) -> Result<Self, Refusal> {
        let mut prices = Vec::new();
        for (kind, reference, quantity, name, currency, amount) in OFFERS {
            let product = create(
                stripe,
                "/v1/products",
                &[
                    ("name", name),
                    ("metadata[recoup_kind]", kind),
                    ("metadata[recoup_ref]", reference),
                    ("metadata[recoup_quantity]", &quantity.to_string()),
                ],
            )?;
            let amount = amount.to_string();
            let price = create(
                stripe,
                "/v1/prices",
                &[("product", &product), ("currency", currency), ("unit_amount", &amount)],
            )?;
            prices.push((price, currency));
        }
        Ok(Self {
            stripe: stripe.clone(),
            random: StdRng::seed_from_u64(seed),
            prices,
            customers: Vec::new(),
            buyers: 0,
        })
    }

    /// Sells: so many checkouts, by new and returning customers and by guests, some refunded afterwards.
    ///
    /// # Errors
    /// What Stripe refuses.
    pub fn sell(&mut self, checkouts: u32) -> Result<Tally, Refusal> {
        let mut tally = Tally::default();
        for _ in 0..checkouts {
            let session = self.start_checkout()?;
            let buyer = self.buyer();
            match self.random.random_range(0..100) {
                0..86 => {
                    let session = self.stripe.complete_checkout_as(&session, Outcome::Paid, &buyer)?;
                    tally.paid += 1;
                    self.perhaps_refund(&session, &mut tally)?;
                }
                86..96 => {
                    let session = self.stripe.complete_checkout_as(&session, Outcome::Unpaid, &buyer)?;
                    let paid = self.random.random_bool(0.7);
                    self.stripe.finish_async_payment(id(&session), paid)?;
                    *(if paid { &mut tally.paid } else { &mut tally.failed }) += 1;
                }
                _ => {
                    self.stripe.request("POST", &format!("/v1/checkout/sessions/{session}/expire"), "")?;
                    tally.expired += 1;
                }
            }
        }
        Ok(tally)
    }

    /// A basket: lines of one currency. Gives the session.
    fn start_checkout(&mut self) -> Result<String, Refusal> {
        let currency = self.prices.choose(&mut self.random).expect("there are offers").1;
        let offers: Vec<String> =
            self.prices.iter().filter(|price| price.1 == currency).map(|price| price.0.clone()).collect();
        let mut fields = vec![("mode".to_owned(), "payment".to_owned())];
        let lines = self.random.random_range(1..=offers.len().min(3));
        for (line, price) in offers.choose_multiple(&mut self.random, lines).enumerate() {
            let quantity = if self.random.random_bool(0.2) { 2 } else { 1 };
            fields.push((format!("line_items[{line}][price]"), price.clone()));
            fields.push((format!("line_items[{line}][quantity]"), quantity.to_string()));
        }
        if self.random.random_bool(0.85) {
            fields.push(("customer".to_owned(), self.customer()?));
        }
        fields.push(("success_url".to_owned(), "https://shop.example/thanks".to_owned()));
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        create(&self.stripe, "/v1/checkout/sessions", &fields)
    }

    /// A new customer, or one who was here before.
    fn customer(&mut self) -> Result<String, Refusal> {
        if !self.customers.is_empty() && self.random.random_bool(0.3) {
            return Ok(self.customers.choose(&mut self.random).expect("there are customers").clone());
        }
        let Buyer { name, email, .. } = self.buyer();
        let fields = [("name", name.unwrap_or_default()), ("email", email.unwrap_or_default())];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let customer = create(&self.stripe, "/v1/customers", &fields)?;
        self.customers.push(customer.clone());
        Ok(customer)
    }

    fn buyer(&mut self) -> Buyer {
        self.buyers += 1;
        let first = FIRST_NAMES.choose(&mut self.random).expect("names");
        let last = LAST_NAMES.choose(&mut self.random).expect("names");
        Buyer {
            name: Some(format!("{first} {last}")),
            email: Some(format!("buyer-{}@example.com", self.buyers)),
            ..Buyer::default()
        }
    }

    fn perhaps_refund(&mut self, session: &Value, tally: &mut Tally) -> Result<(), Refusal> {
        let (Some(payment), Some(total)) =
            (session["payment_intent"].as_str(), session["amount_total"].as_i64())
        else {
            return Ok(());
        };
        match self.random.random_range(0..100) {
            0..6 => {
                create(&self.stripe, "/v1/refunds", &[("payment_intent", payment)])?;
                tally.refunded += 1;
            }
            6..10 => {
                let part = (total / 3).max(1).to_string();
                create(&self.stripe, "/v1/refunds", &[("payment_intent", payment), ("amount", &part)])?;
                tally.partly_refunded += 1;
            }
            10..12 => {
                self.stripe.set_refund_habit(crate::stripe::RefundHabit::Pending);
                let refund = create(&self.stripe, "/v1/refunds", &[("payment_intent", payment)]);
                self.stripe.set_refund_habit(crate::stripe::RefundHabit::Succeed);
                self.stripe.finish_refund(&refund?, RefundOutcome::Failed)?;
                tally.refunds_failed += 1;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Creates an object; gives its id.
fn create(stripe: &Stripe, path: &str, fields: &[(&str, &str)]) -> Result<String, Refusal> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let form: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let form = form.join("&");
    Ok(id(&stripe.request("POST", path, &form)?).to_owned())
}

fn id(object: &Value) -> &str {
    object["id"].as_str().expect("Stripe's objects have an id")
}
