//! The token protocol of the distribution project: a GET with user and password, a POST with a refresh token.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Credentials;
use crate::url;

/// How long a token lives where the server does not say.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// How much earlier than its end a token is renewed.
const MARGIN: Duration = Duration::from_secs(5);
/// How the client calls itself to token servers.
const CLIENT_ID: &str = "berth";

/// The value of `Authorization`, and until when it is good.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    pub header: String,
    expires: Option<Instant>,
}

impl Authorization {
    /// User and password, which don't expire.
    pub(crate) fn basic(username: &str, password: &str) -> Authorization {
        Authorization { header: basic_header(username, password), expires: None }
    }

    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

fn basic_header(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// What to send to a token server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenRequest {
    pub url: String,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// The form to POST; GET without.
    pub form: Option<String>,
}

impl TokenRequest {
    /// The request for a token that allows all of `scopes`.
    pub(crate) fn new(
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
        credentials: Option<&Credentials>,
    ) -> TokenRequest {
        if let Some(Credentials::RefreshToken(token)) = credentials {
            return TokenRequest::refresh(realm, service, scopes, token);
        }
        let mut target = realm.to_owned();
        if let Some(service) = service {
            target = url::with_query(&target, "service", service);
        }
        for scope in scopes {
            target = url::with_query(&target, "scope", scope);
        }
        let authorization = match credentials {
            Some(Credentials::Password { username, password }) => {
                target = url::with_query(&target, "account", username);
                Some(basic_header(username, password))
            }
            _ => None,
        };
        TokenRequest { url: target, authorization, form: None }
    }

    fn refresh(realm: &str, service: Option<&str>, scopes: &[String], token: &str) -> TokenRequest {
        let mut form = format!("grant_type=refresh_token&client_id={CLIENT_ID}");
        for (name, value) in
            [("service", service.unwrap_or_default()), ("scope", &scopes.join(" ")), ("refresh_token", token)]
        {
            form += &format!("&{name}={}", url::encode(value));
        }
        TokenRequest { url: realm.to_owned(), authorization: None, form: Some(form) }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Reads a token server's answer that came at `now`.
pub(crate) fn parse_token(body: &[u8], now: Instant) -> Result<Authorization, String> {
    let answer: TokenAnswer =
        serde_json::from_slice(body).map_err(|error| format!("its answer is no JSON of a token: {error}"))?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or("its answer has no token")?;
    // Servers that give less than a minute are known to mean a minute.
    let lifetime = answer.expires_in.map_or(DEFAULT_LIFETIME, Duration::from_secs).max(DEFAULT_LIFETIME);
    Ok(Authorization { header: format!("Bearer {token}"), expires: now.checked_add(lifetime - MARGIN) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_follow_the_credentials() {
        let scopes = ["repository:a/b:pull".to_owned(), "repository:c:pull".to_owned()];
        let anonymous = TokenRequest::new("https://t.test/token?x=1", Some("r"), &scopes, None);
        assert_eq!(
            anonymous.url,
            "https://t.test/token?x=1&service=r&scope=repository%3Aa%2Fb%3Apull&scope=repository%3Ac%3Apull"
        );
        assert_eq!(anonymous.authorization, None);
        let password = Credentials::Password { username: "u".into(), password: "p".into() };
        let basic = TokenRequest::new("https://t.test/", None, &[], Some(&password));
        assert_eq!(basic.url, "https://t.test/?account=u");
        assert_eq!(basic.authorization.as_deref(), Some("Basic dTpw"));
        let refresh = Credentials::RefreshToken("s&t".into());
        let post = TokenRequest::new("https://t.test/", Some("r"), &scopes, Some(&refresh));
        let form = post.form.unwrap();
        assert!(
            form.contains("&scope=repository%3Aa%2Fb%3Apull%20repository%3Ac%3Apull&refresh_token=s%26t")
        );
    }

    #[test]
    fn tokens_expire_a_little_early() {
        let now = Instant::now();
        let token = parse_token(br#"{"access_token":"x","expires_in":300}"#, now).unwrap();
        assert_eq!(token.header, "Bearer x");
        assert!(token.is_fresh(now + Duration::from_secs(290)));
        assert!(!token.is_fresh(now + Duration::from_secs(296)));
        assert!(parse_token(b"{}", now).is_err());
        assert!(parse_token(b"<html>", now).is_err());
    }
}
