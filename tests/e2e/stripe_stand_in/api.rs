//! A plain HTTP client for the stand-in's API.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use stack::stripe::{Stripe, StripeOptions};

/// A stand-in and a client with its key.
pub struct Api {
    pub stripe: Stripe,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers are visible ASCII"))
    }

    /// The error's code, message and parameter.
    pub fn error(&self) -> (u16, &str, &str, &str) {
        let error = &self.json["error"];
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        (self.status, text("code"), text("message"), text("param"))
    }

    /// The ids of a list's page.
    pub fn ids(&self) -> Vec<String> {
        ids(&self.json)
    }
}

pub fn ids(list: &Value) -> Vec<String> {
    assert_eq!(list["object"], "list", "{list}");
    list["data"].as_array().expect("a list has data").iter().map(id).collect()
}

pub fn id(object: &Value) -> String {
    object["id"].as_str().expect("an object has an id").to_owned()
}

impl Api {
    pub async fn start() -> Self {
        Self::start_with(StripeOptions { seed: Some(7), ..StripeOptions::default() }).await
    }

    pub async fn start_with(options: StripeOptions) -> Self {
        let stripe = Stripe::start(options).await.expect("a loopback port is free");
        Self { stripe, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub async fn send(&self, method: &str, path: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method);
        if !headers.iter().any(|(name, _)| *name == "Authorization") {
            request = request.header("Authorization", format!("Bearer {}", self.stripe.api_key()));
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let in_query = method == "GET" && !form.is_empty();
        let uri = format!(
            "{}{path}{}",
            self.stripe.api_base(),
            if in_query { format!("?{form}") } else { String::new() }
        );
        let body = if in_query { String::new() } else { form.to_owned() };
        if !body.is_empty() {
            request = request.header("Content-Type", "application/x-www-form-urlencoded");
        }
        let request =
            request.uri(uri).body(Full::new(Bytes::from(body))).expect("a test writes valid requests");
        let response = self.client.request(request).await.expect("the stand-in answers");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the answer is whole").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("answers are UTF-8");
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        Answer { status: parts.status.as_u16(), headers: parts.headers, text, json }
    }

    pub async fn get(&self, path: &str, form: &str) -> Answer {
        self.send("GET", path, form, &[]).await
    }

    pub async fn post(&self, path: &str, form: &str) -> Answer {
        self.send("POST", path, form, &[]).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "", &[]).await
    }

    /// Makes an object that must not be refused.
    pub async fn make(&self, path: &str, form: &str) -> Value {
        let answer = self.post(path, form).await;
        assert_eq!(answer.status, 200, "POST {path} {form}: {}", answer.text);
        answer.json
    }

    /// Reads an object or list that must be there.
    pub async fn read(&self, path: &str, form: &str) -> Value {
        let answer = self.get(path, form).await;
        assert_eq!(answer.status, 200, "GET {path} {form}: {}", answer.text);
        answer.json
    }

    /// A price of 49.00 for a course.
    pub async fn course_price(&self) -> Value {
        let product = self.make("/v1/products", "name=Course&metadata[recoup_kind]=course").await;
        let form = format!("product={}&currency=usd&unit_amount=4900", id(&product));
        self.make("/v1/prices", &form).await
    }

    /// A session for so many of a price.
    pub async fn session(&self, price: &Value, quantity: u32, more: &str) -> Value {
        let form = format!(
            "mode=payment&success_url=https://shop.example/thanks&line_items[0][price]={}&line_items[0][quantity]={quantity}{more}",
            id(price)
        );
        self.make("/v1/checkout/sessions", &form).await
    }

    /// A payment intent paid by a test card.
    pub async fn paid(&self, amount: u32, method: &str) -> Value {
        let form = format!("amount={amount}&currency=usd&payment_method={method}&confirm=true");
        self.make("/v1/payment_intents", &form).await
    }
}
