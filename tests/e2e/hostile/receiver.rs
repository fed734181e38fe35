//! The receiver in this process, on a real database, held to its promise with every body that it is given.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use recoup::config::Env;
use recoup::failure::Failure;
use recoup::secrets::SecretStore;
use secrecy::SecretString;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use stack::Stack;
use stack::stripe::signature_header;
use tracing_subscriber::fmt::MakeWriter;
use webhook::Webhook;

use crate::http::unix_now;

const SECRET: &str = "whsec_hostile";

/// What a function would have written to standard output.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Log;

    fn make_writer(&'w self) -> Log {
        self.clone()
    }
}

struct Secrets(BTreeMap<&'static str, Value>);

impl SecretStore for Secrets {
    async fn current(&self, id: &str) -> Result<SecretString, Failure> {
        Ok(self.0[id].to_string().into())
    }
}

/// The receiver on a database of its own.
pub struct Receiver {
    /// What it stands on.
    pub stack: Stack,
    webhook: Webhook<Secrets>,
    log: Log,
    _logging: tracing::subscriber::DefaultGuard,
}

/// What was said of one delivery.
pub struct Answer {
    /// The id that the event is filed under.
    pub event: String,
    /// What became of it.
    pub outcome: String,
}

impl Receiver {
    /// Brings it up.
    pub async fn start() -> Receiver {
        let stack = Stack::builder().functions([]).start().await.expect("a stack");
        let secrets = Secrets(BTreeMap::from([
            ("db", json!({"url": stack.database_url})),
            ("signing", json!({"endpoints": {"platform": {"current": SECRET}}})),
            ("api", json!({"api_key": "sk_test_1"})),
        ]));
        let variables = [
            ("DATABASE_SECRET_ID", "db"),
            ("STRIPE_WEBHOOK_SECRET_ID", "signing"),
            ("STRIPE_API_SECRET_ID", "api"),
            ("STRIPE_LIVEMODE", "false"),
            // Nobody is there: lines that would have to be fetched cannot be.
            ("STRIPE_API_BASE", "http://127.0.0.1:1"),
        ];
        let env = Env::from_variables(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).finish();
        let logging = tracing::subscriber::set_default(subscriber);
        let webhook = Webhook::from_env(env, secrets, Box::new(log.clone())).await.expect("a receiver");
        Receiver { stack, webhook, log, _logging: logging }
    }

    /// As the gateway hands a request over that is not text; gives status and body.
    pub async fn post(&self, signature: Option<&str>, body: &[u8]) -> (u16, Value) {
        let mut headers = json!({"content-type": "application/json"});
        if let Some(signature) = signature {
            headers["stripe-signature"] = json!(signature);
        }
        let request = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/webhooks/stripe", "rawQueryString": "",
            "headers": headers,
            "requestContext": {
                "accountId": "1", "apiId": "a", "stage": "$default", "requestId": "r", "timeEpoch": 1,
                "http": {"method": "POST", "path": "/webhooks/stripe", "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1", "userAgent": "Stripe/1.0"},
            },
            "body": STANDARD.encode(body), "isBase64Encoded": true,
        });
        let payload = RawValue::from_string(request.to_string()).expect("JSON");
        let reply = self.webhook.invoke(&payload).await.expect("an answer");
        (reply.status_code, serde_json::from_str(&reply.body).expect("JSON"))
    }

    /// The header that Stripe would send with a body now.
    pub fn signature(&self, body: &[u8]) -> String {
        signature_header(&[SECRET], unix_now(), body)
    }

    /// How many events are in the inbox.
    pub async fn kept(&self) -> i64 {
        let query = sqlx::query_scalar("select count(*) from recoup.webhook_events");
        query.fetch_one(&self.stack.pool).await.expect("a count")
    }

    /// What the inbox says of an event.
    pub async fn reason(&self, event: &str) -> Option<String> {
        let query =
            sqlx::query_scalar("select last_error from recoup.webhook_events where id = $1").bind(event);
        query.fetch_one(&self.stack.pool).await.expect("a reason")
    }

    async fn deliver(&self, body: &[u8]) -> Answer {
        let (status, answer) = self.post(Some(&self.signature(body)), body).await;
        assert_eq!(status, 200, "{answer} for {}", String::from_utf8_lossy(body));
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        Answer { event: text("event"), outcome: text("outcome") }
    }

    /// Rows of everything that events have effects on.
    async fn effects(&self) -> i64 {
        let count = "select coalesce(sum((xpath('/row/rows/text()', query_to_xml(
                format('select count(*) as rows from recoup.%I', tablename), false, true, '')))[1]::text::bigint), 0)::bigint
            from pg_tables
            where schemaname = 'recoup' and tablename not in ('webhook_events', 'audit_log', 'row_changes')";
        sqlx::query_scalar(count).fetch_one(&self.stack.pool).await.expect("a count")
    }

    /// Delivers a body twice, and holds the receiver to its promise.
    pub async fn check(&self, body: &[u8]) -> Answer {
        let before = self.effects().await;
        let kept = self.kept().await;
        let first = self.deliver(body).await;
        let is_new = self.kept().await > kept;
        let after = self.effects().await;
        let shown = String::from_utf8_lossy(body);
        if matches!(first.outcome.as_str(), "ignored" | "failed" | "duplicate") {
            assert_eq!(before, after, "{} has effects: {shown}", first.outcome);
        }
        let kept: (Option<String>, Option<Vec<u8>>) =
            sqlx::query_as("select payload, payload_raw from recoup.webhook_events where id = $1")
                .bind(&first.event)
                .fetch_one(&self.stack.pool)
                .await
                .unwrap_or_else(|error| panic!("lost ({error}): {shown}"));
        let kept = kept.0.map(String::into_bytes).or(kept.1).expect("a payload");
        // Of an id that is there already, as a duplicate or to be tried again, the first body stays.
        if is_new {
            assert!(kept == body, "kept to the byte: {shown}");
        }
        let second = self.deliver(body).await;
        assert_eq!(first.event, second.event, "{shown}");
        match first.outcome.as_str() {
            "applied" | "ignored" | "duplicate" | "dead" => {
                assert_eq!(second.outcome, "duplicate", "{shown}");
            }
            _ => assert!(matches!(second.outcome.as_str(), "failed" | "dead"), "{}: {shown}", second.outcome),
        }
        assert_eq!(after, self.effects().await, "applied twice: {shown}");
        first
    }

    /// Nothing that was planted, and no secret, is in what was logged.
    pub fn no_marker_in_the_log(&self) {
        let log = self.log.text();
        assert!(log.contains("\"Received\""), "there is a log");
        for line in log.lines() {
            assert!(
                !["PLANTED", "@example.com", SECRET, "sk_test"].iter().any(|word| line.contains(word)),
                "{line}"
            );
        }
    }
}
