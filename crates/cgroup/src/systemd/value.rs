//! Values of D-Bus and their bytes (D-Bus specification, "Marshaling").

/// Containers may nest this deep (32 arrays and 32 structs, says the specification).
const DEPTH: usize = 64;

/// A D-Bus value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(String),
    Path(String),
    Signature(String),
    /// The elements' signature, for an array without any.
    Array(String, Vec<Value>),
    /// A struct, or the entry of a dictionary.
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

impl Value {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self::Array("y".to_owned(), bytes.into_iter().map(Self::Byte).collect())
    }

    pub fn variant(self) -> Self {
        Self::Variant(Box::new(self))
    }

    pub fn signature(&self) -> String {
        match self {
            Self::Byte(_) => "y".to_owned(),
            Self::Bool(_) => "b".to_owned(),
            Self::I16(_) => "n".to_owned(),
            Self::U16(_) => "q".to_owned(),
            Self::I32(_) => "i".to_owned(),
            Self::U32(_) => "u".to_owned(),
            Self::I64(_) => "x".to_owned(),
            Self::U64(_) => "t".to_owned(),
            Self::F64(_) => "d".to_owned(),
            Self::Text(_) => "s".to_owned(),
            Self::Path(_) => "o".to_owned(),
            Self::Signature(_) => "g".to_owned(),
            Self::Array(element, _) => format!("a{element}"),
            Self::Struct(fields) => format!("({})", fields.iter().map(Self::signature).collect::<String>()),
            Self::Variant(_) => "v".to_owned(),
        }
    }

    /// The text of a string or an object path.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Path(text) => Some(text),
            Self::Variant(value) => value.as_text(),
            _ => None,
        }
    }
}

/// Bytes in the making, little-endian.
#[derive(Default)]
pub(crate) struct Writer(pub Vec<u8>);

impl Writer {
    /// Pads to a multiple of `alignment`, counted from the start of the message.
    pub fn align(&mut self, alignment: usize) {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
    }

    fn aligned(&mut self, bytes: &[u8]) {
        self.align(bytes.len());
        self.0.extend(bytes);
    }

    pub fn u32(&mut self, value: u32) {
        self.aligned(&value.to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn short_string(&mut self, text: &str) {
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Byte(value) => self.0.push(*value),
            Value::Bool(value) => self.u32((*value).into()),
            Value::I16(value) => self.aligned(&value.to_le_bytes()),
            Value::U16(value) => self.aligned(&value.to_le_bytes()),
            Value::I32(value) => self.aligned(&value.to_le_bytes()),
            Value::U32(value) => self.u32(*value),
            Value::I64(value) => self.aligned(&value.to_le_bytes()),
            Value::U64(value) => self.aligned(&value.to_le_bytes()),
            Value::F64(value) => self.aligned(&value.to_le_bytes()),
            Value::Text(text) | Value::Path(text) => self.string(text),
            Value::Signature(text) => self.short_string(text),
            Value::Array(element, values) => self.array(element, values),
            Value::Struct(fields) => {
                self.align(8);
                fields.iter().for_each(|field| self.value(field));
            }
            Value::Variant(value) => {
                self.short_string(&value.signature());
                self.value(value);
            }
        }
    }

    /// The length counts the elements, not the padding in front of the first.
    fn array(&mut self, element: &str, values: &[Value]) {
        self.u32(0);
        let length_at = self.0.len() - 4;
        self.align(alignment(element.as_bytes().first().copied().unwrap_or(b'y')));
        let start = self.0.len();
        values.iter().for_each(|value| self.value(value));
        let length = (self.0.len() - start) as u32;
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }
}

/// Bytes of a received message, which is in its sender's byte order.
pub(crate) struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    big_endian: bool,
}

