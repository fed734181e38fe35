//! S3: `s3s` over a directory, in this process, driven by the real AWS SDK.
//!
//! It checks signatures and checksums and knows conditional puts; it has no versions, locks or lifecycle rules. Who may do
//! what is [`crate::iam`]'s.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::runtime::Handle;

use crate::engine::serve;
use crate::error::{Error, Result};
use crate::iam::{Call, Iam, calls_of, key_id};
use crate::store_gate::operation;

/// Region of everything in the stack.
pub const REGION: &str = "eu-central-1";

/// Access keys of one stack: made up, and checked by the S3 stand-in.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// Public part.
    pub id: String,
    /// Secret part.
    pub secret: String,
}

impl AccessKey {
    /// A new one. AWS's begin with `AKIA` where they stay and with `ASIA` where they are an instance's.
    pub(crate) fn generate(kind: &str) -> AccessKey {
        AccessKey {
            id: format!("{kind}STACK{:011X}", rand::random::<u64>() >> 20),
            secret: format!("{:040x}", rand::random::<u128>()),
        }
    }

    /// The variables that AWS's clients read it from.
    pub fn variables(&self) -> [(String, String); 2] {
        [
            ("AWS_ACCESS_KEY_ID".to_owned(), self.id.clone()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), self.secret.clone()),
        ]
    }

    pub(crate) fn sdk(&self) -> Credentials {
        Credentials::new(&self.id, &self.secret, None, None, "stack")
    }
}

/// One object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Key in the bucket.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
}

/// A running S3 server with one bucket.
#[derive(Debug, Clone)]
pub struct S3 {
    endpoint: String,
    bucket: String,
    client: Client,
    root: PathBuf,
    /// Keys that were asked for, in order.
    reads: Arc<Mutex<Vec<String>>>,
}

impl S3 {
    /// Serves `root` on a free loopback port and creates `bucket`.
    pub(crate) async fn start(
        handle: &Handle,
        root: &Path,
        key: &AccessKey,
        bucket: &str,
        iam: &Iam,
    ) -> Result<S3> {
        let files = FileSystem::new(root).map_err(|error| {
            Error::failed(format!("open the S3 directory {}", root.display()), &format!("{error:?}"))
        })?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(iam.keys().clone());
        let door = Door { service: builder.build(), root: root.to_owned(), iam: iam.clone() };
        let reads: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&reads);
        let router = Router::new().fallback(move |request: Request| {
            note_read(&noted, &request);
            answer(door.clone(), request)
        });
        let address: SocketAddr = serve(handle, router, std::future::pending())?;
        let endpoint = format!("http://{address}");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .credentials_provider(key.sdk())
            .endpoint_url(&endpoint)
            .force_path_style(true)
            .build();
        let s3 = S3 {
            endpoint,
            bucket: bucket.to_owned(),
            client: Client::from_conf(config),
            root: root.to_owned(),
            reads,
        };
        s3.client
            .create_bucket()
            .bucket(bucket)
            .send()
            .await
            .map_err(Error::aws(format!("create bucket {bucket}")))?;
        Ok(s3)
    }

    /// Base URL, for `--endpoint-url` and `AWS_ENDPOINT_URL_S3`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The real AWS client, path style, with this stack's keys.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The keys of all requests to read an object since the last call, answered or not, in order; percent-encoded.
    pub fn take_reads(&self) -> Vec<String> {
        std::mem::take(&mut *self.reads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All objects whose key starts with `prefix`, in the order of their keys.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut pages =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(Error::aws(format!("list objects under {prefix}")))?;
            for object in page.contents() {
                objects.push(Object {
                    key: object.key().unwrap_or_default().to_owned(),
                    size: object.size().unwrap_or(0).unsigned_abs(),
                });
            }
        }
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    /// The bytes of an object.
    pub async fn read(&self, key: &str) -> Result<Bytes> {
        let object = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(Error::aws(format!("read object {key}")))?;
        let bytes = object.body.collect().await.map_err(Error::aws(format!("read object {key}")))?;
        Ok(bytes.into_bytes())
    }

    /// Writes an object, over whatever was there.
    pub async fn write(&self, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .body(ByteStream::from(bytes.into()))
            .send()
            .await
            .map_err(Error::aws(format!("write object {key}")))?;
        Ok(())
    }

    /// Damages an object: inverts the lowest bit of the byte at `position` (counted from 0).
    pub async fn flip_byte(&self, key: &str, position: usize) -> Result<()> {
        let mut bytes = self.read(key).await?.to_vec();
        let size = bytes.len();
        let byte = bytes.get_mut(position).ok_or_else(|| {
            Error::failed(format!("flip byte {position} of {key}"), &format!("it has only {size} bytes"))
        })?;
        *byte ^= 1;
        self.write(key, bytes).await
    }

    /// The uploads in pieces that were begun and neither completed nor given up: what `s3s-fs`, which has no
    /// ListMultipartUploads, keeps of them beside its buckets.
    pub fn unfinished_uploads(&self) -> Result<Vec<String>> {
        let operation = "look for unfinished uploads";
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(Error::io(operation))? {
            let name = entry.map_err(Error::io(operation))?.file_name().to_string_lossy().into_owned();
            if name.starts_with(".upload") {
                found.push(name);
            }
        }
        Ok(found)
    }

    /// Makes an object look as if it had been stored `age` ago.
    pub fn backdate(&self, key: &str, age: Duration) -> Result<()> {
        let operation = format!("backdate object {key}");
        let path = self.root.join(&self.bucket).join(key);
        let file = File::options().write(true).open(path).map_err(Error::io(&*operation))?;
        file.set_modified(SystemTime::now() - age).map_err(Error::io(operation))
    }

    /// Deletes an object.
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(Error::aws(format!("delete object {key}")))?;
        Ok(())
    }
}

