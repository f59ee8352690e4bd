//! Who one is to a registry: Docker's `config.json` with its helpers and stores, and `auth.json` of the
//! containers project, which has the same form.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::file::{FileError, read_optional};

/// What Docker calls its hub in config files, since the days of the first registry API.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user name that says that the secret is a refresh token.
const TOKEN_USER: &str = "<token>";

/// A proof of identity.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User name and password, or an access token used as one.
    Password {
        /// The account.
        username: String,
        /// Its secret.
        password: String,
    },
    /// A refresh token of OAuth 2, exchanged at the token server.
    RefreshToken(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credentials::Password { username, .. } => write!(f, "Password({username}, …)"),
            Credentials::RefreshToken(_) => write!(f, "RefreshToken(…)"),
        }
    }
}

/// Why stored credentials can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A credential helper failed.
    #[error("credential helper {program}: {reason}")]
    Helper {
        /// The program, as looked up in `$PATH`.
        program: String,
        /// What it said.
        reason: String,
    },
}

/// The files that may hold credentials.
#[derive(Clone, Debug, Default)]
pub struct CredentialFiles {
    /// Searched in order; the first that knows a registry wins. Files that don't exist are skipped.
    pub read: Vec<PathBuf>,
    /// What `login` and `logout` change.
    pub write: PathBuf,
}

#[derive(Deserialize, Default)]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, AuthEntry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuthEntry {
    auth: String,
    username: String,
    password: String,
    #[serde(rename = "identitytoken")]
    identity_token: String,
}

/// The protocol of docker-credential-helpers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperEntry {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

impl CredentialFiles {
    /// The files of this user: `$REGISTRY_AUTH_FILE`, `auth.json` of the containers project, Docker's
    /// `config.json`. Docker's file is the one that is written, unless `$REGISTRY_AUTH_FILE` says otherwise.
    pub fn from_environment() -> CredentialFiles {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = variable("HOME");
        let docker = variable("DOCKER_CONFIG")
            .or_else(|| Some(home.as_ref()?.join(".docker")))
            .map(|directory| directory.join("config.json"));
        if let Some(file) = variable("REGISTRY_AUTH_FILE") {
            return CredentialFiles { read: vec![file.clone()], write: file };
        }
        let config = variable("XDG_CONFIG_HOME").or_else(|| Some(home?.join(".config")));
        let read = [
            docker.clone(),
            variable("XDG_RUNTIME_DIR").map(|directory| directory.join("containers/auth.json")),
            config.map(|directory| directory.join("containers/auth.json")),
        ];
        CredentialFiles {
            read: read.into_iter().flatten().collect(),
            write: docker.unwrap_or_else(|| "/root/.docker/config.json".into()),
        }
    }

