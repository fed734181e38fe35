//! Weeks of a business that sells in every way that there is, made through Stripe's API at random.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use stack::shop::Shop;
use stack::stripe::Stripe;

use crate::http::unix_now;

/// So long ago it began.
const DAYS: i64 = 24;
const DAY_SECONDS: i64 = 24 * 3600;

/// A business.
pub struct Life {
    stripe: Stripe,
    random: StdRng,
    shop: Shop,
    customers: Vec<String>,
    subscriptions: Vec<String>,
    invoices: Vec<String>,
    disputes: Vec<String>,
    payouts: Vec<String>,
    plan: String,
    /// Whether customers and products may be deleted: Stripe's lists do not show them any more.
    deletes: bool,
}

impl Life {
    /// Opens. The same seed does the same things.
    pub fn begin(stripe: &Stripe, seed: u64, deletes: bool) -> Self {
        stripe.set_clock(unix_now() - DAYS * DAY_SECONDS);
        let shop = Shop::open(stripe, seed).expect("a shop");
        let mut life = Self {
            stripe: stripe.clone(),
            random: StdRng::seed_from_u64(seed),
            shop,
            customers: Vec::new(),
            subscriptions: Vec::new(),
            invoices: Vec::new(),
            disputes: Vec::new(),
            payouts: Vec::new(),
            plan: String::new(),
            deletes,
        };
        let plan =
            [("name", "Members"), ("metadata[recoup_kind]", "plan"), ("metadata[recoup_ref]", "members")];
        let product = life.ask("POST", "/v1/products", &plan).expect("a product");
        let price = [
            ("product", &*product),
            ("currency", "eur"),
            ("unit_amount", "1900"),
            ("recurring[interval]", "week"),
        ];
        life.plan = life.ask("POST", "/v1/prices", &price).expect("a price");
        life
    }

    /// So many things happen, over days.
    pub fn go_on(&mut self, steps: u32) {
        for _ in 0..steps {
            self.step();
            let seconds = if self.random.random_bool(0.4) { 0 } else { self.random.random_range(1..8_000) };
            self.stripe.advance_clock(seconds);
        }
    }

    /// The clock runs again, with nothing in flight.
    pub fn rest(&self) {
        self.stripe.request("POST", "/v1/test_helpers/clock", "run=true").expect("a clock");
    }

    fn step(&mut self) {
        match self.random.random_range(0..20) {
            0..7 => {
                self.shop.sell(1).expect("a sale");
            }
            7..9 => self.subscribe(),
            9 => self.change_subscription(),
            10 => self.bill(),
            11 => self.settle_invoice(),
            12 => self.dispute(),
            13 => self.judge(),
            14 => self.pay_out(),
            15 => self.decline(),
            16 => self.change_customer(),
            17 => self.change_catalogue(),
            18 => self.connect(),
            // Subscriptions renew, invoices are tried again, drafts are finalized.
            _ => self.stripe.advance_clock(self.random.random_range(1..3) * DAY_SECONDS / 2),
        }
    }

    fn customer(&mut self) -> String {
        if !self.customers.is_empty() && self.random.random_bool(0.4) {
            return self.customers.choose(&mut self.random).expect("one").clone();
        }
        let name = self.word();
        let email = format!("{name}-{}@example.com", self.customers.len());
        let fields = [
            ("name", &*name),
            ("email", &*email),
            ("payment_method", "pm_card_visa"),
            ("invoice_settings[default_payment_method]", "pm_card_visa"),
        ];
        let id = self.ask("POST", "/v1/customers", &fields).expect("a customer");
        self.customers.push(id.clone());
        id
    }

    fn subscribe(&mut self) {
        let (customer, plan) = (self.customer(), self.plan.clone());
        let mut fields = vec![("customer", &*customer), ("items[0][price]", &*plan)];
        match self.random.random_range(0..4) {
            0 => fields.push(("trial_period_days", "3")),
            1 => fields.extend([("collection_method", "send_invoice"), ("days_until_due", "7")]),
            _ => {}
        }
        if let Some(id) = self.ask("POST", "/v1/subscriptions", &fields) {
            self.subscriptions.push(id);
        }
    }

    fn change_subscription(&mut self) {
        let Some(id) = self.subscriptions.choose(&mut self.random).cloned() else { return };
        let path = format!("/v1/subscriptions/{id}");
        match self.random.random_range(0..4) {
            0 => self.ask("DELETE", &path, &[]),
            1 => self.ask("POST", &path, &[("cancel_at_period_end", "true")]),
            2 => self.ask("POST", &path, &[("pause_collection[behavior]", "void")]),
            _ => self.ask("POST", &path, &[("metadata[seats]", "2")]),
        };
    }