impl<'a> Reader<'a> {
    pub fn new(data: &'a [u8], at: usize, big_endian: bool) -> Self {
        Self { data, at, big_endian }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn align(&mut self, alignment: usize) -> Option<()> {
        self.at = self.at.next_multiple_of(alignment);
        (self.at <= self.data.len()).then_some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.data.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.align(N)?;
        let mut bytes: [u8; N] = self.take(N)?.try_into().ok()?;
        if self.big_endian {
            bytes.reverse();
        }
        Some(bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.number().map(u32::from_le_bytes)
    }

    fn string(&mut self, length: usize) -> Option<String> {
        let bytes = self.take(length.checked_add(1)?)?;
        String::from_utf8(bytes[..length].to_vec()).ok()
    }

    fn short_string(&mut self) -> Option<String> {
        let length = self.take(1)?[0];
        self.string(length.into())
    }

    /// All values of the signature. `None` if the bytes don't hold them.
    pub fn values(&mut self, mut signature: &str) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        while !signature.is_empty() {
            let (first, rest) = signature.split_at_checked(first_type(signature.as_bytes(), 0)?)?;
            values.push(self.value(first, 0)?);
            signature = rest;
        }
        Some(values)
    }

    fn value(&mut self, signature: &str, depth: usize) -> Option<Value> {
        if depth > DEPTH {
            return None;
        }
        Some(match signature.as_bytes().first()? {
            b'y' => Value::Byte(self.take(1)?[0]),
            b'b' => Value::Bool(self.u32()? != 0),
            b'n' => Value::I16(i16::from_le_bytes(self.number()?)),
            b'q' => Value::U16(u16::from_le_bytes(self.number()?)),
            b'i' => Value::I32(i32::from_le_bytes(self.number()?)),
            b'u' | b'h' => Value::U32(self.u32()?),
            b'x' => Value::I64(i64::from_le_bytes(self.number()?)),
            b't' => Value::U64(u64::from_le_bytes(self.number()?)),
            b'd' => Value::F64(f64::from_le_bytes(self.number()?)),
            kind @ (b's' | b'o') => {
                let length = self.u32()? as usize;
                let text = self.string(length)?;
                if *kind == b's' { Value::Text(text) } else { Value::Path(text) }
            }
            b'g' => Value::Signature(self.short_string()?),
            b'a' => self.array(&signature[1..], depth)?,
            b'(' | b'{' => {
                self.align(8)?;
                let mut inner = &signature[1..signature.len() - 1];
                let mut fields = Vec::new();
                while !inner.is_empty() {
                    let (first, rest) = inner.split_at_checked(first_type(inner.as_bytes(), 0)?)?;
                    fields.push(self.value(first, depth + 1)?);
                    inner = rest;
                }
                Value::Struct(fields)
            }
            b'v' => {
                let signature = self.short_string()?;
                let whole = first_type(signature.as_bytes(), 0)? == signature.len();
                self.value(if whole { &signature } else { return None }, depth + 1)?.variant()
            }
            _ => return None,
        })
    }

    fn array(&mut self, element: &str, depth: usize) -> Option<Value> {
        let length = self.u32()? as usize;
        self.align(alignment(*element.as_bytes().first()?))?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.data.len())?;
        let mut values = Vec::new();
        while self.at < end {
            values.push(self.value(element, depth + 1)?);
        }
        (self.at == end).then(|| Value::Array(element.to_owned(), values))
    }
}

fn alignment(kind: u8) -> usize {
    match kind {
        b'n' | b'q' => 2,
        b'b' | b'i' | b'u' | b'h' | b's' | b'o' | b'a' => 4,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 1,
    }
}

/// The length of the first complete type of a signature.
fn first_type(signature: &[u8], depth: usize) -> Option<usize> {
    if depth > DEPTH {
        return None;
    }
    match signature.first()? {
        b'a' => Some(1 + first_type(&signature[1..], depth + 1)?),
        open @ (b'(' | b'{') => {
            let close = if *open == b'(' { b')' } else { b'}' };
            let mut at = 1;
            while *signature.get(at)? != close {
                at += first_type(&signature[at..], depth + 1)?;
            }
            (at > 1).then_some(at + 1)
        }
        b')' | b'}' => None,
        _ => Some(1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(value: &Value) -> Option<Vec<Value>> {
        let mut writer = Writer::default();
        writer.value(value);
        Reader::new(&writer.0, 0, false).values(&value.signature())
    }

    #[test]
    fn bytes_are_those_of_the_specification() {
        let mut writer = Writer::default();
        writer.value(&Value::Byte(1));
        writer.value(&Value::Array("t".to_owned(), vec![Value::U64(2)]));
        let expected = [1, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(writer.0, expected);
        let mut writer = Writer::default();
        writer.value(&Value::text("ab").variant());
        assert_eq!(writer.0, [1, b's', 0, 0, 2, 0, 0, 0, b'a', b'b', 0]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let pair = |a: &str, v: Value| Value::Struct(vec![Value::text(a), v.variant()]);
        let properties = vec![
            pair("PIDs", Value::Array("u".to_owned(), vec![Value::U32(7), Value::U32(8)])),
            pair("Delegate", Value::Bool(true)),
            pair("AllowedCPUs", Value::bytes(vec![3])),
            pair("DeviceAllow", Value::Array("(ss)".to_owned(), vec![])),
            pair("Nested", Value::F64(0.5).variant()),
            pair("Path", Value::Path("/a".to_owned())),
        ];
        let value = Value::Array("(sv)".to_owned(), properties);
        assert_eq!(round_trip(&value), Some(vec![value]));
    }

    #[test]
    fn big_endian_senders_are_understood() {
        let bytes = [0, 0, 0, 5, 0, 0, 0, 1, b'x', 0];
        let values = Reader::new(&bytes, 0, true).values("us").unwrap();
        assert_eq!(values, [Value::U32(5), Value::text("x")]);
    }

    proptest! {
        #[test]
        fn rubbish_is_refused_without_a_crash(bytes in prop::collection::vec(any::<u8>(), 0..64), signature in "[a-z(){}]{0,12}") {
            let _ = Reader::new(&bytes, 0, false).values(&signature);
        }
    }

    #[test]
    fn endless_nesting_is_refused() {
        let deep = "a".repeat(200) + "y";
        assert_eq!(Reader::new(&[0; 64], 0, false).values(&deep), None);
        // An array of empty structs would never end.
        assert_eq!(Reader::new(&[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0, false).values("a()"), None);
    }
}
