//! Text from processes that may be hostile, made safe for terminals and JSON.

/// The bytes as text: control characters (terminal escapes, line breaks) are shown as escapes, and what is not
/// UTF-8 as `\x..`.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_invisible(character) {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Characters that reorder or hide the text around them.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        assert_eq!(printable(b"sleep 60"), "sleep 60");
        assert_eq!(printable("größe".as_bytes()), "größe");
        assert_eq!(printable(b"\x1b[2J\n\t"), "\\u{1b}[2J\\n\\t");
        assert_eq!(printable(b"a\xffb\xc3"), "a\\xffb\\xc3");
        assert_eq!(printable("\u{202e}txt".as_bytes()), "\\u{202e}txt");
    }
}
