//! The Lambda stand-in, with a real function binary, the real AWS CLI and plain HTTP.

use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use stack::engine::Engine;
use stack::lambda::{FunctionConfig, Lambda, front};
use stack::place;

struct Service {
    lambda: Lambda,
    engine: Engine,
}

fn service(change: impl FnOnce(&mut FunctionConfig)) -> Service {
    let engine = Engine::start().unwrap();
    let mut config = FunctionConfig::new("echo", place::built_binary("echo_function").unwrap());
    change(&mut config);
    let lambda = Lambda::start(engine.handle(), [config]).unwrap();
    Service { lambda, engine }
}

/// Polls for at most ten seconds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: did not come true in ten seconds");
}

#[tokio::test]
async fn an_invocation_reaches_the_function_and_its_answer_the_caller() {
    let service = service(|_| {});

    let reply = service.lambda.invoke("echo", &json!({"hello": "wörld"})).await.unwrap();

    assert_eq!((reply.status, reply.function_error), (200, None));
    assert_eq!(reply.payload["event"], json!({"hello": "wörld"}));
    assert_eq!(reply.payload["memory"], 128);
    assert_eq!(reply.payload["arn"], "arn:aws:lambda:eu-central-1:000000000000:function:echo");
    let id = reply.payload["request_id"].as_str().unwrap();
    assert!(reply.log_tail.contains(&format!("START RequestId: {id}")), "{}", reply.log_tail);
    assert!(reply.log_tail.contains(&format!("working on {id}")), "{}", reply.log_tail);
    assert!(reply.log_tail.contains(&format!("REPORT RequestId: {id}\tDuration: ")), "{}", reply.log_tail);
}

#[tokio::test]
async fn an_instance_is_reused_warm_and_works_on_one_invocation_at_a_time() {
    let service = service(|_| {});
    let first = service.lambda.invoke("echo", &json!({})).await.unwrap().payload["pid"].clone();
    let second = service.lambda.invoke("echo", &json!({})).await.unwrap().payload["pid"].clone();
    assert_eq!(first, second);

    let nap = json!({"do": "sleep", "ms": 200});
    let (a, b) = tokio::join!(service.lambda.invoke("echo", &nap), service.lambda.invoke("echo", &nap));

    assert_ne!(a.unwrap().payload["pid"], b.unwrap().payload["pid"]);
    assert_eq!(service.lambda.pids("echo").unwrap().len(), 2);
}

#[tokio::test]
async fn one_more_than_the_limit_is_throttled() {
    let service = service(|config| config.instances_max = 1);
    let nap = json!({"do": "sleep", "ms": 300});

    let (a, b) = tokio::join!(service.lambda.invoke("echo", &nap), service.lambda.invoke("echo", &nap));

    let mut statuses = [a.unwrap().status, b.unwrap().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 429]);
}

#[tokio::test]
async fn a_function_error_is_an_answer_and_the_instance_stays() {
    let service = service(|_| {});
    let pid = service.lambda.invoke("echo", &json!({})).await.unwrap().payload["pid"].clone();

    let failed = service.lambda.invoke("echo", &json!({"do": "fail", "message": "no luck"})).await.unwrap();
    let panicked = service.lambda.invoke("echo", &json!({"do": "panic"})).await.unwrap();

    assert_eq!((failed.status, failed.function_error.as_deref()), (200, Some("Unhandled")));
    assert_eq!(failed.payload["errorMessage"], "no luck");
    assert_eq!(panicked.function_error.as_deref(), Some("Unhandled"));
    assert!(panicked.payload["errorMessage"].as_str().unwrap().contains("asked to panic"));
    assert_eq!(service.lambda.invoke("echo", &json!({})).await.unwrap().payload["pid"], pid);
}

#[tokio::test]
async fn an_exit_fails_the_invocation_and_the_next_gets_a_new_instance() {
    let service = service(|_| {});
    let pid = service.lambda.invoke("echo", &json!({})).await.unwrap().payload["pid"].clone();

    let exited = service.lambda.invoke("echo", &json!({"do": "exit", "code": 3})).await.unwrap();
    let silent = service.lambda.invoke("echo", &json!({"do": "exit"})).await.unwrap();

    assert_eq!((exited.status, exited.function_error.as_deref()), (200, Some("Unhandled")));
    assert_eq!(exited.payload["errorType"], "Runtime.ExitError");
    let message = exited.payload["errorMessage"].as_str().unwrap();
    assert!(message.ends_with("Error: Runtime exited with error: exit status 3"), "{message}");
    let message = silent.payload["errorMessage"].as_str().unwrap();
    assert!(message.ends_with("Error: Runtime exited without providing a reason"), "{message}");
    assert_ne!(service.lambda.invoke("echo", &json!({})).await.unwrap().payload["pid"], pid);
}

