//! S3 with versions and Object Lock: a bucket in `moto_server`, driven by the real AWS SDK.
//!
//! moto refuses to delete what is locked and hides what is deleted without a version behind a marker, as S3 does. It
//! has no GetObjectRetention: that is answered here, from what its HeadObject says of the lock. Of an object that went up
//! in pieces it keeps the composite checksum, as S3 does; its HeadObject forgets to say of how many pieces, so that such a
//! question is answered from its GetObject.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::Stack;
use crate::engine::{Engine, serve};
use crate::error::{Error, Result};
use crate::iam::{Call, Iam};
use crate::s3::{REGION, permitted};
use crate::store_gate::forward;

type Http = hyper_util::client::legacy::Client<HttpConnector, Full<bytes::Bytes>>;

/// A bucket with versions and locks.
pub struct VersionedBucket {
    endpoint: String,
    bucket: String,
    client: Client,
    _engine: Engine,
}

impl VersionedBucket {
    /// A new bucket, reached with the stack's keys.
    pub async fn create(stack: &Stack) -> Result<VersionedBucket> {
        let engine = Engine::start()?;
        let moto: Arc<str> = stack.secrets.moto().into();
        let http: Http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        // One moto serves all stacks of the process.
        let bucket = format!("recoup-locked-{:016x}", rand::random::<u64>());
        let door = Door { iam: stack.iam.clone(), bucket: bucket.clone(), stands_for: stack.bucket.clone() };
        let router =
            Router::new().fallback(move |request| pass(door.clone(), http.clone(), moto.clone(), request));
        let endpoint = format!("http://{}", serve(engine.handle(), router, std::future::pending())?);
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .credentials_provider(stack.access_key.sdk())
            .endpoint_url(&endpoint)
            .force_path_style(true)
            .build();
        let client = Client::from_conf(config);
        let place = aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::EuCentral1)
            .build();
        client
            .create_bucket()
            .bucket(&bucket)
            .create_bucket_configuration(place)
            .object_lock_enabled_for_bucket(true)
            .send()
            .await
            .map_err(Error::aws(format!("create bucket {bucket}")))?;
        Ok(VersionedBucket { endpoint, bucket, client, _engine: engine })
    }

    /// Base URL, for `AWS_ENDPOINT_URL_S3`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.bucket
    }

    /// The real AWS client.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// Lets a function do with this bucket what its role lets it do with the stack's.
#[derive(Clone)]
struct Door {
    iam: Iam,
    bucket: String,
    stands_for: String,
}

async fn pass(door: Door, http: Http, moto: Arc<str>, request: Request) -> Response {
    let meant =
        |call: Call| Call { resource: call.resource.replacen(&door.bucket, &door.stands_for, 1), ..call };
    match permitted(&door.iam, request, meant).await {
        Ok(request) => answer(http, moto, request).await,
        Err(refused) => refused,
    }
}

async fn answer(http: Http, moto: Arc<str>, request: Request) -> Response {
    let asks_for_retention = request.uri().query().is_some_and(|query| {
        query.split('&').any(|field| field == "retention" || field.starts_with("retention="))
    });
    let asks_for_checksum =
        request.method() == Method::HEAD && request.headers().contains_key("x-amz-checksum-mode");
    if asks_for_checksum {
        let mut request = request;
        *request.method_mut() = Method::GET;
        return forward(&http, &moto, request).await.map(|_| axum::body::Body::empty());
    }
    if request.method() != Method::GET || !asks_for_retention {
        return forward(&http, &moto, request).await;
    }
    let (mut parts, _) = request.into_parts();
    parts.method = Method::HEAD;
    parts.uri = match parts.uri.path().parse() {
        Ok(uri) => uri,
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    };
    let head = forward(&http, &moto, Request::from_parts(parts, axum::body::Body::empty())).await;
    match head.status() {
        StatusCode::OK => retention(head.headers()),
        StatusCode::NOT_FOUND => refused(StatusCode::NOT_FOUND, "NoSuchKey"),
        other => other.into_response(),
    }
}

/// In the form of the Amazon S3 API Reference, "GetObjectRetention".
fn retention(head: &HeaderMap) -> Response {
    let text = |name: &str| head.get(name).and_then(|value| value.to_str().ok());
    match (text("x-amz-object-lock-mode"), text("x-amz-object-lock-retain-until-date")) {
        (Some(mode), Some(until)) => {
            let body = format!(
                "<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
            );
            (StatusCode::OK, body).into_response()
        }
        _ => refused(StatusCode::NOT_FOUND, "NoSuchObjectLockConfiguration"),
    }
}

fn refused(status: StatusCode, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>as S3 says it</Message></Error>");
    (status, body).into_response()
}
