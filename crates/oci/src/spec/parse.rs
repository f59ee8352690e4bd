//! Reads configurations of any origin.

use thiserror::Error;

use super::Spec;

/// What the values of a configuration may take in memory, in bytes; a hundred thousand mounts do.
const BUDGET: usize = 44 << 20;

/// About what an object and an element of a list take. Three bytes of text, `{},`, become this many.
const OBJECT_SIZE: usize = size_of::<super::Mount>();
const ELEMENT_SIZE: usize = size_of::<String>();

/// Why a text is no configuration.
#[derive(Debug, Error)]
pub enum ParseError {
    /// It would take too much memory.
    #[error("the configuration holds too much: {objects} objects and lists of {elements} elements")]
    TooMuch {
        /// How many objects and lists it has, at most.
        objects: usize,
        /// How many elements and fields they have, at most.
        elements: usize,
    },
    /// It is not JSON, or a field is of another type. The message has line and column.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Parses `config.json`, in memory that is bounded however the text is made. Depth is bounded too: nesting of
/// more than 128 levels is an error.
///
/// # Errors
/// The text is malformed or holds too much.
pub fn parse(text: &[u8]) -> Result<Spec, ParseError> {
    let mut count = [0_usize; 256];
    text.iter().for_each(|byte| count[usize::from(*byte)] += 1);
    // A list may stand for an object: to serde, its elements are the fields in their order.
    let objects = count[usize::from(b'{')] + count[usize::from(b'[')];
    let elements = count[usize::from(b',')];
    if objects * OBJECT_SIZE + elements * ELEMENT_SIZE > BUDGET {
        return Err(ParseError::TooMuch { objects, elements });
    }
    Ok(serde_json::from_slice(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(mount: &str, count: usize) -> String {
        format!(r#"{{"mounts":[{}]}}"#, vec![mount; count].join(","))
    }

    #[test]
    fn a_hundred_thousand_mounts_are_read() {
        let mount =
            r#"{"destination":"/m","type":"tmpfs","source":"tmpfs","options":["ro","nodev","size=1m"]}"#;
        assert_eq!(parse(mounts(mount, 100_000).as_bytes()).unwrap().mounts.len(), 100_000);
    }

    #[test]
    fn little_text_can_not_become_much_memory() {
        for text in [
            mounts("{}", 1_000_000),
            mounts("[]", 1_000_000),
            format!(r#"{{"mounts":[{{"options":["{}"]}}]}}"#, r#"",""#.repeat(2_000_000)),
        ] {
            assert!(matches!(parse(text.as_bytes()), Err(ParseError::TooMuch { .. })));
        }
    }

    #[test]
    fn hostile_text_is_an_error() {
        let deep = format!(r#"{{"x":{}"#, "[".repeat(10_000));
        let huge = r#"{"process":{"user":{"uid":1e999}}}"#;
        let negative = r#"{"process":{"user":{"uid":-1}}}"#;
        let large = r#"{"linux":{"devices":[{"major":99999999999999999999999}]}}"#;
        for text in [&deep, huge, negative, large, "", "\0", "{\"mounts\":{}}", "\u{feff}{}"] {
            assert!(
                matches!(parse(text.as_bytes()), Err(ParseError::Json(_))),
                "{}",
                &text[..text.len().min(80)]
            );
        }
    }
}