#[tokio::test]
async fn a_kill_fails_what_is_in_flight_and_the_next_gets_a_new_instance() {
    let service = service(|_| {});
    let lambda = service.lambda.clone();
    let sleeping =
        tokio::spawn(async move { lambda.invoke("echo", &json!({"do": "sleep", "ms": 60_000})).await });
    until("the invocation is in flight", || !service.lambda.logs("echo").unwrap().is_empty()).await;

    assert_eq!(service.lambda.kill("echo").unwrap(), 1);

    let reply = sleeping.await.unwrap().unwrap();
    assert_eq!(reply.payload["errorType"], "Runtime.ExitError");
    let message = reply.payload["errorMessage"].as_str().unwrap();
    assert!(message.ends_with("Error: Runtime exited with error: signal: killed"), "{message}");
    assert!(service.lambda.pids("echo").unwrap().is_empty());
    assert_eq!(service.lambda.invoke("echo", &json!({})).await.unwrap().function_error, None);
}

#[tokio::test]
async fn an_idle_instance_that_was_killed_gets_no_invocation() {
    let service = service(|_| {});
    for _ in 0..20 {
        let pid = service.lambda.invoke("echo", &json!({})).await.unwrap().payload["pid"].as_u64().unwrap();
        assert!(service.lambda.kill_instance("echo", pid as u32).unwrap());
        assert!(!service.lambda.kill_instance("echo", pid as u32).unwrap(), "it cannot be killed twice");
    }
}

#[tokio::test]
async fn a_time_out_ends_the_instance() {
    let service = service(|config| config.timeout = Duration::from_millis(200));

    let reply = service.lambda.invoke("echo", &json!({"do": "sleep", "ms": 60_000})).await.unwrap();

    assert_eq!((reply.status, reply.function_error.as_deref()), (200, Some("Unhandled")));
    assert_eq!(reply.payload["errorType"], "Sandbox.Timedout");
    let message = reply.payload["errorMessage"].as_str().unwrap();
    assert!(message.ends_with("Error: Task timed out after 0.20 seconds"), "{message}");
    assert!(service.lambda.pids("echo").unwrap().is_empty());
}

#[tokio::test]
async fn a_function_that_cannot_start_says_so() {
    let service = service(|config| {
        config.environment.insert("FAIL_AT_START".to_owned(), "1".to_owned());
    });

    let reply = service.lambda.invoke("echo", &json!({})).await.unwrap();

    assert_eq!(reply.payload["errorType"], "Runtime.ExitError");
    assert!(reply.log_tail.contains("asked to fail at start"), "{}", reply.log_tail);
}

#[tokio::test]
async fn the_environment_is_lambdas_and_the_configured_one() {
    let service = service(|config| {
        config.environment.insert("MINE".to_owned(), "yes".to_owned());
    });

    let reply = service.lambda.invoke("echo", &json!({"do": "environment"})).await.unwrap();

    let environment = reply.payload.as_object().unwrap();
    assert_eq!(environment["MINE"], "yes");
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "echo");
    assert_eq!(environment["AWS_REGION"], "eu-central-1");
    assert!(!environment.contains_key("HOME"), "the environment of this process is inherited");
    assert!(!environment.contains_key("CARGO_MANIFEST_DIR"), "the environment of this process is inherited");

    service.lambda.configure("echo", |config| drop(config.environment.remove("MINE"))).unwrap();
    let reply = service.lambda.invoke("echo", &json!({"do": "environment"})).await.unwrap();
    assert!(reply.payload.get("MINE").is_none());
}

#[tokio::test]
async fn an_answer_over_six_megabytes_is_an_error() {
    let service = service(|_| {});

    let reply = service.lambda.invoke("echo", &json!({"do": "large", "bytes": 7_000_000})).await.unwrap();

    assert_eq!(reply.payload["errorType"], "Function.ResponseSizeTooLarge");
}

