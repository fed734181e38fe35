//! Random histories, made through Stripe's API.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use stack::shop::Shop;
use stack::stripe::{RefundHabit, RefundOutcome, Stripe};

/// When histories begin: any second will do.
const BEGIN: i64 = 1_790_000_000;

/// What a history is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Customers,
    Catalogue,
    Payments,
    Refunds,
    Sales,
}

/// A history in the making.
pub struct History {
    stripe: Stripe,
    family: Family,
    random: StdRng,
    ids: Vec<String>,
}

impl History {
    /// The same seed makes the same history.
    pub fn new(stripe: &Stripe, family: Family, seed: u64) -> Self {
        stripe.set_clock(BEGIN);
        Self { stripe: stripe.clone(), family, random: StdRng::seed_from_u64(seed), ids: Vec::new() }
    }

    /// All events, in the order in which they happened.
    pub fn run(mut self) -> Vec<Value> {
        if self.family == Family::Sales {
            self.sales();
        } else {
            for _ in 0..self.random.random_range(6..18) {
                self.step();
                // Most of the time the next thing happens in the same second.
                if self.random.random_bool(0.3) {
                    self.stripe.advance_clock(self.random.random_range(1..3));
                }
            }
        }
        self.stripe.events()
    }

    fn sales(&mut self) {
        let mut shop = Shop::open(&self.stripe, self.random.random()).expect("a shop");
        for _ in 0..4 {
            shop.sell(1).expect("a sale");
            if self.random.random_bool(0.5) {
                self.stripe.advance_clock(1);
            }
        }
    }

    fn step(&mut self) {
        match self.family {
            Family::Customers => self.customer(),
            Family::Catalogue => self.catalogue(),
            Family::Payments => self.payment(),
            Family::Refunds => self.refund(),
            Family::Sales => unreachable!("sales are made by the shop"),
        }
    }

    fn customer(&mut self) {
        let name = self.word();
        match self.random.random_range(0..10) {
            0..3 => self.create("/v1/customers", &[("name", &name), ("email", "ada@example.com")]),
            3..8 => {
                let field =
                    *["name", "metadata[note]", "description"].choose(&mut self.random).expect("three");
                self.change("/v1/customers", &[(field, &name)]);
            }
            8 => self.change("/v1/customers", &[("email", &format!("{name}@example.com"))]),
            _ => {
                if let Some(id) = self.any() {
                    self.ask("DELETE", &format!("/v1/customers/{id}"), &[]);
                }
            }
        }
    }

    fn catalogue(&mut self) {
        let name = self.word();
        match self.random.random_range(0..10) {
            0..3 => {
                let grant =
                    [("name", &*name), ("metadata[recoup_kind]", "course"), ("metadata[recoup_ref]", "rust")];
                self.create("/v1/products", &grant);
            }
            3..8 => {
                let active = if self.random.random_bool(0.5) { "true" } else { "false" };
                self.change("/v1/products", &[("name", &name), ("active", active)]);
            }
            8 => self.change("/v1/products", &[("metadata[colour]", &name)]),
            _ => {
                if let Some(id) = self.any() {
                    self.ask("DELETE", &format!("/v1/products/{id}"), &[]);
                }
            }
        }
    }

    fn payment(&mut self) {
        match self.random.random_range(0..12) {
            0..3 => {
                let manual = if self.random.random_bool(0.5) { "manual" } else { "automatic" };
                let fields = [("amount", "1000"), ("currency", "eur"), ("capture_method", manual)];
                self.create("/v1/payment_intents", &fields);
            }
            3..5 => self.act("confirm", &[("payment_method", "pm_card_visa")]),
            5 => self.act("confirm", &[("payment_method", "pm_card_visa_chargeDeclined")]),
            6 => self.act("confirm", &[("payment_method", "pm_card_chargeDeclinedInsufficientFunds")]),
            7 => self.act("capture", &[]),
            8 => self.act("capture", &[("amount_to_capture", "600")]),
            9 => self.act("cancel", &[]),
            _ => {
                let word = self.word();
                self.change_charge(&word);
            }
        }
    }

    fn refund(&mut self) {
        match self.random.random_range(0..10) {
            0..3 => {
                let paid = [
                    ("amount", "1000"),
                    ("currency", "eur"),
                    ("confirm", "true"),
                    ("payment_method", "pm_card_visa"),
                ];
                self.create("/v1/payment_intents", &paid);
            }
            3..7 => {
                let habits = [RefundHabit::Succeed, RefundHabit::Pending, RefundHabit::RequiresAction];
                self.stripe.set_refund_habit(*habits.choose(&mut self.random).expect("three"));
                let amount = if self.random.random_bool(0.5) { "400" } else { "600" };
                if let Some(id) = self.any() {
                    self.ask("POST", "/v1/refunds", &[("payment_intent", &id), ("amount", amount)]);
                }
            }
            7 => {
                let word = self.word();
                self.change_charge(&word);
            }
            _ => {
                if let Some(id) = self.a_refund() {
                    let failed = self.random.random_bool(0.5);
                    let outcome = if failed { RefundOutcome::Failed } else { RefundOutcome::Succeeded };
                    // One that is final stays as it is.
                    let _ = self.stripe.finish_refund(&id, outcome);
                }
            }
        }
    }

    fn change_charge(&mut self, word: &str) {
        if let Some(intent) = self.any()
            && let Some(intent) = self.stripe.object(&intent)
            && let Some(charge) = intent["latest_charge"].as_str()
        {
            self.ask("POST", &format!("/v1/charges/{charge}"), &[("description", word)]);
        }
    }

    fn a_refund(&mut self) -> Option<String> {
        let list = self.stripe.request("GET", "/v1/refunds", "").expect("a list");
        let refunds = list["data"].as_array().expect("data");
        refunds.choose(&mut self.random).map(|refund| refund["id"].as_str().expect("an id").to_owned())
    }

    fn create(&mut self, path: &str, fields: &[(&str, &str)]) {
        if let Some(id) = self.ask("POST", path, fields) {
            self.ids.push(id);
        }
    }

    fn change(&mut self, path: &str, fields: &[(&str, &str)]) {
        if let Some(id) = self.any() {
            self.ask("POST", &format!("{path}/{id}"), fields);
        }
    }

    fn act(&mut self, verb: &str, fields: &[(&str, &str)]) {
        if let Some(id) = self.any() {
            self.ask("POST", &format!("/v1/payment_intents/{id}/{verb}"), fields);
        }
    }

    /// The latest most of the time: a history of one object is the hardest.
    fn any(&mut self) -> Option<String> {
        if self.random.random_bool(0.7) {
            self.ids.last().cloned()
        } else {
            self.ids.choose(&mut self.random).cloned()
        }
    }

    /// What Stripe refuses did not happen.
    fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Option<String> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let form: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let answer = self.stripe.request(method, path, &form.join("&")).ok()?;
        answer["id"].as_str().map(str::to_owned)
    }

    fn word(&mut self) -> String {
        ["ada", "bob", "cyd"].choose(&mut self.random).expect("three").to_string()
    }
}
