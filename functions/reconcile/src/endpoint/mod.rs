//! The action `endpoint`: whether Stripe's webhook endpoint is as it has to be, and how deliveries of the last day fared.
//!
//! Stripe says of an event only that some endpoint has not had it yet, whoever's that is. What came here the inbox
//! knows: of Stripe's undelivered events, those that it has from a delivery are somebody else's.

mod delivery;
mod expected;

use recoup::events::receive::{Accounts, Rules};
use recoup::failure::Failure;
use recoup::stripe::Client;
use serde::Serialize;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

pub use self::expected::Expected;
use self::expected::{WebhookEndpoint, judge};
use crate::accounts;
use crate::differences::{Differences, IN_REPLY_MAX};
use crate::finding::{Finding, Kind};
use crate::list::List;
use crate::report::{About, Location, Report};

/// Deliveries are looked at so far back.
const LOOKED_BACK: Duration = Duration::DAY;

/// A younger event may be on its way, or be tried again within the minute.
const UNDER_WAY: Duration = Duration::minutes(10);

/// What of the deliveries has to succeed, in percent.
const SUCCESS_PERCENT_MIN: f64 = 99.0;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Reply {
    /// `endpoint`.
    pub action: &'static str,
    /// `completed`.
    pub status: &'static str,
    /// Endpoints at Stripe that have our URL.
    pub endpoints: Vec<WebhookEndpoint>,
    /// First second of the deliveries that were looked at.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// Last second of them.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// How they fared.
    pub deliveries: Deliveries,
    /// Differences.
    pub differences: u64,
    /// Whether there are any.
    pub drift: bool,
    /// The first hundred of them, each with its remedy.
    pub findings: Vec<Finding>,
    /// What the operator should know besides.
    pub warnings: Vec<String>,
    /// Where the report is.
    pub report: Option<Location>,
}

impl Reply {
    /// As the report tells it.
    pub fn report(&self, differences: &Differences, started_at: OffsetDateTime) -> Report {
        let about = About {
            action: self.action,
            status: self.status,
            dry_run: false,
            from: self.from,
            to: self.to,
            started_at,
            drift: self.drift,
        };
        let numbers = [
            ("endpoints", self.endpoints.len() as u64),
            ("delivered", self.deliveries.delivered),
            ("undelivered", self.deliveries.undelivered),
            ("brought", self.deliveries.brought),
            ("pending_webhooks", self.deliveries.pending_webhooks),
            ("under_way", self.deliveries.under_way),
        ];
        Report::of(about, &numbers, differences, &self.warnings)
    }
}

/// How deliveries fared.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct Deliveries {
    /// Events that the inbox has from a delivery.
    pub delivered: u64,
    /// Events that Stripe could not deliver here.
    pub undelivered: u64,
    /// Of these, how many `reconcile` or a person brought meanwhile.
    pub brought: u64,
    /// Deliveries of them that Stripe still tries.
    pub pending_webhooks: u64,
    /// Events so young that they may be on their way.
    pub under_way: u64,
    /// Events that came here, and that another endpoint of the account still lacks.
    pub elsewhere: u64,
    /// Of a hundred deliveries, how many succeeded; none where there were none.
    pub success_percent: Option<f64>,
}

/// One run.
pub struct Run<'r> {
    /// Where endpoints and events are listed.
    pub stripe: &'r Client,
    /// Which events are ours.
    pub rules: &'r Rules,
    /// What the endpoint has to be.
    pub expected: &'r Expected,
}

impl Run<'_> {
    /// Looks at the endpoint and at the last day's deliveries.
    ///
    /// # Errors
    /// Why Stripe or Postgres could not be used.
    pub async fn finish(
        &self,
        connection: &mut PgConnection,
        now: OffsetDateTime,
    ) -> Result<(Reply, Differences), Failure> {
        let mut differences = Differences::default();
        let mut warnings = Vec::new();
        let endpoints = self.endpoints(&mut differences, &mut warnings).await?;
        let (from, to) = (now - LOOKED_BACK, now);
        let deliveries = self.deliveries(connection, from, to, &mut differences).await?;
        if let Some(percent) = deliveries.success_percent.filter(|percent| *percent < SUCCESS_PERCENT_MIN) {
            let id = endpoints.first().map_or("(none)", |endpoint| endpoint.id.as_str());
            let reason = "events arrive late: look at the webhook's log and alarms, and at the endpoint in Stripe's dashboard";
            differences.add(
                Finding::of(Kind::Different, "webhook_endpoint", id, None)
                    .field("success_percent", Some(percent.into()), Some(SUCCESS_PERCENT_MIN.into()))
                    .because(reason),
            );
        }
        let found = differences.found();
        let reply = Reply {
            action: "endpoint",
            status: "completed",
            endpoints,
            from,
            to,
            deliveries,
            differences: found,
            drift: found > 0,
            findings: differences.kept().iter().take(IN_REPLY_MAX).cloned().collect(),
            warnings,
            report: None,
        };
        Ok((reply, differences))
    }

    async fn endpoints(
        &self,
        differences: &mut Differences,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<WebhookEndpoint>, Failure> {
        let Some(url) = &self.expected.url else {
            warnings.push("STRIPE_WEBHOOK_URL is none: Stripe is not asked for its endpoint".to_owned());
            return Ok(Vec::new());
        };
        let mut pages = List::of(self.stripe, None, "/v1/webhook_endpoints", &[]);
        let mut ours = Vec::new();
        while let Some(page) = pages.next().await? {
            for json in page {
                match WebhookEndpoint::read(&json) {
                    Ok(endpoint) if endpoint.is_at(url, self.rules.livemode) => ours.push(endpoint),
                    Ok(_) => {}
                    Err(fault) => warnings.push(format!("an endpoint at Stripe cannot be read: {fault}")),
                }
            }
        }
        let connected = self.rules.accounts != Accounts::None;
        for finding in judge(&ours, self.expected, url, connected) {
            differences.add(finding);
        }
        Ok(ours)
    }

    async fn deliveries(
        &self,
        connection: &mut PgConnection,
        from: OffsetDateTime,
        to: OffsetDateTime,
        differences: &mut Differences,
    ) -> Result<Deliveries, Failure> {
        let mut deliveries = Deliveries::default();
        for account in accounts::compared(self.stripe, self.rules, None).await? {
            let span = delivery::Span { from, to, settled: to - UNDER_WAY };
            let looked = delivery::look(
                connection,
                self.stripe,
                account.as_deref(),
                span,
                &mut deliveries,
                differences,
            );
            match looked.await {
                Err(failure) if account.is_some() && failure.error_type() == "StripeAccountRefused" => {
                    differences.add(accounts::left(account.as_deref().unwrap_or_default()));
                }
                looked => looked?,
            }
        }
        deliveries.delivered = delivery::delivered(connection, from, to).await?;
        deliveries.success_percent = delivery::percent(deliveries.delivered, deliveries.undelivered);
        Ok(deliveries)
    }
}
