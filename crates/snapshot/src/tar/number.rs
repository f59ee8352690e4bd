//! Numbers in tar headers: octal text, or GNU's base 256 with the highest bit set.

/// The value of a numeric field; `None` if it is neither form or does not fit. An empty field is zero.
pub fn parse(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let text = field.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii();
    text.iter().try_fold(0i64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement, big endian, without the marker bit.
fn base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    // The marker is replaced by the sign.
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let fill = if negative { 0xff } else { 0 };
    let mut value: i64 = if negative { -1 } else { 0 };
    let (high, low) = field.split_at(field.len().saturating_sub(8));
    if high.iter().enumerate().any(|(at, &byte)| fill != if at == 0 { first } else { byte }) {
        return None;
    }
    for (at, &byte) in low.iter().enumerate() {
        let byte = if high.is_empty() && at == 0 { first } else { byte };
        value = value << 8 | i64::from(byte);
    }
    (value.is_negative() == negative).then_some(value)
}

/// A decimal number without a sign, as PAX writes it.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, &digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_base_256() {
        assert_eq!(parse(b"0000644\0"), Some(0o644));
        assert_eq!(parse(b"   644 \0"), Some(0o644));
        assert_eq!(parse(b"\0\0\0\0"), Some(0));
        assert_eq!(parse(b"77777777777\0"), Some(0o77777777777));
        assert_eq!(parse(b"12345678"), None);
        assert_eq!(parse(b"-1\0"), None);
        assert_eq!(parse(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(parse(&[0xff; 12]), Some(-1));
        assert_eq!(parse(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None, "more than 63 bits");
        assert_eq!(parse(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256), "a field of eight bytes");
        assert_eq!(parse(&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]), None, "the sign bit of the value");
    }

    #[test]
    fn decimal_has_no_sign_and_an_end() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b"18446744073709551616"[..], b"", b"+1", b"-1", b"1 ", b"0x1"] {
            assert_eq!(decimal(bad), None);
        }
    }
}
