//! From exec to the first `next`, against a function that does nothing, on a warm page cache.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Result;
use crate::figures::{Figures, median};
use crate::instance::Instance;
use crate::process;
use crate::wire::{Connection, response};

/// Measures `starts` of both in turn.
pub async fn measure(
    figures: &mut Figures,
    webhook: &Path,
    environment: &BTreeMap<String, String>,
    secrets: Vec<(String, Value)>,
    starts: usize,
) -> Result<()> {
    let hello = stack::place::built_binary("echo_function")?;
    let mut environment = environment.clone();
    environment.insert("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), prompt_secrets(secrets).await?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        let start = Instance::start(webhook, &environment).await?.cold_start;
        ours.push(start.as_secs_f64() * 1000.0);
        let start = Instance::start(&hello, &BTreeMap::new()).await?.cold_start;
        theirs.push(start.as_secs_f64() * 1000.0);
    }
    let peer = format!("hello world function: {:.2} ms, webhook {:.2} ms", median(&theirs), median(&ours));
    let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    figures.median("cold_start_vs_hello", "<= 1.5", "ratio", peer, ratios);
    figures.median("cold_start_ms", "", "ms", "three secrets from an answer that is there at once", ours);
    figures.median("webhook_binary_mb", "<= 8", "MB", "stripped", vec![process::size_mb(webhook)?]);
    Ok(())
}

/// Secrets Manager that answers at once: what a distant one takes is not the function's.
async fn prompt_secrets(secrets: Vec<(String, Value)>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let secrets: std::sync::Arc<BTreeMap<String, Value>> = std::sync::Arc::new(secrets.into_iter().collect());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let secrets = secrets.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = Connection::new(stream) else { return };
                while let Ok(Some(request)) = connection.message().await {
                    let wanted: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                    let id = wanted["SecretId"].as_str().unwrap_or_default();
                    let value = secrets.get(id).map(Value::to_string);
                    let answer = json!({"ARN": id, "Name": id, "SecretString": value}).to_string();
                    let headers = "content-type: application/x-amz-json-1.1\r\n";
                    if connection.send(&response("200 OK", headers, answer.as_bytes())).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(url)
}
