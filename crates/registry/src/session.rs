//! Requests to one server: redirects, authorization, retries.
//!
//! ```text
//! send        again after a pause while the error is transient
//!  └ authorized   again once with a new token after 401
//!     └ followed     again at each Location, without Authorization elsewhere
//!        └ exchange     one request, one answer
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request as HttpRequest, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::{sleep, timeout};

use crate::auth::{Authorization, Challenge, Credentials, TokenRequest, parse_challenges, parse_token};
use crate::body::Payload;
use crate::config::{Config, Endpoint, Scheme, TlsFiles};
use crate::connect::{ConnectError, Connector};
use crate::error::ApiError;
use crate::retry::{Patience, parse_retry_after};
use crate::{Error, tls, url};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 8;
/// The most that is read of an answer that explains an error.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// The most that is read of a token server's answer.
const MAX_TOKEN_BODY: usize = 1024 * 1024;
/// How berth calls itself.
const USER_AGENT: &str = concat!("berth/", env!("CARGO_PKG_VERSION"));

/// A request that can be made several times.
#[derive(Clone)]
pub(crate) struct Request {
    pub method: Method,
    /// Path and query on the endpoint, or a whole URL.
    pub target: String,
    pub headers: Vec<(HeaderName, String)>,
    pub payload: Payload,
    /// What a token has to allow, as `repository:NAME:ACTIONS`.
    pub scopes: Vec<String>,
}