    fn bill(&mut self) {
        let customer = self.customer();
        let item = [("customer", &*customer), ("amount", "2500"), ("currency", "usd")];
        self.ask("POST", "/v1/invoiceitems", &item);
        let invoice = [
            ("customer", &*customer),
            ("collection_method", "send_invoice"),
            ("days_until_due", "7"),
            ("pending_invoice_items_behavior", "include"),
        ];
        if let Some(id) = self.ask("POST", "/v1/invoices", &invoice) {
            self.ask("POST", &format!("/v1/invoices/{id}/finalize"), &[]);
            self.invoices.push(id);
        }
    }

    fn settle_invoice(&mut self) {
        let Some(id) = self.invoices.pop() else { return };
        let path = format!("/v1/invoices/{id}");
        match self.random.random_range(0..4) {
            0 => self.ask("POST", &format!("{path}/pay"), &[]),
            1 => self.ask("POST", &format!("{path}/pay"), &[("paid_out_of_band", "true")]),
            2 => self.ask("POST", &format!("{path}/void"), &[]),
            _ => self.ask("POST", &format!("{path}/mark_uncollectible"), &[]),
        };
    }

    fn dispute(&mut self) {
        let charges = self.stripe.request("GET", "/v1/charges", "limit=20").expect("charges");
        let charges = charges["data"].as_array().expect("data");
        let paid: Vec<&Value> = charges.iter().filter(|charge| charge["paid"] == true).collect();
        if let Some(charge) = paid.choose(&mut self.random) {
            let path = format!("/v1/test_helpers/charges/{}/dispute", charge["id"].as_str().expect("an id"));
            if let Some(id) = self.ask("POST", &path, &[]) {
                self.disputes.push(id);
            }
        }
    }

    fn judge(&mut self) {
        if let Some(id) = self.disputes.pop() {
            let outcome = if self.random.random_bool(0.5) { "win" } else { "lose" };
            self.ask("POST", &format!("/v1/test_helpers/disputes/{id}/{outcome}"), &[]);
        }
    }

    fn pay_out(&mut self) {
        if let Some(id) = self.payouts.pop() {
            let outcome = if self.random.random_bool(0.7) { "pay" } else { "fail" };
            self.ask("POST", &format!("/v1/test_helpers/payouts/{id}/{outcome}"), &[]);
        } else if let Some(id) = self.ask("POST", "/v1/test_helpers/payouts", &[("currency", "eur")]) {
            self.payouts.push(id);
        }
    }

    fn decline(&mut self) {
        let card = *["pm_card_chargeDeclined", "pm_card_bypassPending", "pm_usBankAccount"]
            .choose(&mut self.random)
            .expect("three");
        let fields =
            [("amount", "70000"), ("currency", "eur"), ("payment_method", card), ("confirm", "true")];
        self.ask("POST", "/v1/payment_intents", &fields);
    }

    fn change_customer(&mut self) {
        let name = self.word();
        let customer = self.customer();
        self.ask("POST", &format!("/v1/customers/{customer}"), &[("name", &name)]);
        if self.deletes && self.random.random_bool(0.5) {
            let short = self.ask("POST", "/v1/customers", &[("name", &name)]).expect("a customer");
            self.stripe.advance_clock(3);
            self.ask("DELETE", &format!("/v1/customers/{short}"), &[]);
        }
    }

    fn change_catalogue(&mut self) {
        let (name, ticket) = (self.word(), [("recoup_kind", "ticket"), ("recoup_ref", "party")]);
        let fields = ticket.map(|(key, value)| (format!("metadata[{key}]"), value));
        let mut fields: Vec<(&str, &str)> =
            fields.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        fields.push(("name", &name));
        let id = self.ask("POST", "/v1/products", &fields).expect("a product");
        self.stripe.advance_clock(2);
        let active = if self.random.random_bool(0.5) { "true" } else { "false" };
        self.ask("POST", &format!("/v1/products/{id}"), &[("active", active)]);
    }

    fn connect(&mut self) {
        let fields = [("type", "express"), ("country", "DE")];
        let id = self.ask("POST", "/v1/accounts", &fields).expect("an account");
        self.ask("POST", &format!("/v1/test_helpers/accounts/{id}/verify"), &[]);
    }

    fn word(&mut self) -> String {
        (*["ada", "bob", "cyd", "dee"].choose(&mut self.random).expect("four")).to_owned()
    }

    /// What Stripe refuses did not happen.
    fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Option<String> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let form: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let answer = self.stripe.request(method, path, &form.join("&")).ok()?;
        answer["id"].as_str().map(str::to_owned)
    }
}
