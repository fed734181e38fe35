//! `notify`, with a chat that listens: one message an incident, repeated until it is taken, and never in the way of the work.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use http::StatusCode;
use serde_json::{Value, json};
use stack::Stack;

use crate::archive_stack::{archive_stack, fail, full_backup, succeed};
use crate::support::{failed, succeeded};

/// A chat's incoming webhook.
struct Chat {
    url: String,
    /// What it was sent, refused or not.
    heard: Arc<Mutex<Vec<Value>>>,
    /// What it answers next; 200 where nothing is left.
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

impl Chat {
    async fn listen() -> Chat {
        let (heard, answers) =
            (Arc::<Mutex<Vec<Value>>>::default(), Arc::<Mutex<VecDeque<StatusCode>>>::default());
        let (hears, answering) = (heard.clone(), answers.clone());
        let router = Router::new().fallback(move |request: Request| {
            let (hears, answering) = (hears.clone(), answering.clone());
            async move {
                assert_eq!(request.headers()["content-type"], "application/json");
                let body = axum::body::to_bytes(request.into_body(), 100_000).await.unwrap();
                hears.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                answering.lock().unwrap().pop_front().unwrap_or(StatusCode::OK)
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/services/hunter2", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Chat { url, heard, answers }
    }

    fn answer(&self, statuses: &[u16]) {
        self.answers
            .lock()
            .unwrap()
            .extend(statuses.iter().map(|status| StatusCode::from_u16(*status).unwrap()));
    }

    fn heard(&self) -> Vec<Value> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

async fn with_a_chat() -> (Stack, Chat) {
    let stack = Stack::builder().functions(["notify"]).start().await.unwrap();
    let chat = Chat::listen().await;
    stack.secrets.put("chat", &json!({"url": chat.url})).await.unwrap();
    (stack, chat)
}

/// As SNS hands a function what CloudWatch published ("Notifying users on alarm changes").
fn rings(alarm: &str, state: &str, at: &str) -> Value {
    let message = json!({
        "AlarmName": alarm, "AlarmDescription": "A backup failed - RUNBOOK, \"Take a backup now\"",
        "AWSAccountId": "123456789012", "NewStateValue": state, "OldStateValue": "OK",
        "NewStateReason": "Threshold Crossed: 1 datapoint [1.0 (21/11/26 04:10:00)] was greater than or equal to the threshold (1.0).",
        "StateChangeTime": at, "Region": "EU (Frankfurt)",
        "AlarmArn": format!("arn:aws:cloudwatch:eu-central-1:123456789012:alarm:{alarm}"),
        "Trigger": {"MetricName": "Errors", "Namespace": "AWS/Lambda"},
    });
    let sns = json!({
        "Type": "Notification", "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:recoup-prod-AlarmTopic", "Subject": "ALARM",
        "Message": message.to_string(), "Timestamp": "2026-11-21T04:10:30.000Z",
    });
    json!({"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": sns}]})
}

#[tokio::test]
async fn an_alarm_is_told_once_when_it_begins_to_ring() {
    let (stack, chat) = with_a_chat().await;
    let first = rings("recoup-prod-backup-errors", "ALARM", "2026-11-21T04:10:30.000+0000");

    let sent = succeed(&stack, "notify", first.clone()).await;

    assert_eq!(sent, json!({"status": "sent", "messages": 1}));
    let text = "recoup-prod-backup-errors: A backup failed - RUNBOOK, \"Take a backup now\" \
                (since 2026-11-21T04:10:30.000+0000, EU (Frankfurt))";
    assert_eq!(chat.heard(), [json!({"text": text})]);
    // SNS delivers at least once; an alarm that flaps is one incident; that it is over is no incident.
    let again = rings("recoup-prod-backup-errors", "ALARM", "2026-11-21T04:15:30.000+0000");
    for repeated in [first, again] {
        assert_eq!(succeed(&stack, "notify", repeated).await["status"], "told already");
    }
    let over = rings("recoup-prod-backup-errors", "OK", "2026-11-21T04:20:30.000+0000");
    assert_eq!(succeed(&stack, "notify", over).await["status"], "nothing to tell");
    // What is no alarm is not passed on: it may be anything.
    let mut other = rings("x", "ALARM", "now");
    other["Records"][0]["Sns"]["Message"] = json!("ada@example.com bought something");
    assert_eq!(succeed(&stack, "notify", other).await["status"], "nothing to tell");
    assert_eq!(chat.heard(), Vec::<Value>::new());
    let another = rings("recoup-prod-objects-drift", "ALARM", "2026-11-21T04:10:30.000+0000");
    assert_eq!(succeed(&stack, "notify", another).await["status"], "sent");
    assert_eq!(chat.heard().len(), 1);
}

#[tokio::test]
async fn a_drill_that_went_well_is_told_with_its_time() {
    let stack = archive_stack().functions(["backup", "verify", "notify"]).start().await.unwrap();
    let chat = Chat::listen().await;
    stack.secrets.put("chat", &json!({"url": chat.url})).await.unwrap();
    full_backup(&stack).await;
    // As Lambda hands on what a function answered ("Capturing records of Lambda asynchronous invocations").
    let succeeded_run = |payload: Value, reply: Value| {
        json!({
            "version": "1.0", "timestamp": "2026-11-22T07:12:00.000Z",
            "requestContext": {
                "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e", "condition": "Success", "approximateInvokeCount": 1,
                "functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:recoup-prod-verify:$LATEST",
            },
            "requestPayload": payload,
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
            "responsePayload": reply,
        })
    };
    let drill = json!({"action": "drill"});
    let reply = succeed(&stack, "verify", drill.clone()).await;

    let sent = succeed(&stack, "notify", succeeded_run(drill.clone(), reply.clone())).await;

    assert_eq!(sent["status"], "sent");
    let heard = chat.heard();
    let text = heard[0]["text"].as_str().unwrap();
    let (id, rows) = (reply["backup_id"].as_str().unwrap(), reply["record_count"].to_string());
    assert!(text.starts_with("recoup-prod-verify: the drill brought") && text.contains(id), "{text}");
    assert!(text.contains(&format!(" {rows} rows")), "{text}");
    assert_eq!(succeed(&stack, "notify", succeeded_run(drill, reply)).await["status"], "told already");
    let health = json!({"action": "health"});
    let quiet = succeed(&stack, "notify", succeeded_run(health, json!({"status": "ok"}))).await;
    assert_eq!(quiet["status"], "nothing to tell");
    assert_eq!(chat.heard(), Vec::<Value>::new());
}

#[tokio::test]
async fn what_the_chat_does_not_take_is_repeated_and_told_by_the_next_try() {
    let (stack, chat) = with_a_chat().await;
    let alarm = rings("recoup-prod-webhook-5xx", "ALARM", "2026-11-21T04:10:30.000+0000");
    chat.answer(&[500, 429, 503]);
    assert_eq!(succeed(&stack, "notify", alarm.clone()).await["status"], "sent");
    assert_eq!(chat.heard().len(), 4, "three refusals, and the one that was taken");

    chat.answer(&[500; 4]);
    let other = rings("recoup-prod-drill-failed", "ALARM", "2026-11-21T04:10:30.000+0000");
    let (error_type, message) = fail(&stack, "notify", other.clone()).await;
    assert_eq!(error_type, "ChatUnavailable");
    assert!(message.contains("500") && !message.contains("hunter2"), "{message}");
    assert_eq!(chat.heard().len(), 4);
    // Lambda repeats a failed invocation: now it is told.
    assert_eq!(succeed(&stack, "notify", other).await["status"], "sent");

    chat.heard();
    chat.answer(&[404]);
    let gone = rings("recoup-prod-events-dead", "ALARM", "2026-11-21T04:10:30.000+0000");
    let (error_type, message) = fail(&stack, "notify", gone.clone()).await;
    assert_eq!((&*error_type, chat.heard().len()), ("ChatRefused", 1), "{message}");
    let lines = stack.lambda.logs("notify").unwrap();
    assert!(lines.iter().all(|line| !line.text.contains("hunter2")), "{lines:?}");

    // A chat that is not there is given up within the function's minute.
    stack.secrets.put("chat", &json!({"url": "http://127.0.0.1:1/services/hunter2"})).await.unwrap();
    let began = Instant::now();
    let (error_type, message) = fail(&stack, "notify", gone).await;
    assert_eq!(error_type, "ChatUnavailable");
    assert!(message.contains("no connection") && !message.contains("hunter2"), "{message}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn without_a_chat_nothing_is_told_and_what_is_wrong_is_said() {
    let stack = Stack::builder().functions(["notify"]).start().await.unwrap();
    let test = json!({"action": "test"});
    assert_eq!(failed(&stack.invoke("notify", test.clone()).await.unwrap()), "SecretMissing");
    stack.secrets.put("chat", &json!({"url": ""})).await.unwrap();
    let reply = succeeded(stack.invoke("notify", test.clone()).await.unwrap());
    assert_eq!(reply, json!({"status": "not configured", "messages": 0}));
    stack.secrets.put("chat", &json!({"url": "http://chat.example/hunter2"})).await.unwrap();
    assert_eq!(failed(&stack.invoke("notify", test.clone()).await.unwrap()), "SecretInvalid");

    let chat = Chat::listen().await;
    stack.secrets.put("chat", &json!({"url": chat.url})).await.unwrap();
    for _ in 0..2 {
        assert_eq!(succeed(&stack, "notify", test.clone()).await["status"], "sent");
    }
    assert_eq!(chat.heard(), vec![json!({"text": "recoup can reach this chat."}); 2]);
    for wrong in
        [json!({}), json!(null), json!("x"), json!({"actoin": "test"}), json!({"action": 7}), json!([1])]
    {
        let reply = stack.invoke("notify", wrong.clone()).await.unwrap();
        assert_eq!(failed(&reply), "InvalidRequest", "{wrong}");
        assert!(reply.payload["errorMessage"].as_str().unwrap().contains("Example: {"), "{}", reply.payload);
    }
    assert_eq!(failed(&stack.invoke("notify", json!({"action": "tset"})).await.unwrap()), "InvalidRequest");
    assert_eq!(chat.heard(), Vec::<Value>::new());
}
