//! User and password in a database secret, in either of its forms. All else in it stays as it is.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rand::Rng;
use rand::distr::Alphanumeric;
use recoup::failure::Failure;

use crate::value::{Fields, invalid};

/// Letters and digits: 190 bits, and nothing that any of the many readers of such a secret would have to escape.
const PASSWORD_LENGTH: usize = 32;

/// A new password.
pub fn password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(PASSWORD_LENGTH).map(char::from).collect()
}

/// The user that a secret logs in as.
///
/// # Errors
/// `SecretInvalid`.
pub fn user(id: &str, secret: &Fields) -> Result<String, Failure> {
    match secret.text("url") {
        Some(url) => {
            let (start, end) = login_in(id, url)?;
            let user = url[start..end].split(':').next().unwrap_or_default();
            Ok(percent_decode_str(user).decode_utf8_lossy().into_owned())
        }
        None => secret.text("username").map(str::to_owned).ok_or_else(|| invalid(id, "it has no user")),
    }
}

/// The password that a secret logs in with.
pub fn password_of(secret: &Fields) -> Option<String> {
    match secret.text("url") {
        Some(url) => {
            let (start, end) = login_in("", url).ok()?;
            let (_, password) = url[start..end].split_once(':')?;
            Some(percent_decode_str(password).decode_utf8_lossy().into_owned())
        }
        None => secret.text("password").map(str::to_owned),
    }
}

/// The same secret with another login.
///
/// # Errors
/// `SecretInvalid`.
pub fn with(id: &str, secret: &Fields, user: &str, password: &str) -> Result<Fields, Failure> {
    let mut changed = secret.clone();
    match secret.text("url") {
        Some(url) => {
            let (start, end) = login_in(id, url)?;
            let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%5F", "_");
            changed
                .set("url", format!("{}{}:{}{}", &url[..start], encode(user), encode(password), &url[end..]));
        }
        None => {
            changed.set("username", user);
            changed.set("password", password);
        }
    }
    Ok(changed)
}

/// Where `user:password` stands in a URL.
fn login_in(id: &str, url: &str) -> Result<(usize, usize), Failure> {
    let unreadable = || invalid(id, "its url is not of the form postgres://user:password@host:port/database");
    let start = url.find("://").ok_or_else(unreadable)? + 3;
    let length = url[start..].find(['/', '?', '#']).unwrap_or(url.len() - start);
    let end = url[start..start + length].rfind('@').ok_or_else(unreadable)?;
    if end == 0 { Err(unreadable()) } else { Ok((start, start + end)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::read("s", &text.to_owned().into()).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn a_login_is_replaced_and_nothing_else() {
        let url =
            fields(r#"{"url":"postgres://sh%40p:p%2F@ss@h:5432/db?sslmode=require&a=b@c","note":"mine"}"#);
        assert_eq!(user("s", &url).expect("a user"), "sh@p");
        assert_eq!(password_of(&url).expect("a password"), "p/@ss");
        let changed = with("s", &url, "sh@p_alternate", "abc").expect("changed");
        assert_eq!(
            changed.text("url"),
            Some("postgres://sh%40p_alternate:abc@h:5432/db?sslmode=require&a=b@c")
        );
        assert_eq!(changed.text("note"), Some("mine"));
        assert_eq!(user("s", &changed).expect("a user"), "sh@p_alternate");

        let rds = fields(r#"{"engine":"postgres","host":"h","username":"u","password":"p","dbname":"d"}"#);
        let changed = with("s", &rds, "v", "q").expect("changed");
        assert_eq!((changed.text("username"), changed.text("password")), (Some("v"), Some("q")));
        assert_eq!((changed.text("host"), changed.text("engine")), (Some("h"), Some("postgres")));

        let trusted = fields(r#"{"url":"postgres://postgres@127.0.0.1/d"}"#);
        assert_eq!(password_of(&trusted), None);
        let changed = with("s", &trusted, "a", "b").expect("changed");
        assert_eq!(changed.text("url"), Some("postgres://a:b@127.0.0.1/d"));
    }

    #[test]
    fn what_has_no_login_is_refused_and_not_shown() {
        for text in [
            r#"{"url":"hunter2"}"#,
            r#"{"url":"postgres://hunter2/d"}"#,
            r#"{"url":"postgres://@hunter2/d"}"#,
        ] {
            let failure = user("shop/db", &fields(text)).expect_err("refused");
            assert_eq!(failure.error_type(), "SecretInvalid");
            assert!(failure.to_string().contains("shop/db") && !failure.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn passwords_need_no_escaping() {
        let (one, other) = (password(), password());
        assert_ne!(one, other);
        assert!(one.len() == PASSWORD_LENGTH && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
