//! Who one is to a registry, and the tokens that prove it.

mod challenge;
mod credentials;
mod token;

pub use credentials::{CredentialFiles, Credentials, CredentialsError};

pub(crate) use challenge::{Challenge, parse as parse_challenges};
pub(crate) use token::{Authorization, TokenRequest, parse_token};
