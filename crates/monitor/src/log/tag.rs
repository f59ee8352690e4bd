//! `--log-opt tag`: a template with a few fields, as Docker documents them.

use super::About;

/// A template that can't be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log tag {template:?}: there is no {field}, only {list}", list = FIELDS.join(", "))]
pub struct InvalidTag {
    template: String,
    field: String,
}

const FIELDS: [&str; 7] = [
    "{{.ID}}",
    "{{.FullID}}",
    "{{.Name}}",
    "{{.ImageID}}",
    "{{.ImageFullID}}",
    "{{.ImageName}}",
    "{{.DaemonName}}",
];

/// Length of a short id.
pub(super) const SHORT: usize = 12;

pub(super) fn expand(template: &str, about: &About<'_>) -> Result<String, InvalidTag> {
    let mut expanded = String::new();
    let mut rest = template;
    while let Some((before, from)) = rest.split_once("{{") {
        let (field, after) = from.split_once("}}").unwrap_or((from, ""));
        let image = about.image_id.strip_prefix("sha256:").unwrap_or(about.image_id);
        let value = match field.trim() {
            ".ID" => short(about.id),
            ".FullID" => about.id,
            ".Name" => about.name,
            ".ImageID" => short(image),
            ".ImageFullID" => about.image_id,
            ".ImageName" => about.image,
            ".DaemonName" => "berth",
            _ => {
                let field = format!("{{{{{field}}}}}");
                return Err(InvalidTag { template: template.to_owned(), field });
            }
        };
        expanded.push_str(before);
        expanded.push_str(value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

pub(super) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn fields_are_expanded_and_unknown_ones_named() {
        let about = About {
            id: "0123456789abcdef",
            name: "box",
            image_id: "sha256:fedcba9876543210",
            image: "nginx",
            labels: &BTreeMap::new(),
            env: &[],
        };
        let text = "{{.ImageName}}[{{ .ID }}] {{.ImageID}}";
        assert_eq!(expand(text, &about).unwrap(), "nginx[0123456789ab] fedcba987654");
        assert_eq!(expand("plain", &about).unwrap(), "plain");
        assert!(expand("{{.Host}}", &about).unwrap_err().to_string().contains("{{.Host}}"));
    }
}
