//! `berth login`

use std::io::{Read, stdin};
use std::process::ExitCode;

use clap::Args;
use oci::Reference;
use registry::auth::Credentials;
use registry::{Config, Patience, Purpose, Repository};

use super::Outcome;
use super::context::Context;
use super::output::{print, prompt};

#[derive(Args)]
pub struct Login {
    /// The account
    #[arg(short, long)]
    username: Option<String>,
    /// Its password or access token; others see it in the list of processes
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// The registry [default: docker.io]
    server: Option<String>,
}

/// The repository that is named where only the registry matters: it is never asked for.
const ANY_REPOSITORY: &str = "library/any";

impl Login {
    pub fn run(self, context: &Context) -> Outcome {
        let config = context.config()?;
        let server = server_name(self.server.as_deref());
        let stored = match (&self.username, &self.password, self.password_stdin) {
            (None, None, false) => config.credentials.find(&server, "")?,
            _ => None,
        };
        if let Some(stored) = stored
            && check(&config, &server, &stored).is_ok()
        {
            print("Authenticating with existing credentials...\nLogin Succeeded\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        let credentials = self.ask(&server)?;
        check(&config, &server, &credentials)?;
        config.credentials.store(&server, &credentials)?;
        print("Login Succeeded\n")?;
        Ok(ExitCode::SUCCESS)
    }

    fn ask(self, server: &str) -> Result<Credentials, Box<dyn std::error::Error>> {
        if self.password_stdin && self.username.is_none() {
            return Err("--password-stdin needs --username".into());
        }
        let username = match self.username {
            Some(username) => username,
            None => prompt::line(&format!("Username for {server}: "))?,
        };
        let password = match (self.password, self.password_stdin) {
            (Some(password), _) => password,
            (None, true) => {
                let mut password = String::new();
                stdin().lock().read_to_string(&mut password)?;
                password.trim_end_matches(['\r', '\n']).to_owned()
            }
            (None, false) => prompt::secret("Password: ")?,
        };
        match username.is_empty() || password.is_empty() {
            true => Err("username and password must not be empty".into()),
            false => Ok(Credentials::Password { username, password }),
        }
    }
}

/// A server as it is written in names of images.
pub fn server_name(given: Option<&str>) -> String {
    let given = given.unwrap_or("docker.io");
    let name = given.strip_prefix("https://").or_else(|| given.strip_prefix("http://")).unwrap_or(given);
    match name.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        name => name.to_owned(),
    }
}

/// Asks the registry whether it accepts the credentials.
fn check(config: &Config, server: &str, credentials: &Credentials) -> Result<(), Box<dyn std::error::Error>> {
    let reference = Reference::parse_in(&format!("{server}/{ANY_REPOSITORY}"), server)?;
    let (patience, given) = (Patience::default(), Some(credentials.clone()));
    let repository = Repository::open(config, &reference, Purpose::Push, patience, given)?;
    Ok(image::wait_for(repository.ping())?)
}