impl Request {
    pub(crate) fn new(method: Method, target: String, scopes: Vec<String>) -> Request {
        Request { method, target, headers: Vec::new(), payload: Payload::EMPTY, scopes }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Request {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer, and where it came from.
pub(crate) struct Answer {
    pub response: Response<Incoming>,
    /// The URL that answered, after all redirects.
    pub url: Uri,
}

/// Connections, tokens and credentials for one endpoint.
pub(crate) struct Session {
    pub endpoint: Endpoint,
    patience: Patience,
    client: Client<Connector, Payload>,
    credentials: CredentialSource,
    state: Mutex<State>,
}

enum CredentialSource {
    Files(crate::auth::CredentialFiles),
    Given(Credentials),
}

#[derive(Default)]
struct State {
    /// The scheme that turned out to work where both are allowed.
    scheme: Option<&'static str>,
    /// Tokens by scopes; the empty scope holds what is good for everything.
    authorizations: HashMap<Vec<String>, Authorization>,
}

impl Session {
    pub(crate) fn new(
        config: &Config,
        endpoint: Endpoint,
        patience: Patience,
        given: Option<Credentials>,
    ) -> Result<Session, Error> {
        let elsewhere = TlsFiles { ca: endpoint.tls.ca.clone(), ..TlsFiles::default() };
        let tls = tls::client_config(&endpoint.tls)?;
        let tls_elsewhere =
            if elsewhere == endpoint.tls { tls.clone() } else { tls::client_config(&elsewhere)? };
        let authority: Option<Uri> = format!("//{}", endpoint.authority).parse().ok();
        let authority = authority.and_then(|uri| uri.host().map(str::to_owned));
        let connector = Connector {
            resolver: config.resolver.clone(),
            proxies: config.proxies.clone(),
            host: authority.unwrap_or_else(|| host_of(&endpoint.authority).to_owned()),
            tls,
            tls_elsewhere,
        };
        let credentials = match given {
            Some(given) => CredentialSource::Given(given),
            None => CredentialSource::Files(config.credentials.clone()),
        };
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Session { endpoint, patience, client, credentials, state: Mutex::default() })
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// `/v2/REPOSITORY/rest`, with `?ns=` where the endpoint is a mirror.
    pub(crate) fn target(&self, rest: &str) -> String {
        let target = format!("{}/{}/{rest}", self.endpoint.base_path, self.endpoint.repository);
        match &self.endpoint.namespace {
            Some(namespace) => url::with_query(&target, "ns", namespace),
            None => target,
        }
    }

    /// The scope for `actions` on this repository.
    pub(crate) fn scope(&self, actions: &str) -> Vec<String> {
        vec![format!("repository:{}:{actions}", self.endpoint.repository)]
    }

    /// Makes a request until it succeeds, fails for good, or patience ends. Any status but 2xx is an error.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let mut attempt = 1;
        loop {
            let error = match self.send_once(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(pause) = self.patience.pause_after(attempt, &error) else { return Err(error) };
            sleep(pause).await;
            attempt += 1;
        }
    }

    /// The same without retries.
    pub(crate) async fn send_once(&self, request: &Request) -> Result<Answer, Error> {
        let answer = self.authorized(request).await?;
        if answer.response.status().is_success() {
            return Ok(answer);
        }
        Err(status_error(request, answer).await)
    }

    /// Sends a small request and reads its answer, which may have up to `limit` bytes.
    pub(crate) async fn fetch(&self, request: &Request, limit: usize) -> Result<(HeaderMap, Bytes), Error> {
        let mut attempt = 1;
        loop {
            let result = async {
                let answer = self.send(request).await?;
                let headers = answer.response.headers().clone();
                let what = shown(&answer.url);
                let body = read_body(answer.response.into_body(), limit, &what, &self.patience).await?;
                Ok((headers, body))
            };
            let error: Error = match result.await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => error,
            };
            // Statuses were retried by `send`; what is left is a body that broke off.
            let broke_off = matches!(error, Error::Transport { .. } | Error::Stalled { .. });
            let Some(pause) = self.patience.pause_after(attempt, &error).filter(|_| broke_off) else {
                return Err(error);
            };
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn authorized(&self, request: &Request) -> Result<Answer, Error> {
        let known = self.known_authorization(&request.scopes);
        let answer = self.followed(request, known.as_deref()).await?;
        if answer.response.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let header = self.authenticate(request, &answer).await?;
        let answer = self.followed(request, Some(&header)).await?;
        if answer.response.status() == StatusCode::UNAUTHORIZED {
            return self.denied(request, "the credentials are not accepted");
        }
        Ok(answer)
    }

    fn known_authorization(&self, scopes: &[String]) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let known = state.authorizations.get(scopes).or_else(|| state.authorizations.get(&[][..]));
        known.filter(|known| known.is_fresh(now)).map(|known| known.header.clone())
    }

    fn denied<T>(&self, request: &Request, reason: &str) -> Result<T, Error> {
        let logged_in = self.credentials()?.is_some();
        let hint = if logged_in { "" } else { "; log in first, or check the name" };
        Err(Error::Unauthorized {
            registry: self.endpoint.credentials_host.clone(),
            repository: if !request.scopes.is_empty() {
                self.endpoint.repository.clone()
            } else {
                "the registry".to_owned()
            },
            reason: format!("{reason}{hint}"),
        })
    }

    fn credentials(&self) -> Result<Option<Credentials>, Error> {
        match &self.credentials {
            CredentialSource::Given(given) => Ok(Some(given.clone())),
            CredentialSource::Files(files) => {
                Ok(files.find(&self.endpoint.credentials_host, &self.endpoint.repository)?)
            }
        }
    }

    /// Answers the challenges of a 401 with a header that may be accepted.
    async fn authenticate(&self, request: &Request, answer: &Answer) -> Result<String, Error> {
        let headers = answer.response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenges: Vec<Challenge> =
            headers.iter().filter_map(|value| value.to_str().ok()).flat_map(parse_challenges).collect();
        let credentials = self.credentials()?;
        for challenge in challenges {
            let (scopes, authorization) = match (challenge, &credentials) {
                (Challenge::Basic, Some(Credentials::Password { username, password })) => {
                    (Vec::new(), Authorization::basic(username, password))
                }
                (Challenge::Basic, _) => continue,
                (Challenge::Bearer { realm, service, scope }, _) => {
                    let asked = scope.into_iter().collect();
                    let scopes = if request.scopes.is_empty() { asked } else { request.scopes.clone() };
                    let wanted = TokenRequest::new(&realm, service.as_deref(), &scopes, credentials.as_ref());
                    (request.scopes.clone(), self.token(wanted, request).await?)
                }
            };
            let header = authorization.header.clone();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.authorizations.insert(scopes, authorization);
            return Ok(header);
        }
        self.denied(request, "it asks for credentials")
    }

    async fn token(&self, wanted: TokenRequest, request: &Request) -> Result<Authorization, Error> {
        let method = if wanted.form.is_some() { Method::POST } else { Method::GET };
        let mut ask = Request::new(method, wanted.url, Vec::new());
        if let Some(form) = wanted.form {
            ask = ask.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            ask.payload = Payload::Bytes(Bytes::from(form));
        }
        if let Ok(realm) = ask.target.parse::<Uri>()
            && !self.may_tell_secrets_to(&realm)
        {
            let reason = "the token server speaks plain HTTP, which would show the credentials to everyone";
            return Err(Error::Protocol { url: shown(&realm), reason: reason.to_owned() });
        }
        let mut attempt = 1;
        let answer = loop {
            let answer = self.followed(&ask, wanted.authorization.as_deref()).await;
            let error = match answer {
                Ok(answer) if answer.response.status().is_success() => break answer,
                Ok(answer) if answer.response.status() == StatusCode::UNAUTHORIZED => {
                    return self.denied(request, "the token server does not accept the credentials");
                }
                Ok(answer) => status_error(&ask, answer).await,
                Err(error) => error,
            };
            let Some(pause) = self.patience.pause_after(attempt, &error) else { return Err(error) };
            sleep(pause).await;
            attempt += 1;
        };
        let what = shown(&answer.url);
        let body = read_body(answer.response.into_body(), MAX_TOKEN_BODY, &what, &self.patience).await?;
        parse_token(&body, Instant::now()).map_err(|reason| Error::Protocol { url: what, reason })
    }

    /// Plain HTTP gets a secret only where the registry itself may be spoken to in plain HTTP.
    fn may_tell_secrets_to(&self, realm: &Uri) -> bool {
        realm.scheme_str() == Some("https") || self.endpoint.scheme != Scheme::Https
    }

    async fn followed(&self, request: &Request, authorization: Option<&str>) -> Result<Answer, Error> {
        let first = self.absolute(&request.target).await?;
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let kept = authorization.filter(|_| url::same_origin(&first, &url));
            let response = self.exchange(request, &url, kept).await?;
            let status = response.status();
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            // 307 and 308 repeat the request as it is; GET and HEAD may follow all of them.
            let repeatable = matches!(request.method, Method::GET | Method::HEAD)
                || matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            let Some(location) = location.filter(|_| status.is_redirection() && repeatable) else {
                return Ok(Answer { response, url });
            };
            let refused = |reason: &str| Error::Redirect { url: shown(&url), reason: reason.to_owned() };
            let next = url::join(&url, location).ok_or_else(|| refused("redirects to what is no URL"))?;
            if next.scheme_str() != Some("https") && url.scheme_str() == Some("https") {
                return Err(refused("redirects from HTTPS to plain HTTP"));
            }
            url = next;
        }
        let reason = format!("redirects more than {MAX_REDIRECTS} times");
        Err(Error::Redirect { url: shown(&first), reason })
    }

    /// The URL of a request, with the scheme that the endpoint speaks.
    async fn absolute(&self, target: &str) -> Result<Uri, Error> {
        let malformed = |url: &str| Error::Protocol { url: url.to_owned(), reason: "is no URL".to_owned() };
        if target.contains("://") {
            return target.parse().map_err(|_| malformed(target));
        }
        let scheme = match self.endpoint.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
            Scheme::HttpsOrHttp => self.probed_scheme().await?,
        };
        let url = format!("{scheme}://{}{target}", self.endpoint.authority);
        url.parse().map_err(|_| malformed(&url))
    }

    /// Tries TLS first, so that nobody who strips it is rewarded; remembers what worked.
    async fn probed_scheme(&self) -> Result<&'static str, Error> {
        let known = self.state.lock().unwrap_or_else(PoisonError::into_inner).scheme;
        if let Some(known) = known {
            return Ok(known);
        }
        let probe = Request::new(Method::HEAD, String::new(), Vec::new());
        let url = format!("https://{}{}/", self.endpoint.authority, self.endpoint.base_path);
        let url = url.parse().map_err(|_| Error::Protocol { url, reason: "is no URL".to_owned() })?;
        let scheme = match self.exchange(&probe, &url, None).await {
            Ok(_) => "https",
            Err(Error::Connect(error)) if error.is_not_tls() => "http",
            Err(error) => return Err(error),
        };
        self.state.lock().unwrap_or_else(PoisonError::into_inner).scheme = Some(scheme);
        Ok(scheme)
    }

