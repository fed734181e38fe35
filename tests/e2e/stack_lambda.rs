//! The Lambda stand-in, with a real function binary and the real AWS CLI.

use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stack::engine::Engine;
use stack::lambda::{FunctionConfig, Lambda};
use stack::place;

/// Lambda with the function `echo`.
pub(crate) struct Service {
    pub(crate) lambda: Lambda,
    pub(crate) engine: Engine,
}

pub(crate) fn service(change: impl FnOnce(&mut FunctionConfig)) -> Service {
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
