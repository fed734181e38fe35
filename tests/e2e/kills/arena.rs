//! A receiver behind a gate, and beside it one that nobody disturbs.

use recoup::db;
use recoup::events::inbox::{Source, session_options};
use recoup::events::receive::{Accounts, Outcome, Rules, receive};
use sqlx::{PgConnection, PgPool};
use stack::gate::{Count, Gate, Message, Stop};
use stack::postgres::{Database, Postgres};
use stack::records::Records;
use stack::{DatabaseChoice, Stack};

use super::cases::Case;
use crate::http::Http;
use crate::support::NoneToFetch;

/// The real function behind a gate on a database, and an undisturbed receiver on another one.
pub struct Arena {
    /// The disturbed one.
    pub stack: Stack,
    /// Between its function and its database.
    pub gate: Gate,
    http: Http,
    direct: PgConnection,
    calm: PgConnection,
    calm_database: Database,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// What became of the event; empty where it was not said.
    pub outcome: String,
}

impl Arena {
    /// With one instance of the function, behind a pooler of that mode.
    pub async fn open(pooler: &str, database: DatabaseChoice) -> Arena {
        let stack = Stack::builder()
            .database(database)
            .functions(["webhook"])
            .instances("webhook", 1)
            .env("webhook", "STRIPE_ACCOUNTS", "all")
            .env("webhook", "DATABASE_POOLER", pooler);
        let stack = stack.start().await.expect("a stack");
        let gate = Gate::start(&stack.database_url).await.expect("a gate");
        stack.secrets.put("database", &serde_json::json!({"url": gate.url()})).await.expect("put");
        let postgres = Postgres::shared().await.expect("a server");
        let calm_database = postgres.migrated_database().await.expect("a database");
        let direct = session(&stack.database_url).await;
        let calm = session(calm_database.url()).await;
        Arena { stack, gate, http: Http::new(), direct, calm, calm_database }
    }

    /// Has everything of the case come to the calm receiver, and to the other what came before the event.
    pub async fn prepare(&mut self, case: &Case) {
        for event in &case.before {
            let body = serde_json::to_vec(event).expect("json");
            for connection in [&mut self.direct, &mut self.calm] {
                assert_eq!(take(connection, &body).await, Outcome::Applied, "{}: before it", case.name);
            }
        }
        take(&mut self.calm, &case.body()).await;
    }

    /// Stripe delivers the event.
    pub async fn deliver(&self, case: &Case) -> Answer {
        let (status, answer) = self.http.deliver(&self.stack, &case.body()).await;
        Answer { status, outcome: answer["outcome"].as_str().unwrap_or_default().to_owned() }
    }

    /// Delivers, and has `then` done while the gate holds the message that it is armed for, if it comes.
    pub async fn deliver_until_held(
        &self,
        case: &Case,
        then: impl AsyncFnOnce(),
    ) -> (Answer, Option<Message>) {
        let delivery = self.deliver(case);
        tokio::pin!(delivery);
        tokio::select! {
            biased;
            answer = &mut delivery => (answer, self.gate.caught()),
            message = self.gate.stopped() => {
                then().await;
                (delivery.await, Some(message))
            }
        }
    }

    /// Arms the gate to hold message `at`, delivers, and kills the function there. Nothing of it is left then, here or
    /// in Postgres. `None` where the event's life was over before; the answer then is a success.
    pub async fn killed_at(&self, case: &Case, count: Count, at: u64) -> Option<Message> {
        self.gate.arm(count, at, Stop::Hold);
        let kill = async || {
            assert_eq!(self.stack.lambda.kill("webhook").expect("killed"), 1);
        };
        let (answer, message) = self.deliver_until_held(case, kill).await;
        self.gate.disarm();
        match message {
            Some(message) => {
                assert_eq!(answer.status, 502, "{}: killed at {at}, {message}", case.name);
                self.gate.empty().await;
            }
            None => assert_eq!((answer.status, &*answer.outcome), (200, case.outcome), "{}", case.name),
        }
        message
    }

    /// Arms the gate to cut the connection at message `at`, and delivers.
    pub async fn cut_at(&self, case: &Case, count: Count, at: u64) -> (Answer, Option<Message>) {
        self.gate.arm(count, at, Stop::Cut);
        let answer = self.deliver(case).await;
        let message = self.gate.caught();
        self.gate.disarm();
        (answer, message)
    }

    /// Ends the function.
    pub async fn cold(&self) {
        self.stack.lambda.kill("webhook").expect("killed");
        self.gate.empty().await;
    }

    /// Ends the function's connection, if it has one: the next delivery opens another.
    pub async fn disconnected(&self) {
        self.gate.cut();
        self.gate.empty().await;
    }

    /// Gives the function a connection on which no event has come yet.
    pub async fn connected(&self) {
        self.disconnected().await;
        let (status, answer) = self.http.send(http::Method::GET, &self.stack.health_url(), &[], b"").await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Opens our own connection again, after a restart.
    pub async fn reconnect(&mut self) {
        self.direct = session(&self.stack.database_url).await;
    }

    /// Whether the event is in the inbox.
    pub async fn keeps(&mut self, case: &Case) -> bool {
        let query = "select exists (select from recoup.webhook_events where id = $1)";
        sqlx::query_scalar(query).bind(case.id()).fetch_one(&mut self.direct).await.expect("asked")
    }

    /// Stripe delivers again: that event has now been applied once, and says so.
    pub async fn again(&self, case: &Case, kept: bool, place: &str) {
        let expected = match case.outcome {
            // A failed event is tried again.
            "failed" => "failed",
            _ if kept => "duplicate",
            outcome => outcome,
        };
        let answer = self.deliver(case).await;
        assert_eq!((answer.status, &*answer.outcome), (200, expected), "{}: after {place}", case.name);
    }

    /// The rows are those of the calm receiver, and each event is in the inbox as it is there.
    pub async fn same_rows(&self, case: &Case) {
        let ((expected, events_expected), (found, events_found)) =
            (records(self.calm_database.url()).await, records(&self.stack.database_url).await);
        assert_eq!(expected.differences(&found), Vec::<String>::new(), "{}", case.name);
        assert_eq!(expected.money, found.money, "{}", case.name);
        assert_eq!(events_expected, events_found, "{}", case.name);
    }
}

/// The records, and a line for each event: one that is settled was settled at its first try.
async fn records(url: &str) -> (Records, Vec<String>) {
    let pool = PgPool::connect(url).await.expect("a pool");
    let events = "select concat_ws(' ', id, status, case when status <> 'failed' then attempts end)
        from recoup.webhook_events order by id";
    let events = sqlx::query_scalar(events).fetch_all(&pool).await.expect("events");
    (Records::read(&pool).await.expect("records"), events)
}

async fn session(url: &str) -> PgConnection {
    let options = session_options(db::options(url, "a test").expect("a URL"));
    db::connect(&options).await.expect("connected")
}

async fn take(connection: &mut PgConnection, body: &[u8]) -> Outcome {
    let rules = Rules { livemode: false, accounts: Accounts::All };
    receive(connection, &NoneToFetch, &rules, Source::Webhook, body).await.expect("committed").outcome
}
