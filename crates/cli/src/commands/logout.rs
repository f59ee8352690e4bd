//! `berth logout`

use std::process::ExitCode;

use clap::Args;

use super::Outcome;
use super::context::Context;
use super::login::server_name;
use super::output::print;

#[derive(Args)]
pub struct Logout {
    /// The registry [default: docker.io]
    server: Option<String>,
}

impl Logout {
    pub fn run(self, context: &Context) -> Outcome {
        let server = server_name(self.server.as_deref());
        let text = match context.config()?.credentials.erase(&server)? {
            true => format!("Removing login credentials for {server}\n"),
            false => format!("Not logged in to {server}\n"),
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
