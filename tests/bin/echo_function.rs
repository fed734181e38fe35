//! A function for the tests of the Lambda stand-in: it does what its event says.

use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    if std::env::var_os("FAIL_AT_START").is_some() {
        return Err("asked to fail at start".into());
    }
    run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    eprintln!("working on {}", context.request_id);
    match event["do"].as_str() {
        Some("fail") => Err(event["message"].as_str().unwrap_or("asked to fail").into()),
        Some("panic") => panic!("asked to panic"),
        Some("exit") => std::process::exit(event["code"].as_i64().unwrap_or(0) as i32),
        Some("sleep") => {
            tokio::time::sleep(Duration::from_millis(event["ms"].as_u64().unwrap_or(0))).await;
            Ok(json!({"slept": event["ms"], "pid": std::process::id()}))
        }
        Some("log") => {
            for line in 0..event["lines"].as_u64().unwrap_or(1) {
                println!("line {line} of the log");
            }
            Ok(json!({}))
        }
        Some("environment") => {
            let environment: serde_json::Map<String, Value> =
                std::env::vars().map(|(name, value)| (name, Value::String(value))).collect();
            Ok(Value::Object(environment))
        }
        Some("answer") => Ok(event["answer"].clone()),
        Some("large") => {
            let bytes = event["bytes"].as_u64().unwrap_or(0) as usize;
            Ok(json!({"text": "x".repeat(bytes)}))
        }
        // An event of the HTTP front: its path says what to do.
        None if event["rawPath"] == "/teapot" => Ok(json!({
            "statusCode": 418,
            "headers": {"content-type": "text/plain", "x-number": 7},
            "cookies": ["a=1", "b=2"],
            "body": "AP8=",
            "isBase64Encoded": true,
        })),
        None if event["rawPath"] == "/fail" => Err("asked to fail".into()),
        None if event["rawPath"] == "/sleep" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(json!({"statusCode": 200, "body": "slept"}))
        }
        _ => Ok(json!({
            "event": event,
            "pid": std::process::id(),
            "request_id": context.request_id,
            "arn": context.invoked_function_arn,
            "memory": context.env_config.memory,
        })),
    }
}
