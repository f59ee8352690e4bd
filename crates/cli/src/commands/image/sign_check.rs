//! `berth image sign-check`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use registry::Patience;
use registry::signature::PublicKey;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;

#[derive(Args)]
pub struct SignCheck {
    /// The public key of the signer, as PEM (ECDSA P-256 or Ed25519)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// NAME[:TAG|@DIGEST]
    image: String,
}

impl SignCheck {
    pub fn run(self, context: &Context) -> Outcome {
        let config = context.config()?;
        let path = self.key.display();
        let pem =
            std::fs::read_to_string(&self.key).map_err(|error| format!("cannot read {path}: {error}"))?;
        let key = PublicKey::from_pem(&pem).map_err(|error| format!("{path} {error}"))?;
        let candidates = context.candidates(&config, &self.image)?;
        let reference = candidates.first().ok_or("no name")?;
        let check = image::SignCheck::run(&config, reference, &key, Patience::default())?;
        print(&format!("Image: {}\nDigest: {}\n", check.reference.familiar(), check.digest))?;
        for signed in &check.good {
            print(&format!("Signed by {path} as {}\n", signed.reference))?;
        }
        match (check.good.is_empty(), check.found) {
            (false, _) => Ok(ExitCode::SUCCESS),
            (true, 0) => Err("the image is not signed".into()),
            (true, found) => {
                Err(format!("none of its {found} signatures is by {path} and for this digest").into())
            }
        }
    }
}
