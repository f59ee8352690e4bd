//! One line of JSON, as Docker's encoder writes it.

use std::collections::BTreeMap;

use crate::log::time;
use crate::stdio::Stream;

/// What stands before `"time"` when there are attributes: they are the same for all lines.
pub(super) fn attrs(attrs: &BTreeMap<String, String>) -> String {
    if attrs.is_empty() {
        return String::new();
    }
    // Of strings: nothing in it can fail to become JSON.
    format!("\"attrs\":{},", serde_json::to_string(attrs).unwrap_or_default())
}

/// Adds an entry to `out`.
pub(super) fn entry(line: &[u8], stream: Stream, attrs: &str, at: i64, out: &mut Vec<u8>) {
    out.extend(b"{\"log\":\"");
    string(line, out);
    out.extend(b"\",\"stream\":\"");
    out.extend(stream.as_str().as_bytes());
    out.extend(b"\",");
    out.extend(attrs.as_bytes());
    out.extend(b"\"time\":\"");
    out.extend(time::format_short(at).as_bytes());
    out.extend(b"\"}\n");
}

/// What is no UTF-8 becomes U+FFFD, byte for byte; what means something in HTML or JavaScript is escaped.
fn string(line: &[u8], out: &mut Vec<u8>) {
    for chunk in line.utf8_chunks() {
        let mut plain = 0;
        let text = chunk.valid();
        for (at, c) in text.char_indices() {
            let escape = match c {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\0'..'\x20' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    format!("\\u{:04x}", u32::from(c))
                }
                _ => continue,
            };
            out.extend(&text.as_bytes()[plain..at]);
            out.extend(escape.as_bytes());
            plain = at + c.len_utf8();
        }
        out.extend(&text.as_bytes()[plain..]);
        for _ in chunk.invalid() {
            out.extend(b"\\ufffd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &[u8], attributes: &BTreeMap<String, String>) -> String {
        let mut out = Vec::new();
        entry(line, Stream::Stderr, &attrs(attributes), 1_500_000_000, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_entry_is_dockers() {
        assert_eq!(
            text(b"hello \"world\"\n", &BTreeMap::new()),
            "{\"log\":\"hello \\\"world\\\"\\n\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:01.5Z\"}\n"
        );
        let attrs = BTreeMap::from([("tag".to_owned(), "x".to_owned())]);
        assert!(text(b"", &attrs).contains("\"stream\":\"stderr\",\"attrs\":{\"tag\":\"x\"},\"time\""));
    }

    #[test]
    fn escapes_are_gos() {
        let line = "\t\r\u{1b}[0m<&>\\\u{2028}é€".as_bytes();
        let expected = r"\u0009\r\u001b[0m\u003c\u0026\u003e\\\u2028é€";
        assert!(text(line, &BTreeMap::new()).starts_with(&format!("{{\"log\":\"{expected}\",")));
        assert!(text(b"a\xff\xfeb", &BTreeMap::new()).contains(r"a\ufffd\ufffdb"));
    }
}
