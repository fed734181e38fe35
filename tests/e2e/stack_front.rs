//! The Lambda stand-in over plain HTTP: what the Invoke API refuses, and the HTTP API in front of a function.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use stack::lambda::front;

use crate::stack_lambda::service;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_answered_while_instances_are_killed_under_load() {
    let service = service(|config| config.instances_max = 4);
    let front = front::start(service.engine.handle(), &service.lambda, "echo").unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (url, stopped) = (format!("{front}/teapot"), stopped.clone());
            tokio::spawn(async move {
                let (mut answered, mut failed) = (0, 0);
                while !*stopped.borrow() {
                    match send(post(url.clone(), "{}")).await.status().as_u16() {
                        418 => answered += 1,
                        // Throttled: the instance that was killed has not been replaced yet.
                        502 | 503 => failed += 1,
                        other => panic!("status {other}"),
                    }
                }
                (answered, failed)
            })
        })
        .collect();

    let mut kills = 0;
    while kills < 50 {
        kills += service.lambda.kill("echo").unwrap();
        tokio::time::sleep(Duration::from_millis(rand::random_range(1..30))).await;
    }
    stop.send(true).unwrap();

    let (mut answered, mut failed) = (0, 0);
    for client in clients {
        let counts =
            tokio::time::timeout(Duration::from_secs(10), client).await.expect("no request hangs").unwrap();
        answered += counts.0;
        failed += counts.1;
    }
    assert!(failed > 0, "no kill hit an invocation: {answered} answered");
    assert_eq!(send(post(format!("{front}/teapot"), "")).await.status(), 418);
    assert!(service.lambda.pids("echo").unwrap().len() <= 4);
}
