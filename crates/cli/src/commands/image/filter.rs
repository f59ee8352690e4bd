//! `--filter` of commands for images.

use std::error::Error;

use image::{Filter, Images};
use jiff::Timestamp;

use crate::commands::context::Context;
use crate::commands::values;

/// Reads filters, which may have the names `known`.
pub fn parse(
    context: &Context,
    images: &Images,
    filters: &[String],
    known: &[&str],
) -> Result<Vec<Filter>, Box<dyn Error>> {
    filters.iter().map(|filter| one(context, images, filter, known)).collect()
}

fn one(context: &Context, images: &Images, filter: &str, known: &[&str]) -> Result<Filter, Box<dyn Error>> {
    let (name, value) =
        filter.split_once('=').ok_or_else(|| format!("filter {filter:?}: expected NAME=VALUE"))?;
    if !known.contains(&name) {
        return Err(
            format!("filter {filter:?}: unknown name {name:?}; known are {}", known.join(", ")).into()
        );
    }
    let created = |name: &str| -> Result<i64, Box<dyn Error>> {
        let created = context.find(images, name)?.config.created;
        Ok(created.as_deref().and_then(oci::time::parse).unwrap_or(i64::MIN))
    };
    let label = || match value.split_once('=') {
        Some((label, value)) => (label.to_owned(), Some(value.to_owned())),
        None => (value.to_owned(), None),
    };
    Ok(match name {
        "dangling" => match value {
            "true" | "1" => Filter::Dangling(true),
            "false" | "0" => Filter::Dangling(false),
            _ => return Err(format!("filter {filter:?}: expected true or false").into()),
        },
        "label" => {
            let (label, value) = label();
            Filter::Label(label, value)
        }
        "label!" => {
            let (label, value) = label();
            Filter::NotLabel(label, value)
        }
        "reference" => Filter::Reference(value.to_owned()),
        "before" => Filter::Before(created(value)?),
        "since" => Filter::Since(created(value)?),
        _ => Filter::Before(values::instant(value, Timestamp::now())?),
    })
}