#[tokio::test]
async fn the_log_tail_is_the_last_four_kilobytes() {
    let service = service(|_| {});

    let reply = service.lambda.invoke("echo", &json!({"do": "log", "lines": 1000})).await.unwrap();

    assert_eq!(reply.log_tail.len(), 4096);
    assert!(reply.log_tail.contains("line 999 of the log"));
    assert!(!reply.log_tail.contains("line 10 of the log"));
    assert!(service.lambda.logs("echo").unwrap().len() > 1000);
}

#[tokio::test]
async fn an_event_that_fails_is_tried_twice_more() {
    let service = service(|config| config.event_retry_delay = Duration::from_millis(10));

    service.lambda.invoke_event("echo", &json!({"do": "fail"})).unwrap();

    let tries = || {
        let lines = service.lambda.logs("echo").unwrap();
        lines.iter().filter(|line| line.text.starts_with("working on")).count()
    };
    until("three tries", || tries() == 3).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(tries(), 3);
}

// The real AWS CLI.

fn aws(service: &Service, arguments: &[&str]) -> Output {
    Command::new(place::venv_program("aws").unwrap())
        .args(["lambda", "invoke", "--endpoint-url", service.lambda.endpoint()])
        .args(arguments)
        .env_clear()
        .envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_DEFAULT_REGION", "eu-central-1"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("PATH", "/usr/bin:/bin"),
        ])
        .output()
        .unwrap()
}

