//! HTTP: what every request goes through before and after its resource.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::errors::{ApiError, Result};
use super::events::Origin;
use super::expand::expand;
use super::form::{self, Form, Params};
use super::idempotency::{self, Kept};
use super::json;
use super::limits::ApiFault;
use super::pages::Reply;
use super::world::Call;
use super::{Shared, router};

/// Test actions are not part of Stripe's load: they are neither counted, limited nor spoilt.
const TEST_HELPERS: &str = "/v1/test_helpers/";

/// One request, read.
struct Asked<'r> {
    method: &'r str,
    path: &'r str,
    /// The form, from the query or the body.
    form: &'r str,
    key: Option<&'r str>,
}

struct Answer {
    status: u16,
    body: Arc<str>,
    /// The request whose answer this repeats.
    replay_of: Option<Arc<str>>,
}

/// Answers any request to any path.
pub async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let test_helper = uri.path().starts_with(TEST_HELPERS);
    let fault = if test_helper { None } else { shared.count_request() };
    if fault == Some(ApiFault::NoAnswer) {
        return never(&shared).await;
    }
    let request_id = shared.world().ids.make("req_", 14);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let version = text("stripe-version").map_or_else(|| shared.world().api_version.clone(), Arc::from);
    let key = text("idempotency-key").filter(|_| method == Method::POST);
    let answer = shared
        .admit(&headers, method.as_str(), uri.path(), fault, test_helper)
        .and_then(|account| {
            let posted = std::str::from_utf8(&body)
                .map_err(|_| ApiError::refused(None, "The body is not UTF-8.", None))?;
            check_content(&headers, posted)?;
            let form = if posted.is_empty() { uri.query().unwrap_or_default() } else { posted };
            let asked = Asked { method: method.as_str(), path: uri.path(), form, key };
            Ok(carry_out(&shared, &account, &asked, &request_id))
        })
        .unwrap_or_else(|error| refusal(&error, &request_id));
    if fault == Some(ApiFault::LostAnswer) {
        return never(&shared).await;
    }
    let now = shared.world().clock.now();
    respond(answer, &request_id, &version, key, now)
}

/// Holds the connection until the client gives up or the stand-in ends.
async fn never(shared: &Shared) -> Response {
    shared.ended().await;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

fn check_content(headers: &HeaderMap, posted: &str) -> Result<()> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if posted.is_empty() || kind.is_empty() || kind.starts_with("application/x-www-form-urlencoded") {
        return Ok(());
    }
    let message = format!(
        "Invalid request (check that your POST content type is application/x-www-form-urlencoded): it is {kind}."
    );
    Err(ApiError::refused(None, message, None))
}

fn refusal(error: &ApiError, request_id: &str) -> Answer {
    Answer { status: error.status, body: error.body(request_id).into(), replay_of: None }
}

/// Carries a request out in one step, or repeats the answer that its idempotency key kept.
fn carry_out(shared: &Shared, account: &Arc<str>, asked: &Asked, request_id: &Arc<str>) -> Answer {
    let mut world = shared.world();
    // What was due before the request happened before it.
    world.catch_up();
    let origin = Origin { request_id: Some(request_id.clone()), idempotency_key: asked.key.map(Arc::from) };
    let mut call = world.call(account, origin);
    let parameters = idempotency::fingerprint(asked.form);
    if let Some(key) = asked.key {
        if let Err(error) = idempotency::check_key(key) {
            return refusal(&error, request_id);
        }
        if let Some(kept) = call.books().kept.get(key) {
            return match idempotency::check_same(key, kept, asked.path, parameters) {
                Ok(()) => Answer {
                    status: kept.status,
                    body: kept.body.clone(),
                    replay_of: Some(kept.request_id.clone()),
                },
                Err(error) => refusal(&error, request_id),
            };
        }
    }
    let (answer, keep) = match run(&mut call, asked) {
        Ok(body) => (Answer { status: 200, body, replay_of: None }, true),
        Err(error) => (refusal(&error, request_id), error.kept),
    };
    if let Some(key) = asked.key.filter(|_| keep) {
        let kept = Kept {
            path: asked.path.to_owned(),
            parameters,
            status: answer.status,
            body: answer.body.clone(),
            request_id: request_id.clone(),
        };
        call.books_mut().kept.insert(key.to_owned(), kept);
    }
    answer
}

fn run(call: &mut Call, asked: &Asked) -> Result<Arc<str>> {
    let mut entries = form::parse(asked.form)?;
    let paths = take_expand(&mut entries)?;
    let segments: Vec<&str> = asked.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let reply = router::route(call, asked.method, &segments, &entries)?
        .ok_or_else(|| ApiError::unknown_url(asked.method, asked.path))?;
    let text = match reply {
        Reply::Object(text) => text,
        Reply::Page(page) => page.render().into(),
    };
    if paths.is_empty() {
        return Ok(text);
    }
    let mut value = json::parse(&text);
    for path in &paths {
        expand(call, &mut value, path)?;
    }
    Ok(json::compact(&value).into())
}

