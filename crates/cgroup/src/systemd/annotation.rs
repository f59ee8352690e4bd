//! Annotations `org.systemd.property.NAME`: properties of the unit, their values in GVariant's text format.

use std::collections::BTreeMap;

use super::manager::Property;
use super::value::Value;

const PREFIX: &str = "org.systemd.property.";

/// The properties that `annotations` ask for; on an error, the annotation and what is wrong with it.
pub(crate) fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, (String, String)> {
    let ours = annotations.iter().filter_map(|(key, value)| Some((key, key.strip_prefix(PREFIX)?, value)));
    ours.map(|(key, name, value)| property(name, value).map_err(|reason| (key.clone(), reason))).collect()
}

fn property(name: &str, text: &str) -> Result<Property, String> {
    if name.len() < 3 || !name.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(format!("{name:?} is no name of a property: use three or more letters"));
    }
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    if parser.at != text.len() {
        return Err(format!("unexpected {:?} behind the value", &text[parser.at..]));
    }
    // On the bus all times are in microseconds, and their names say so.
    match name.strip_suffix("Sec") {
        Some(stem) if stem.ends_with(|c: char| c.is_ascii_lowercase()) => {
            Ok((format!("{stem}USec"), microseconds(&value)?))
        }
        _ => Ok((name.to_owned(), value)),
    }
}

fn microseconds(seconds: &Value) -> Result<Value, String> {
    let whole =
        |n: u64| n.checked_mul(1_000_000).map(Value::U64).ok_or_else(|| "too many seconds".to_owned());
    match *seconds {
        Value::Byte(n) => whole(n.into()),
        Value::U16(n) => whole(n.into()),
        Value::U32(n) => whole(n.into()),
        Value::U64(n) => whole(n),
        Value::I16(n) if n >= 0 => whole(n.unsigned_abs().into()),
        Value::I32(n) if n >= 0 => whole(n.unsigned_abs().into()),
        Value::I64(n) if n >= 0 => whole(n.unsigned_abs()),
        Value::F64(n) if (0.0..1e13).contains(&n) => Ok(Value::U64((n * 1e6) as u64)),
        _ => Err("not a number of seconds".to_owned()),
    }
}

/// The part of GVariant's text format that properties need: booleans, numbers, strings, arrays, tuples,
/// and words in front of a value that name its type.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        self.skip_space();
        if depth > 16 {
            return Err("nested too deep".to_owned());
        }
        match self.rest().chars().next() {
            Some('\'' | '"') => self.string().map(Value::Text),
            Some('[') => self.array(depth),
            Some('(') => self.list('(', ')', depth).map(Value::Struct),
            Some(_) => self.word(depth),
            None => Err("a value is missing".to_owned()),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        let values = self.list('[', ']', depth)?;
        let element = values.first().map_or_else(|| "s".to_owned(), Value::signature);
        if values.iter().any(|value| value.signature() != element) {
            return Err("elements of an array must have one type".to_owned());
        }
        Ok(Value::Array(element, values))
    }

    fn list(&mut self, open: char, close: char, depth: usize) -> Result<Vec<Value>, String> {
        self.eat(open);
        let mut values = Vec::new();
        while !self.eat(close) {
            if !values.is_empty() && !self.eat(',') {
                return Err(format!("expected ',' or {close:?} at {:?}", self.rest()));
            }
            if self.eat(close) {
                break;
            }
            values.push(self.value(depth + 1)?);
        }
        Ok(values)
    }

    fn string(&mut self) -> Result<String, String> {
        let mut letters = self.text[self.at..].char_indices();
        let quote = letters.next().map_or('\'', |(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, letter)) = letters.next() {
            match letter {
                _ if letter == quote => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\0' => return Err("a NUL cannot be part of a string".to_owned()),
                '\\' => match letters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, escaped @ ('\\' | '\'' | '"'))) => text.push(escaped),
                    _ => return Err("unknown escape in a string".to_owned()),
                },
                _ => text.push(letter),
            }
        }
        Err("a string does not end".to_owned())
    }

    fn word(&mut self, depth: usize) -> Result<Value, String> {
        let end =
            self.rest().find(|c: char| c.is_whitespace() || ",])".contains(c)).unwrap_or(self.rest().len());
        let word = self.rest()[..end].to_owned();
        self.at += end;
        match word.as_str() {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            "string" | "boolean" => return self.value(depth + 1),
            "objectpath" => return self.quoted(depth).map(Value::Path),
            "signature" => return self.quoted(depth).map(Value::Signature),
            "byte" | "int16" | "uint16" | "int32" | "uint32" | "int64" | "uint64" | "double" => {
                self.skip_space();
                let end = self.rest().find(|c: char| c.is_whitespace() || ",])".contains(c));
                let number = self.rest()[..end.unwrap_or(self.rest().len())].to_owned();
                self.at += number.len();
                return typed(&word, &number).ok_or_else(|| format!("{number:?} is no {word}"));
            }
            _ => {}
        }
        let kind = if word.contains(['.', 'e']) && !word.starts_with("0x") { "double" } else { "int32" };
        typed(kind, &word).ok_or_else(|| format!("{word:?} is no value: strings need quotes"))
    }

    fn quoted(&mut self, depth: usize) -> Result<String, String> {
        match self.value(depth + 1)? {
            Value::Text(text) => Ok(text),
            _ => Err("a string in quotes is expected".to_owned()),
        }
    }
}