    async fn exchange(
        &self,
        request: &Request,
        url: &Uri,
        authorization: Option<&str>,
    ) -> Result<Response<Incoming>, Error> {
        let broken =
            |reason: String| Error::Transport { method: request.method.to_string(), url: shown(url), reason };
        let mut http = HttpRequest::builder().method(&request.method).uri(url);
        http =
            http.header(header::USER_AGENT, USER_AGENT).header(header::CONTENT_LENGTH, request.payload.len());
        if matches!(request.method, Method::GET | Method::HEAD) {
            http.headers_mut().map(|headers| headers.remove(header::CONTENT_LENGTH));
        }
        for (name, value) in &request.headers {
            http = http.header(name, value);
        }
        if url.host() == Some(host_of(&self.endpoint.authority)) {
            for (name, value) in &self.endpoint.headers {
                http = http.header(name, value);
            }
        }
        if let Some(authorization) = authorization {
            let mut value =
                HeaderValue::from_str(authorization).map_err(|error| broken(error.to_string()))?;
            value.set_sensitive(true);
            http = http.header(header::AUTHORIZATION, value);
        }
        let http = http.body(request.payload.clone()).map_err(|error| broken(error.to_string()))?;
        let answer = self.client.request(http);
        // An upload takes as long as it takes; its answer comes only after the last byte.
        if request.payload.len() > MAX_ERROR_BODY as u64 {
            return answer.await.map_err(|error| transport_error(&error, broken));
        }
        match timeout(self.patience.stall, answer).await {
            Ok(answer) => answer.map_err(|error| transport_error(&error, broken)),
            Err(_) => Err(Error::Stalled {
                method: request.method.to_string(),
                url: shown(url),
                limit: self.patience.stall,
            }),
        }
    }
}

