//! What the statements alone allow: the mix's events, read and applied by the common crate in this process, with
//! neither Lambda nor HTTP nor a signature in between.

use std::io;

use bytes::Bytes;
use recoup::db;
use recoup::events::checkout_session::Line;
use recoup::events::inbox::{Source, session_options};
use recoup::events::receive::{Accounts, LineItems, Outcome, Rules, receive};
use sqlx::postgres::PgConnection;

use crate::Result;
use crate::load::Client;

/// A connection as the webhook's.
pub struct Bare {
    connection: PgConnection,
}

impl Bare {
    /// Connects.
    pub async fn connect(database_url: &str) -> Result<Bare> {
        let options = session_options(db::options(database_url, "recoup bench")?);
        Ok(Bare { connection: db::connect(&options).await? })
    }
}

impl Client for Bare {
    /// An event's body, which has to be applied.
    async fn deliver(&mut self, body: Bytes) -> Result<()> {
        let rules = Rules { livemode: false, accounts: Accounts::None };
        match receive(&mut self.connection, &InTheMetadata, &rules, Source::Webhook, &body).await?.outcome {
            Outcome::Applied => Ok(()),
            other => Err(format!("not applied: {other:?}").into()),
        }
    }
}

/// The mix's checkouts carry their lines: a mix that needs others is another measurement.
struct InTheMetadata;

impl LineItems for InTheMetadata {
    type Error = io::Error;

    async fn of_session(&self, session: &str, _: Option<&str>) -> io::Result<Vec<Line>> {
        Err(io::Error::other(format!("{session} lacks its lines")))
    }
}
