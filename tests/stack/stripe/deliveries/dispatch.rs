//! Sends what is due: signed, with a bound on requests under way, again after a failure.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{AttemptOutcome, DeliveryAttempt, Job, Next, Queue};
use crate::stripe::Shared;
use crate::stripe::clock::wall_seconds;
use crate::stripe::json;
use crate::stripe::signing::signature_header;

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// A receiver's answer is read to its end, so that the connection can be used again, but no further than this.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends deliveries until it is aborted; requests under way end with it.
pub async fn run(shared: Arc<Shared>, queue: Arc<Queue>) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(queue.options.timeout));
    let client: HttpClient = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(queue.options.concurrency)
        .build(connector);
    let places = Arc::new(Semaphore::new(queue.options.concurrency.max(1)));
    let mut under_way = JoinSet::new();
    loop {
        while under_way.try_join_next().is_some() {}
        // The place comes first: pausing and shuffling decide as late as they can.
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        match queue.next() {
            Next::Send(job) => {
                let (shared, queue, client) = (shared.clone(), queue.clone(), client.clone());
                under_way.spawn(async move {
                    deliver(&shared, &queue, &client, job).await;
                    drop(place);
                });
            }
            Next::WaitUntil(at) => {
                drop(place);
                tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => {}
                    () = queue.news.notified() => {}
                }
            }
            Next::WaitForNews => {
                drop(place);
                queue.news.notified().await;
            }
        }
    }
}

async fn deliver(shared: &Shared, queue: &Queue, client: &HttpClient, job: Job) {
    let target = shared.world().endpoints.get(&job.endpoint).cloned();
    let Some(target) = target.filter(|endpoint| endpoint.enabled) else {
        // Nothing is left to deliver to: the event is no longer pending for it.
        if !job.duplicate {
            shared.world().mark_delivered(&job.event);
            queue.state().stats.cancelled += 1;
        }
        return queue.done();
    };
    let body = json::pretty(&job.event.render());
    let signature = signature_header(&target.secrets, wall_seconds(), &body);
    let sent = tokio::time::timeout(queue.options.timeout, send(client, &target.url, body, &signature)).await;
    let outcome = match sent {
        Ok(Ok(status)) => AttemptOutcome::Answered(status),
        Ok(Err(reason)) => AttemptOutcome::Unanswered(reason),
        Err(_) => AttemptOutcome::Unanswered(format!("no answer within {:?}", queue.options.timeout)),
    };
    let delivered = matches!(outcome, AttemptOutcome::Answered(200..=299));
    let exhausted = !delivered && job.attempt >= queue.options.attempts_max;
    if delivered && !job.duplicate {
        shared.world().mark_delivered(&job.event);
    }
    {
        let mut state = queue.state();
        state.attempts.push(DeliveryAttempt {
            event: job.event.id.clone(),
            kind: job.event.kind.clone(),
            endpoint: job.endpoint.clone(),
            attempt: job.attempt,
            duplicate: job.duplicate,
            outcome,
        });
        state.stats.attempts += 1;
        state.stats.failed_attempts += u64::from(!delivered);
        state.stats.delivered += u64::from(delivered && !job.duplicate);
        state.stats.exhausted += u64::from(exhausted && !job.duplicate);
    }
    // A second copy is sent once, whatever becomes of it.
    if delivered || exhausted || job.duplicate { queue.done() } else { queue.again(job) }
}

async fn send(client: &HttpClient, url: &str, body: String, signature: &str) -> Result<u16, String> {
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header(header::USER_AGENT, "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .header(header::ACCEPT, "*/*; q=0.5, application/xml")
        .header(header::CACHE_CONTROL, "no-cache")
        .header("Stripe-Signature", signature)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let answer = client.request(request).await.map_err(|error| chain(&error))?;
    let status = answer.status().as_u16();
    // A status counts even when the rest of its answer is cut off.
    let _ = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok(status)
}

/// An error and its causes in one line: hyper's own words name only the step that failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