#[tokio::test]
async fn the_aws_cli_invokes_and_gets_answer_error_and_log() {
    let service = service(|_| {});
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.json");
    let out_path = out.to_str().unwrap();
    let answer = || -> Value { serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap() };
    let printed = |output: &Output| -> Value {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };

    let said = printed(&aws(&service, &["--function-name", "echo", "--payload", r#"{"a":1}"#, out_path]));
    assert_eq!(said, json!({"StatusCode": 200, "ExecutedVersion": "$LATEST"}));
    assert_eq!(answer()["event"], json!({"a": 1}));

    let failing =
        ["--function-name", "echo", "--log-type", "Tail", "--payload", r#"{"do":"fail"}"#, out_path];
    let said = printed(&aws(&service, &failing));
    assert_eq!((&said["StatusCode"], &said["FunctionError"]), (&json!(200), &json!("Unhandled")));
    let log = STANDARD.decode(said["LogResult"].as_str().unwrap()).unwrap();
    assert!(String::from_utf8_lossy(&log).contains("working on"));
    assert_eq!(answer()["errorMessage"], "asked to fail");

    let event = ["--function-name", "echo", "--invocation-type", "Event", "--payload", "{}", out_path];
    assert_eq!(printed(&aws(&service, &event))["StatusCode"], 202);

    let unknown = aws(&service, &["--function-name", "nobody", "--payload", "{}", out_path]);
    assert!(!unknown.status.success());
    let words = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(words.contains("ResourceNotFoundException") && words.contains("Function not found"), "{words}");
}

// Plain HTTP.

async fn send(request: http::Request<Full<Bytes>>) -> http::Response<Bytes> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    http::Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

fn post(url: String, body: impl Into<Bytes>) -> http::request::Request<Full<Bytes>> {
    http::Request::post(url).body(Full::new(body.into())).unwrap()
}

fn json_of(response: &http::Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn the_invoke_api_refuses_in_lambdas_words() {
    let service = service(|_| {});
    let url = format!("{}/2015-03-31/functions/echo/invocations", service.lambda.endpoint());

    let too_large = send(post(url.clone(), vec![b' '; 6 * 1024 * 1024 + 1])).await;
    assert_eq!(too_large.status(), 413);
    assert_eq!(too_large.headers()["x-amzn-errortype"], "RequestTooLargeException");

    let not_json = send(post(url.clone(), "{")).await;
    assert_eq!(not_json.status(), 400);
    assert_eq!(not_json.headers()["x-amzn-errortype"], "InvalidRequestContentException");

    let mut dry = post(url.clone(), "{}");
    dry.headers_mut().insert("x-amz-invocation-type", "DryRun".parse().unwrap());
    assert_eq!(send(dry).await.status(), 204);
    assert!(service.lambda.pids("echo").unwrap().is_empty(), "a dry run runs nothing");

    let empty = send(post(url, "")).await;
    assert_eq!((empty.status().as_u16(), &json_of(&empty)["event"]), (200, &json!({})));
}

#[tokio::test]
async fn the_front_turns_requests_into_gateway_events() {
    let service = service(|_| {});
    let front = front::start(service.engine.handle(), &service.lambda, "echo").unwrap();
    let request = http::Request::post(format!("{front}/webhooks/stripe?a=1&b=x%20y&a=2"))
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Stripe-Signature", "t=1,v1=ab")
        .header("X-Twice", "one")
        .header("X-Twice", "two")
        .header("Cookie", "c=1; d=2")
        .header("User-Agent", "Stripe/1.0")
        .body(Full::new(Bytes::from(r#"{"id":"evt_1"}"#)))
        .unwrap();

    let response = send(request).await;

    // The echo has no statusCode: API Gateway makes it the body of a 200.
    assert_eq!(response.status(), 200);
    let event = &json_of(&response)["event"];
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "$default");
    assert_eq!(event["rawPath"], "/webhooks/stripe");
    assert_eq!(event["rawQueryString"], "a=1&b=x%20y&a=2");
    assert_eq!(event["queryStringParameters"], json!({"a": "1,2", "b": "x y"}));
    assert_eq!(event["cookies"], json!(["c=1", "d=2"]));
    assert_eq!(event["headers"]["stripe-signature"], "t=1,v1=ab");
    assert_eq!(event["headers"]["x-twice"], "one,two");
    assert_eq!(event["headers"].get("cookie"), None);
    assert_eq!(event["requestContext"]["http"]["method"], "POST");
    assert_eq!(event["requestContext"]["http"]["path"], "/webhooks/stripe");
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
    assert_eq!(event["requestContext"]["http"]["userAgent"], "Stripe/1.0");
    assert!(event["requestContext"]["timeEpoch"].as_i64().unwrap() > 1_700_000_000_000);
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!(r#"{"id":"evt_1"}"#), &json!(false)));
}

#[tokio::test]
async fn the_front_keeps_every_body_to_the_byte() {
    let service = service(|_| {});
    let front = front::start(service.engine.handle(), &service.lambda, "echo").unwrap();
    let event = async |content_type: &str, body: &'static [u8]| {
        let mut request = post(front.clone(), body);
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        json_of(&send(request).await)["event"].clone()
    };

    let binary = event("application/octet-stream", b"plain").await;
    assert_eq!((&binary["body"], &binary["isBase64Encoded"]), (&json!("cGxhaW4="), &json!(true)));
    let not_utf8 = event("application/json", b"{\"a\":\"\xff\"}").await;
    assert_eq!(not_utf8["isBase64Encoded"], true);
    assert_eq!(STANDARD.decode(not_utf8["body"].as_str().unwrap()).unwrap(), b"{\"a\":\"\xff\"}");
    let escapes = event("application/json", b"{\"a\": \"\\u0000\"}\r\n").await;
    assert_eq!(escapes["body"], "{\"a\": \"\\u0000\"}\r\n");
    let nothing = event("application/json", b"").await;
    assert_eq!((nothing.get("body"), &nothing["isBase64Encoded"]), (None, &json!(false)));
}

#[tokio::test]
async fn the_front_turns_answers_into_responses() {
    let service = service(|config| config.instances_max = 1);
    let front = front::start(service.engine.handle(), &service.lambda, "echo").unwrap();

    let teapot = send(post(format!("{front}/teapot"), "")).await;
    assert_eq!(teapot.status(), 418);
    assert_eq!(teapot.headers()["content-type"], "text/plain");
    assert_eq!(teapot.headers()["x-number"], "7");
    let cookies: Vec<_> = teapot.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(&teapot.body()[..], b"\x00\xff");

    let failed = send(post(format!("{front}/fail"), "")).await;
    assert_eq!(
        (failed.status().as_u16(), json_of(&failed)),
        (502, json!({"message": "Internal Server Error"}))
    );

    let slow = || send(post(format!("{front}/sleep"), ""));
    let (a, b) = tokio::join!(slow(), slow());
    let throttled = if a.status() == 200 { b } else { a };
    assert_eq!(
        (throttled.status().as_u16(), json_of(&throttled)),
        (503, json!({"message": "Service Unavailable"}))
    );

    let too_large = send(post(front, vec![b'x'; 10 * 1024 * 1024 + 1])).await;
    assert_eq!(too_large.status(), 413);
}
