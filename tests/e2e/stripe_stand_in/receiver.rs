//! A webhook receiver: keeps what it is sent, answers what it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;

/// One delivery as it arrived.
#[derive(Clone)]
pub struct Delivery {
    pub headers: HeaderMap,
    pub body: String,
}

impl Delivery {
    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).expect("deliveries are JSON")
    }

    pub fn kind(&self) -> String {
        self.event()["type"].as_str().expect("an event has a type").to_owned()
    }

    pub fn signature(&self) -> &str {
        self.headers["stripe-signature"].to_str().expect("signatures are ASCII")
    }

    /// The values of a name in the signature header.
    pub fn signed(&self, name: &str) -> Vec<&str> {
        self.signature()
            .split(',')
            .filter_map(|part| part.split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .collect()
    }
}

#[derive(Default)]
struct Seen {
    deliveries: Vec<Delivery>,
    /// Answers to the next deliveries; 200 when there are none left.
    answers: VecDeque<u16>,
    stall: Option<Duration>,
    under_way: usize,
    most_under_way: usize,
}

/// A running receiver.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    seen: Arc<Mutex<Seen>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let router = Router::new().fallback(receive).with_state(seen.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, seen }
    }

    pub fn answer_next(&self, statuses: &[u16]) {
        self.seen.lock().expect("receivers do not panic").answers.extend(statuses);
    }

    /// Takes so long for each answer.
    pub fn stall(&self, time: Duration) {
        self.seen.lock().expect("receivers do not panic").stall = Some(time);
    }

    pub fn deliveries(&self) -> Vec<Delivery> {
        self.seen.lock().expect("receivers do not panic").deliveries.clone()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.deliveries().iter().map(Delivery::kind).collect()
    }

    pub fn ids(&self) -> Vec<String> {
        self.deliveries().iter().map(|delivery| super::api::id(&delivery.event())).collect()
    }

    pub fn most_under_way(&self) -> usize {
        self.seen.lock().expect("receivers do not panic").most_under_way
    }
}

async fn receive(State(seen): State<Arc<Mutex<Seen>>>, headers: HeaderMap, body: String) -> StatusCode {
    let (status, stall) = {
        let mut seen = seen.lock().expect("receivers do not panic");
        seen.deliveries.push(Delivery { headers, body });
        seen.under_way += 1;
        seen.most_under_way = seen.most_under_way.max(seen.under_way);
        (seen.answers.pop_front().unwrap_or(200), seen.stall)
    };
    if let Some(time) = stall {
        tokio::time::sleep(time).await;
    }
    seen.lock().expect("receivers do not panic").under_way -= 1;
    StatusCode::from_u16(status).expect("tests answer real statuses")
}