    /// The credentials for `repository` of `host`: the longest matching path wins, as in `auth.json`.
    pub fn find(&self, host: &str, repository: &str) -> Result<Option<Credentials>, CredentialsError> {
        for path in &self.read {
            let Some(file) = read_json::<AuthFile>(path)? else { continue };
            if let Some(found) = file.find(path, host, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Keeps `credentials` for `host`, in the configured helper or in the file itself.
    pub fn store(&self, host: &str, credentials: &Credentials) -> Result<(), CredentialsError> {
        let (username, secret) = match credentials {
            Credentials::Password { username, password } => (username.as_str(), password),
            Credentials::RefreshToken(token) => (TOKEN_USER, token),
        };
        let file: AuthFile = read_json(&self.write)?.unwrap_or_default();
        if let Some(helper) = file.helper(host) {
            let entry = HelperEntry {
                server_url: canonical_key(host).to_owned(),
                username: username.to_owned(),
                secret: secret.clone(),
            };
            let entry = serde_json::to_string(&entry).unwrap_or_default();
            return run_helper(helper, "store", &entry).map(drop);
        }
        let entry = match credentials {
            Credentials::Password { username, password } => {
                serde_json::json!({ "auth": STANDARD.encode(format!("{username}:{password}")) })
            }
            Credentials::RefreshToken(token) => serde_json::json!({ "identitytoken": token }),
        };
        self.change_auths(|auths| {
            auths.insert(canonical_key(host).to_owned(), entry);
        })
    }

    /// Forgets what is kept for `host`; tells whether there was anything.
    pub fn erase(&self, host: &str) -> Result<bool, CredentialsError> {
        let file: AuthFile = read_json(&self.write)?.unwrap_or_default();
        let mut found = file.auths.keys().any(|key| normalize(key) == normalize(host));
        if let Some(helper) = file.helper(host) {
            found |= run_helper(helper, "get", canonical_key(host)).is_ok();
            run_helper(helper, "erase", canonical_key(host))?;
        }
        if found {
            self.change_auths(|auths| auths.retain(|key, _| normalize(key) != normalize(host)))?;
        }
        Ok(found)
    }

    /// Rewrites the `auths` of the file and keeps everything else in it.
    fn change_auths(&self, change: impl FnOnce(&mut Map<String, Value>)) -> Result<(), CredentialsError> {
        let path = &self.write;
        let mut document: Map<String, Value> = read_json(path)?.unwrap_or_default();
        let auths = document.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(auths) = auths else {
            return Err(FileError::syntax(path, "\"auths\" is not an object").into());
        };
        change(auths);
        let text = serde_json::to_string_pretty(&document).unwrap_or_default() + "\n";
        replace_private_file(path, text.as_bytes())
            .map_err(|source| FileError::io("write", path, source).into())
    }
}

impl AuthFile {
    fn helper(&self, host: &str) -> Option<&str> {
        let specific = self.helpers.iter().find(|(key, _)| normalize(key) == normalize(host));
        specific.map(|(_, helper)| helper.as_str()).or(self.store.as_deref()).filter(|name| !name.is_empty())
    }

    fn find(
        &self,
        path: &Path,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credentials>, CredentialsError> {
        if let Some(helper) = self.helper(host)
            && let Some(found) = ask_helper(helper, host)?
        {
            return Ok(Some(found));
        }
        let full = format!("{}/{repository}", normalize(host));
        let scopes = std::iter::successors(Some(full.as_str()), |scope| Some(scope.rsplit_once('/')?.0));
        for scope in scopes {
            let entry = self.auths.iter().find(|(key, _)| normalize(key) == scope);
            if let Some((key, entry)) = entry
                && let Some(found) = entry
                    .credentials()
                    .map_err(|reason| FileError::syntax(path, format!("auths[{key:?}]: {reason}")))?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl AuthEntry {
    /// `None` for an empty entry, which Docker writes where a helper has the secret.
    fn credentials(&self) -> Result<Option<Credentials>, String> {
        if !self.identity_token.is_empty() {
            return Ok(Some(Credentials::RefreshToken(self.identity_token.clone())));
        }
        if self.auth.is_empty() {
            let (username, password) = (self.username.clone(), self.password.clone());
            return Ok((!username.is_empty()).then_some(Credentials::Password { username, password }));
        }
        let decoded = STANDARD.decode(self.auth.trim()).map_err(|error| format!("auth: {error}"))?;
        let decoded = String::from_utf8(decoded).map_err(|_| "auth: not UTF-8")?;
        let (username, password) =
            decoded.split_once(':').ok_or("auth: no colon between user and password")?;
        let password = password.trim_end_matches('\0').to_owned();
        Ok(Some(Credentials::Password { username: username.to_owned(), password }))
    }
}

/// Keys are written with and without scheme and API version: compare what lies between.
fn normalize(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        key => key.strip_prefix("index.docker.io/").unwrap_or(key),
    }
}

fn canonical_key(host: &str) -> &str {
    if normalize(host) == "docker.io" { DOCKER_HUB_KEY } else { host }
}

fn ask_helper(helper: &str, host: &str) -> Result<Option<Credentials>, CredentialsError> {
    let Some(answer) = run_helper(helper, "get", canonical_key(host))? else { return Ok(None) };
    let entry: HelperEntry = serde_json::from_str(&answer).map_err(|error| CredentialsError::Helper {
        program: program(helper),
        reason: format!("answered what is no JSON of a credential: {error}"),
    })?;
    Ok(Some(if entry.username == TOKEN_USER {
        Credentials::RefreshToken(entry.secret)
    } else {
        Credentials::Password { username: entry.username, password: entry.secret }
    }))
}

fn program(helper: &str) -> String {
    format!("docker-credential-{helper}")
}

/// Runs a helper with `input` on its stdin; `None` where it says that it knows nothing of the server.
fn run_helper(helper: &str, verb: &str, input: &str) -> Result<Option<String>, CredentialsError> {
    let failed = |reason: String| CredentialsError::Helper { program: program(helper), reason };
    let mut child = Command::new(program(helper))
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("can't be started: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper may answer without reading; its exit status tells what counts.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(Some(text));
    }
    // The protocol has no code for "not found": all helpers share this sentence.
    if text.contains("credentials not found") {
        return Ok(None);
    }
    Err(failed(format!("{verb}: {}", if text.is_empty() { output.status.to_string() } else { text })))
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, FileError> {
    let Some(text) = read_optional(path)? else { return Ok(None) };
    let parsed = serde_json::from_str(if text.trim().is_empty() { "{}" } else { &text });
    parsed.map(Some).map_err(|error| FileError::syntax(path, error))
}

/// Write, sync, rename; readable by the owner alone. A link is followed, so that it stays one.
fn replace_private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stage = directory.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&stage)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&stage, &path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&stage);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("credentials.{name}.{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Directory(path)
        }

        fn files(&self, config: &str) -> CredentialFiles {
            let path = self.0.join("config.json");
            fs::write(&path, config).unwrap();
            CredentialFiles { read: vec![path.clone()], write: path }
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn password(username: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Password { username: username.into(), password: password.into() })
    }

    #[test]
    fn the_longest_path_wins() {
        let directory = Directory::new("paths");
        let files = directory.files(
            r#"{"auths":{"r.test":{"auth":"YTph"},"r.test/team/app":{"auth":"Yjpi"},"https://t.test/v2/":{"identitytoken":"t"}}}"#,
        );
        assert_eq!(files.find("r.test", "team/app").unwrap(), password("b", "b"));
        assert_eq!(files.find("r.test", "team/apples").unwrap(), password("a", "a"));
        assert_eq!(files.find("t.test", "x").unwrap(), Some(Credentials::RefreshToken("t".into())));
        assert_eq!(files.find("s.test", "x").unwrap(), None);
    }

    #[test]
    fn docker_hub_has_many_names() {
        let directory = Directory::new("hub");
        let files = directory.files("");
        files.store("docker.io", &password("u", "p").unwrap()).unwrap();
        assert!(fs::read_to_string(&files.write).unwrap().contains(DOCKER_HUB_KEY));
        assert_eq!(files.find("docker.io", "library/x").unwrap(), password("u", "p"));
    }

    #[test]
    fn login_and_logout_keep_the_rest_of_the_file() {
        let directory = Directory::new("rest");
        let files = directory.files(r#"{"proxies":{"default":{}},"auths":{"x.test":{"auth":"YTph"}}}"#);
        files.store("r.test:5000", &password("u", "p:q").unwrap()).unwrap();
        assert_eq!(files.find("r.test:5000", "a").unwrap(), password("u", "p:q"));
        assert_eq!(fs::metadata(&files.write).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(files.erase("r.test:5000").unwrap());
        assert!(!files.erase("r.test:5000").unwrap());
        assert_eq!(files.find("x.test", "a").unwrap(), password("a", "a"));
        assert!(fs::read_to_string(&files.write).unwrap().contains("proxies"));
    }

    #[test]
    fn a_broken_entry_names_file_and_key() {
        let directory = Directory::new("broken");
        let files = directory.files(r#"{"auths":{"r.test":{"auth":"%%"}}}"#);
        let message = files.find("r.test", "a").unwrap_err().to_string();
        assert!(message.contains("config.json") && message.contains("r.test"), "{message}");
    }

    #[test]
    fn a_helper_that_is_missing_is_named() {
        let directory = Directory::new("helper");
        let files = directory.files(r#"{"credHelpers":{"r.test":"no-such-helper"}}"#);
        let message = files.find("r.test", "a").unwrap_err().to_string();
        assert!(message.contains("docker-credential-no-such-helper"), "{message}");
        assert_eq!(files.find("s.test", "a").unwrap(), None);
    }
}
