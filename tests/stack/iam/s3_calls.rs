//! Which permissions a request to S3 needs ("Required permissions for Amazon S3 API operations", S3 User Guide).

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use super::Call;
use crate::store_gate::operation;

/// What a request asks for; `body` is that of DeleteObjects, which names its objects there.
pub(crate) fn calls_of(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Vec<Call> {
    let path = percent_decode_str(uri.path()).decode_utf8_lossy();
    let (bucket, key) =
        path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let call = |action: &str, key: &str| {
        let resource = if key.is_empty() {
            format!("arn:aws:s3:::{bucket}")
        } else {
            format!("arn:aws:s3:::{bucket}/{key}")
        };
        Call { action: format!("s3:{action}"), resource, prefix: None }
    };
    let of_version = |action: &str| match field(uri, "versionId") {
        Some(_) => format!("{action}Version"),
        None => action.to_owned(),
    };
    let action = match operation(method, uri) {
        "ListObjectsV2" => {
            let prefix = Some(field(uri, "prefix").unwrap_or_default());
            return vec![Call { prefix, ..call("ListBucket", "") }];
        }
        "DeleteObjects" => return keys_of(body).iter().map(|key| call("DeleteObject", key)).collect(),
        "PutObject" | "UploadPart" if headers.contains_key("x-amz-copy-source") => {
            "PutObject by a copy".to_owned()
        }
        "PutObject" if headers.keys().any(|name| name.as_str().starts_with("x-amz-object-lock-")) => {
            "PutObjectRetention".to_owned()
        }
        "PutObject" if !key.is_empty() && !has_subresource(uri) => "PutObject".to_owned(),
        "CreateMultipartUpload" | "CompleteMultipartUpload" | "UploadPart" => "PutObject".to_owned(),
        "ListMultipartUploads" => "ListBucketMultipartUploads".to_owned(),
        "HeadObject" if key.is_empty() => "ListBucket".to_owned(),
        "GetObject" | "HeadObject" if !key.is_empty() && !has_subresource(uri) => of_version("GetObject"),
        "DeleteObject" if !key.is_empty() && !has_subresource(uri) => of_version("DeleteObject"),
        known @ ("AbortMultipartUpload" | "GetObjectRetention" | "GetObjectLegalHold") => known.to_owned(),
        // Nothing that a function does; no role allows it.
        other => format!("{method} {other} {}", uri.query().unwrap_or_default()),
    };
    vec![call(&action, key)]
}

/// Whether the request is about something of the object (`?acl`, `?tagging`) and not the object.
fn has_subresource(uri: &Uri) -> bool {
    let plain = |name: &str| {
        matches!(name, "" | "x-id" | "versionId" | "partNumber") || name.starts_with("response-")
    };
    let query = uri.query().unwrap_or_default();
    !query.split('&').map(|field| field.split('=').next().unwrap_or_default()).all(plain)
}

fn field(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query().unwrap_or_default();
    let value = query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))?;
    Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
}

/// The keys in the body of DeleteObjects.
fn keys_of(body: &Bytes) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let between = |part: &str| part.split_once("</Key>").map(|(key, _)| unescape(key));
    text.split("<Key>").skip(1).filter_map(between).collect()
}

fn unescape(text: &str) -> String {
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    named.iter().fold(text.to_owned(), |text, (name, character)| text.replace(name, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, uri: &str, body: &str) -> Vec<(String, String)> {
        let (method, uri) = (method.parse().expect("a method"), uri.parse().expect("a URI"));
        let calls = calls_of(&method, &uri, &HeaderMap::new(), &Bytes::from(body.to_owned()));
        calls.into_iter().map(|call| (call.action, call.resource)).collect()
    }

    #[test]
    fn each_request_asks_for_what_s3_says() {
        let object = "arn:aws:s3:::b/v1/a b";
        for (method, uri, action, resource) in [
            ("GET", "/b/v1/a%20b?x-id=GetObject", "s3:GetObject", object),
            ("HEAD", "/b/v1/a%20b", "s3:GetObject", object),
            ("GET", "/b/v1/a%20b?versionId=7", "s3:GetObjectVersion", object),
            ("PUT", "/b/v1/a%20b?x-id=PutObject", "s3:PutObject", object),
            ("POST", "/b/v1/a%20b?uploads", "s3:PutObject", object),
            ("PUT", "/b/v1/a%20b?partNumber=1&uploadId=u", "s3:PutObject", object),
            ("DELETE", "/b/v1/a%20b?uploadId=u", "s3:AbortMultipartUpload", object),
            ("DELETE", "/b/v1/a%20b?x-id=DeleteObject", "s3:DeleteObject", object),
            ("DELETE", "/b/v1/a%20b?versionId=7", "s3:DeleteObjectVersion", object),
            ("GET", "/b/v1/a%20b?retention", "s3:GetObjectRetention", object),
            ("GET", "/b/?uploads", "s3:ListBucketMultipartUploads", "arn:aws:s3:::b"),
            ("GET", "/b?list-type=2&prefix=v1%2Fbackups%2F", "s3:ListBucket", "arn:aws:s3:::b"),
        ] {
            assert_eq!(asked(method, uri, ""), [(action.to_owned(), resource.to_owned())], "{method} {uri}");
        }
        // What is only like a read or a delete of the object is none.
        for (method, uri) in [("GET", "/b/k?acl"), ("PUT", "/b"), ("DELETE", "/b"), ("PUT", "/b/k?acl")] {
            let calls = asked(method, uri, "");
            assert!(calls.iter().all(|(action, _)| action.contains(' ')), "{method} {uri}: {calls:?}");
        }
    }

    #[test]
    fn a_list_says_below_which_prefix_and_a_deletion_of_many_which_objects() {
        let uri = "/b?list-type=2&prefix=v1%2Fbackups%2F".parse().expect("a URI");
        let calls = calls_of(&Method::GET, &uri, &HeaderMap::new(), &Bytes::new());
        assert_eq!(calls[0].prefix.as_deref(), Some("v1/backups/"));
        let body = "<Delete><Object><Key>v1/a</Key></Object><Object><Key>v1/b&amp;c</Key></Object></Delete>";
        let resources: Vec<_> =
            asked("POST", "/b?delete", body).into_iter().map(|(_, resource)| resource).collect();
        assert_eq!(resources, ["arn:aws:s3:::b/v1/a", "arn:aws:s3:::b/v1/b&c"]);
    }
}
