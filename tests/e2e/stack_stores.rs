//! The stack's S3 and Secrets Manager, through the real AWS SDK.

use aws_sdk_s3::config::Credentials;
use serde_json::json;
use stack::{DatabaseChoice, Stack};

async fn stack() -> Stack {
    Stack::builder().database(DatabaseChoice::Empty).functions([]).start().await.unwrap()
}

#[tokio::test]
async fn objects_are_kept_listed_damaged_and_deleted() {
    let stack = stack().await;
    stack.s3.write("a/one", "hello").await.unwrap();
    stack.s3.write("b/two", "other").await.unwrap();

    stack.s3.flip_byte("a/one", 4).await.unwrap();

    let listed = stack.s3.list("a/").await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].key.as_str(), listed[0].size), ("a/one", 5));
    assert_eq!(&stack.s3.read("a/one").await.unwrap()[..], b"helln");
    assert!(stack.s3.flip_byte("a/one", 5).await.is_err(), "there is no sixth byte");

    stack.s3.delete("a/one").await.unwrap();
    assert!(stack.s3.list("a/").await.unwrap().is_empty());
    assert!(stack.s3.read("a/one").await.unwrap_err().to_string().contains("NoSuchKey"));
}

#[tokio::test]
async fn an_object_is_not_overwritten_when_it_must_not_exist() {
    let stack = stack().await;
    let put = || {
        stack
            .s3
            .client()
            .put_object()
            .bucket(&stack.bucket)
            .key("once")
            .if_none_match("*")
            .body(b"x".to_vec().into())
    };
    put().send().await.unwrap();

    let refused = put().send().await.unwrap_err();

    assert_eq!(refused.raw_response().map(|response| response.status().as_u16()), Some(412));
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let stack = stack().await;
    let stranger = stack
        .s3
        .client()
        .config()
        .to_builder()
        .credentials_provider(Credentials::new(&stack.access_key.id, "wrong", None, None, "test"))
        .build();

    let refused = aws_sdk_s3::Client::from_conf(stranger)
        .list_objects_v2()
        .bucket(&stack.bucket)
        .send()
        .await
        .unwrap_err();

    assert_eq!(refused.raw_response().map(|response| response.status().as_u16()), Some(403));
}

#[tokio::test]
async fn secrets_are_kept_per_stack() {
    let (one, two) = tokio::join!(stack(), stack());
    one.secrets.put("colour", &json!({"is": "red"})).await.unwrap();
    two.secrets.put("colour", &json!({"is": "blue"})).await.unwrap();

    one.secrets.put("colour", &json!({"is": "green"})).await.unwrap();

    assert_eq!(one.secrets.get("colour").await.unwrap(), json!({"is": "green"}));
    assert_eq!(two.secrets.get("colour").await.unwrap(), json!({"is": "blue"}));
    assert_eq!(one.secrets.get("database").await.unwrap(), json!({"url": one.database_url}));
    assert!(one.secrets.get("absent").await.unwrap_err().to_string().contains("ResourceNotFound"));
}