/// Finds the connector's own error under hyper's wrapping.
fn transport_error(error: &hyper_util::client::legacy::Error, broken: impl FnOnce(String) -> Error) -> Error {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        if let Some(connect) = source.downcast_ref::<Arc<ConnectError>>() {
            return Error::Connect(connect.clone());
        }
        innermost = source;
    }
    broken(innermost.to_string())
}

/// Host without port; an IPv6 address keeps its brackets.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

/// A URL for messages: a query may hold signatures that open doors.
pub(crate) fn shown(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{authority}{}", url.scheme_str().unwrap_or_default(), url.path())
}

async fn status_error(request: &Request, answer: Answer) -> Error {
    let status = answer.response.status();
    let retry_after = answer.response.headers().get(header::RETRY_AFTER);
    let retry_after =
        retry_after.and_then(|value| parse_retry_after(value.to_str().ok()?, SystemTime::now()));
    let patience = Patience::default();
    let url = shown(&answer.url);
    let body = read_body(answer.response.into_body(), MAX_ERROR_BODY, &url, &patience).await;
    Error::Status {
        method: request.method.to_string(),
        url,
        status,
        errors: body.map(|body| parse_errors(&body)).unwrap_or_default(),
        retry_after,
    }
}

fn parse_errors(body: &[u8]) -> Vec<ApiError> {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<ApiError>,
    }
    serde_json::from_slice::<Errors>(body).map(|body| body.errors).unwrap_or_default()
}

/// Reads a body of at most `limit` bytes.
async fn read_body(body: Incoming, limit: usize, what: &str, patience: &Patience) -> Result<Bytes, Error> {
    let collected = timeout(patience.stall, Limited::new(body, limit).collect()).await;
    let collected = collected.map_err(|_| Error::Stalled {
        method: "GET".to_owned(),
        url: what.to_owned(),
        limit: patience.stall,
    })?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Error::TooLarge { what: what.to_owned(), limit })
        }
        Err(error) => Err(Error::Transport {
            method: "GET".to_owned(),
            url: what.to_owned(),
            reason: format!("the answer broke off: {error}"),
        }),
    }
}

/// Sessions are shared by the tasks of one image.
pub(crate) type SharedSession = Arc<Session>;