fn typed(kind: &str, text: &str) -> Option<Value> {
    let whole = || match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => text.parse::<i128>().ok(),
    };
    Some(match kind {
        "byte" => Value::Byte(whole()?.try_into().ok()?),
        "int16" => Value::I16(whole()?.try_into().ok()?),
        "uint16" => Value::U16(whole()?.try_into().ok()?),
        "int32" => Value::I32(whole()?.try_into().ok()?),
        "uint32" => Value::U32(whole()?.try_into().ok()?),
        "int64" => Value::I64(whole()?.try_into().ok()?),
        "uint64" => Value::U64(whole()?.try_into().ok()?),
        _ => Value::F64(text.parse().ok().filter(|n: &f64| n.is_finite())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_types() {
        let value = |text: &str| property("Some", text).map(|(_, value)| value);
        assert_eq!(value("uint64 42"), Ok(Value::U64(42)));
        assert_eq!(value("42"), Ok(Value::I32(42)));
        assert_eq!(value("true"), Ok(Value::Bool(true)));
        assert_eq!(value(" 'inactive-or-failed' "), Ok(Value::text("inactive-or-failed")));
        assert_eq!(value(r#""it's \"x\"""#), Ok(Value::text("it's \"x\"")));
        assert_eq!(value("1.5"), Ok(Value::F64(1.5)));
        let array = Value::Array("s".to_owned(), vec![Value::text("a"), Value::text("b")]);
        assert_eq!(value("['a', 'b']"), Ok(array));
        assert_eq!(value("('a', uint32 1)"), Ok(Value::Struct(vec![Value::text("a"), Value::U32(1)])));
        for bad in ["", "x", "uint32 -1", "byte 256", "['a', 1]", "'a", "1 2", "[1", "'\\q'", "1e999"] {
            assert!(value(bad).is_err(), "{bad}");
        }
        assert!(value(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn seconds_become_microseconds() {
        let expected = ("TimeoutStopUSec".to_owned(), Value::U64(123_000_000));
        assert_eq!(property("TimeoutStopSec", "uint64 123"), Ok(expected));
        assert_eq!(property("TimeoutStopUSec", "uint64 5").unwrap().1, Value::U64(5));
        assert_eq!(property("XSec", "1").unwrap().0, "XSec");
        assert!(property("TimeoutStopSec", "'1'").is_err());
    }

    #[test]
    fn only_annotations_with_the_prefix_count() {
        let annotation = |key: &str| BTreeMap::from([(key.to_owned(), "true".to_owned())]);
        assert_eq!(properties(&annotation("org.example.x")).unwrap(), []);
        assert_eq!(properties(&annotation("org.systemd.property.CollectMode")).unwrap().len(), 1);
        assert_eq!(
            properties(&annotation("org.systemd.property.a.b")).unwrap_err().0,
            "org.systemd.property.a.b"
        );
    }
}
