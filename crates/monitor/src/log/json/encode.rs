//! One line of JSON, as Docker's encoder writes it.

use std::borrow::Cow;
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

/// What follows the line in an entry: the same for all that were read at once.
pub(super) fn rest(stream: Stream, attrs: &str, at: i64) -> String {
    format!("\",\"stream\":\"{}\",{attrs}\"time\":\"{}\"}}\n", stream.as_str(), time::format_short(at))
}

/// Adds an entry to `out`.
pub(super) fn entry(line: &[u8], rest: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"log\":\"");
    match std::str::from_utf8(line) {
        Ok(text) => string(text, out),
        // What is no UTF-8 becomes U+FFFD, byte for byte.
        Err(_) => {
            for chunk in line.utf8_chunks() {
                string(chunk.valid(), out);
                chunk.invalid().iter().for_each(|_| out.extend_from_slice(b"\\ufffd"));
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Bytes that stand for themselves, or for a part of a character that does.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut control = 0;
    while control < 0x20 {
        plain[control] = false;
        control += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    // What means something in HTML, and U+2028 and U+2029 (which begin with this byte), which do in JavaScript.
    plain[b'<' as usize] = false;
    plain[b'>' as usize] = false;
    plain[b'&' as usize] = false;
    plain[0xe2] = false;
    plain
};

fn string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| !PLAIN[usize::from(**byte)]) {
        let (escape, length) = match byte {
            b'"' => (Cow::Borrowed("\\\""), 1),
            b'\\' => (Cow::Borrowed("\\\\"), 1),
            b'\n' => (Cow::Borrowed("\\n"), 1),
            b'\r' => (Cow::Borrowed("\\r"), 1),
            0xe2 => match bytes.get(at..at + 3) {
                Some([_, 0x80, last @ (0xa8 | 0xa9)]) => (format!("\\u20{:02x}", last - 0x80).into(), 3),
                _ => continue,
            },
            other => (format!("\\u{other:04x}").into(), 1),
        };
        out.extend_from_slice(&bytes[plain..at]);
        out.extend_from_slice(escape.as_bytes());
        plain = at + length;
    }
    out.extend_from_slice(&bytes[plain..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &[u8], attributes: &BTreeMap<String, String>) -> String {
        let mut out = Vec::new();
        entry(line, &rest(Stream::Stderr, &attrs(attributes), 1_500_000_000), &mut out);
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