fn take_expand(entries: &mut Vec<(String, Form)>) -> Result<Vec<String>> {
    let paths =
        Params::top(entries).texts("expand")?.unwrap_or_default().into_iter().map(str::to_owned).collect();
    entries.retain(|(name, _)| name != "expand");
    Ok(paths)
}

fn respond(answer: Answer, request_id: &str, version: &str, key: Option<&str>, now: i64) -> Response {
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::DATE, http_date(now))
        .header(header::CONTENT_TYPE, "application/json")
        .header("Request-Id", request_id)
        .header("Stripe-Version", version);
    if let Some(key) = key {
        response = response.header("Idempotency-Key", key);
    }
    if let Some(original) = answer.replay_of {
        response = response.header("Idempotent-Replayed", "true").header("Original-Request", &*original);
    }
    if answer.status == 429 {
        response =
            response.header(header::RETRY_AFTER, "1").header("Stripe-Rate-Limited-Reason", "global-rate");
    }
    let body = Body::from(answer.body.as_bytes().to_vec());
    response.body(body).expect("all header values are visible ASCII")
}

/// As HTTP writes a second (RFC 9110, "Date/Time Formats").
fn http_date(unix_seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc2822).unwrap_or_default().replace("+0000", "GMT")
}

impl Shared {
    /// Checks key, account, version, rate limit and fault; gives the account that the request is for.
    fn admit(
        &self,
        headers: &HeaderMap,
        method: &str,
        path: &str,
        fault: Option<ApiFault>,
        test_helper: bool,
    ) -> Result<Arc<str>> {
        let key = api_key(headers).ok_or_else(|| {
            let message = "You did not provide an API key. You need to provide your API key in the Authorization header, \
                           using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').";
            ApiError::unauthorized(None, message.to_owned())
        })?;
        self.check_key(&key)?;
        self.check_rights(&key, method, path)?;
        let account = self.account_of(headers, &key)?;
        if let Some(version) = headers.get("stripe-version") {
            check_version(version.to_str().unwrap_or_default())?;
        }
        if !test_helper && !self.limits().admit(method, path) {
            return Err(ApiError::rate_limited());
        }
        if fault == Some(ApiFault::ServerError) {
            return Err(ApiError::server());
        }
        Ok(account)
    }

    fn account_of(&self, headers: &HeaderMap, key: &str) -> Result<Arc<str>> {
        let own = self.api_keys().accounts.get(key).map(|account| account.as_str().into());
        let world = self.world();
        let Some(asked) = headers.get("stripe-account") else {
            return Ok(own.unwrap_or_else(|| world.platform.clone()));
        };
        let asked = asked.to_str().unwrap_or_default();
        let known = world.accounts.get_key_value(asked).map(|(id, _)| id.clone());
        known.ok_or_else(|| ApiError::no_access(&masked(key), asked))
    }

    fn check_rights(&self, key: &str, method: &str, path: &str) -> Result<()> {
        let keys = self.api_keys();
        let refused = keys.refused.get(key).into_iter().flatten();
        match refused.into_iter().any(|(verb, start)| verb == method && path.starts_with(start.as_str())) {
            true => Err(ApiError::lacks_rights(&masked(key))),
            false => Ok(()),
        }
    }

    fn check_key(&self, key: &str) -> Result<()> {
        let keys = self.api_keys();
        if keys.valid.iter().any(|valid| valid == key) {
            return Ok(());
        }
        if keys.revoked.iter().any(|revoked| revoked == key) {
            let message = format!("Expired API Key provided: {}", masked(key));
            return Err(ApiError::unauthorized(Some("api_key_expired"), message));
        }
        Err(ApiError::unauthorized(None, format!("Invalid API Key provided: {}", masked(key))))
    }
}

/// The key, from `Bearer` or as the user name of basic authentication.
fn api_key(headers: &HeaderMap) -> Option<String> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
        return Some(pair.split(':').next()?.to_owned());
    }
    None
}

/// The first eight characters and the last four, as Stripe shows keys.
fn masked(key: &str) -> String {
    let characters: Vec<char> = key.chars().collect();
    let count = characters.len();
    characters
        .iter()
        .enumerate()
        .map(|(at, shown)| if at < 8 || at + 4 >= count { *shown } else { '*' })
        .collect()
}

/// `2026-09-30`, or with a release's name: `2026-09-30.endive`.
fn check_version(version: &str) -> Result<()> {
    let (date, release) = version.split_once('.').unwrap_or((version, "release"));
    let dated = date.len() == 10
        && date
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    if dated && !release.is_empty() && release.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(ApiError::refused(None, format!("Invalid Stripe API version: {version}"), None))
}