/// Notes the key where a request reads an object.
fn note_read(reads: &Mutex<Vec<String>>, request: &Request) {
    let key = request.uri().path().trim_start_matches('/').split_once('/').map(|(_bucket, key)| key);
    if let (&Method::GET, Some(key)) = (request.method(), key.filter(|key| !key.is_empty())) {
        reads.lock().unwrap_or_else(PoisonError::into_inner).push(key.to_owned());
    }
}

/// Lists with names as they are. Asked for them URL-encoded, as the AWS CLI asks, `s3s-fs` says that they are and does
/// not encode them: a client that believed it would look for another key than the one with a `%` in it.
async fn with_plain_names(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let text = String::from_utf8_lossy(&body).replace("<EncodingType>url</EncodingType>", "");
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text))
}

/// What every request passes.
#[derive(Clone)]
struct Door {
    service: S3Service,
    root: PathBuf,
    iam: Iam,
}

async fn answer(door: Door, request: Request) -> Response {
    let request = match checked(&door, request).await {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    let is_encoded_list = request.uri().query().is_some_and(|query| query.contains("encoding-type=url"));
    let response = serve_request(door.service, request).await;
    if is_encoded_list { with_plain_names(response).await } else { response }
}

/// The request, where its sender may make it.
async fn checked(door: &Door, request: Request) -> Result<Request, Response> {
    let bucket = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
    // Of a bucket that there is not S3 says so to everyone.
    if !door.root.join(bucket).is_dir() {
        return Ok(request);
    }
    permitted(&door.iam, request, |call| call).await
}

/// The same of any store; `meant` says which resource the template calls what the request names.
pub(crate) async fn permitted(
    iam: &Iam,
    request: Request,
    meant: impl Fn(Call) -> Call,
) -> Result<Request, Response> {
    let (parts, mut body) = request.into_parts();
    let mut named = Bytes::new();
    if operation(&parts.method, &parts.uri) == "DeleteObjects" {
        named = axum::body::to_bytes(body, usize::MAX)
            .await
            .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()).into_response())?;
        body = Body::from(named.clone());
    }
    let calls = calls_of(&parts.method, &parts.uri, &parts.headers, &named).into_iter().map(meant);
    match iam.permit(key_id(&parts.headers), &calls.collect::<Vec<_>>()) {
        Ok(()) => Ok(Request::from_parts(parts, body)),
        Err(denied) => {
            // A store reads what it is sent before it refuses it.
            let _ = axum::body::to_bytes(body, usize::MAX).await;
            let message = denied.to_string().replace('"', "&quot;");
            let error = format!("<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>");
            Err((StatusCode::FORBIDDEN, error).into_response())
        }
    }
}

async fn serve_request(service: S3Service, request: Request) -> Response {
    match service.call(request.map(s3s::Body::http_body_unsync)).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            let mut response = Response::new(Body::from(format!("{error:?}")));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}
