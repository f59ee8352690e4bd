//! The few operations on URLs that a registry client needs.

use hyper::Uri;

/// Percent-encodes what RFC 3986 does not leave unreserved.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte as char),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// Undoes percent-encoding; what is no valid escape stays.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], escape) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// `url` with one more query parameter.
pub(crate) fn with_query(url: &str, name: &str, value: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{name}={}", encode(value))
}

/// Resolves a `Location` against the URL of the request (RFC 9110 section 10.2.2).
pub(crate) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    if location.contains("://") {
        return location.parse().ok().filter(|uri: &Uri| uri.host().is_some());
    }
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse().ok();
    }
    let path = match location.chars().next() {
        None => return Some(base.clone()),
        Some('/') => location.to_owned(),
        Some('?') => format!("{}{location}", base.path()),
        Some(_) => {
            let directory = base.path().rsplit_once('/').map_or("", |(directory, _)| directory);
            format!("{directory}/{location}")
        }
    };
    format!("{scheme}://{authority}{path}").parse().ok()
}

/// True where both speak the same scheme with the same host and port.
pub(crate) fn same_origin(a: &Uri, b: &Uri) -> bool {
    a.scheme() == b.scheme() && a.host() == b.host() && port(a) == port(b)
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved() {
        let base: Uri = "https://r.test:5000/v2/a/blobs/uploads/?x=1".parse().unwrap();
        for (location, expected) in [
            ("/v2/b", "https://r.test:5000/v2/b"),
            ("c?d=e", "https://r.test:5000/v2/a/blobs/uploads/c?d=e"),
            ("?y", "https://r.test:5000/v2/a/blobs/uploads/?y"),
            ("https://cdn.test/x#f", "https://cdn.test/x"),
            ("//cdn.test/x", "https://cdn.test/x"),
        ] {
            assert_eq!(join(&base, location).unwrap().to_string(), expected);
        }
        assert_eq!(join(&base, "https://"), None);
    }

    #[test]
    fn origins_know_default_ports() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert!(same_origin(&uri("https://r.test/a"), &uri("https://r.test:443/b")));
        assert!(!same_origin(&uri("https://r.test/a"), &uri("http://r.test/a")));
        assert!(!same_origin(&uri("https://r.test/a"), &uri("https://r.test.evil/a")));
    }

    #[test]
    fn escapes_round_trip() {
        assert_eq!(encode("a/b:c é"), "a%2Fb%3Ac%20%C3%A9");
        assert_eq!(decode(&encode("a/b:c é")), "a/b:c é".as_bytes());
        assert_eq!(decode("100%"), b"100%");
    }
}
