//! `WWW-Authenticate`, as RFC 9110 section 11.6.1 writes it and registries use it.

/// One way to authenticate that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from elsewhere, as the distribution project specifies it.
    Bearer {
        /// The URL of the token server.
        realm: String,
        /// The name of the registry as the token server knows it.
        service: Option<String>,
        /// What the token has to allow.
        scope: Option<String>,
    },
    /// User and password with every request.
    Basic,
}

/// The challenges in one header value that are understood, in order.
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        let (scheme, after) = take_token(rest);
        if scheme.is_empty() {
            // Not a challenge: skip the stray byte, as there may be one behind it.
            rest = skip_separators(&rest[rest.chars().next().map_or(1, char::len_utf8)..]);
            continue;
        }
        let (parameters, after) = take_parameters(after.trim_start());
        rest = after;
        let get = |name: &str| {
            parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            if let Some(realm) = get("realm") {
                challenges.push(Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
            }
        } else if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        }
    }
    challenges
}

/// `name=value` pairs up to the next scheme, which is a token that no `=` follows.
fn take_parameters(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut parameters = Vec::new();
    loop {
        let (name, after) = take_token(rest);
        let Some(value) = after.trim_start().strip_prefix('=').filter(|_| !name.is_empty()) else {
            return (parameters, rest);
        };
        let (value, after) = take_value(value.trim_start());
        parameters.push((name.to_owned(), value));
        rest = skip_separators(after);
    }
}

fn take_token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn skip_separators(text: &str) -> &str {
    text.trim_start_matches(|c: char| c == ',' || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_server_is_found() {
        let header = r#"Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token".into(),
            service: Some("registry".into()),
            scope: Some("repository:a/b:pull,push".into()),
        };
        assert_eq!(parse(header), [expected]);
    }

    #[test]
    fn several_challenges_share_a_header() {
        let header = r#"Negotiate, basic realm="a \"b\", c" , BEARER realm=x"#;
        let bearer = Challenge::Bearer { realm: "x".into(), service: None, scope: None };
        assert_eq!(parse(header), [Challenge::Basic, bearer]);
    }

    #[test]
    fn nonsense_ends() {
        for header in ["", ",,,", "=", "Bearer", "Bearer realm", "Bearer realm=\"x", "é=", "Basic =="] {
            parse(header);
        }
        assert_eq!(parse("Bearer service=x"), []);
    }
}
