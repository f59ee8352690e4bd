//! PAX extended headers: `LENGTH KEY=VALUE\n`, where LENGTH counts all of it.

use super::number;
use super::reader::Time;

/// The records of an extended header, as they stand.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// The records in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Records<'a> {
        Records { rest: bytes }
    }

    fn record(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let digits = self.rest.iter().take(20).position(|&byte| byte == b' ')?;
        let length = usize::try_from(number::decimal(&self.rest[..digits])?).ok()?;
        if length <= digits + 1 || length > self.rest.len() {
            return None;
        }
        let (record, rest) = self.rest.split_at(length);
        let body = record[digits + 1..].strip_suffix(b"\n")?;
        let equals = body.iter().position(|&byte| byte == b'=')?;
        if equals == 0 {
            return None;
        }
        self.rest = rest;
        Some((&body[..equals], &body[equals + 1..]))
    }
}

/// A record, or an error after which there are no more.
impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        // Some writers pad with NUL.
        if self.rest.iter().all(|&byte| byte == 0) {
            return None;
        }
        Some(self.record().ok_or_else(|| {
            self.rest = &[];
            "a PAX record has a wrong length or no key"
        }))
    }
}

/// What PAX records say about the next entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pax {
    /// The name.
    pub path: Option<Vec<u8>>,
    /// The link's target.
    pub link: Option<Vec<u8>>,
    /// The content's size in bytes. It alone counts, whatever the ustar header says (CVE-2026-33055).
    pub size: Option<u64>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// The time of modification.
    pub mtime: Option<Time>,
    /// The time of access.
    pub atime: Option<Time>,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// GNU's sparse formats 0.0, 0.1 and 1.0.
    pub sparse: GnuSparse,
}

/// The records of GNU's sparse formats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GnuSparse {
    /// 1 in format 1.0.
    pub major: Option<u64>,
    /// The name of the file; `path` holds a made-up one.
    pub name: Option<Vec<u8>>,
    /// The size with holes (`size` or `realsize`).
    pub size: Option<u64>,
    /// Offsets and lengths in turn, in formats 0.0 and 0.1.
    pub map: Vec<u64>,
}

impl Pax {
    /// Reads the records of an extended header.
    pub fn parse(bytes: &[u8]) -> Result<Pax, &'static str> {
        let mut pax = Pax::default();
        for record in Records::new(bytes) {
            let (key, value) = record?;
            pax.record(key, value)?;
        }
        Ok(pax)
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let number = || number::decimal(value).ok_or("a PAX number is malformed");
        let id = || number().and_then(|id| u32::try_from(id).map_err(|_| "a PAX owner is out of range"));
        // An empty value takes a record back (pax(1)); extended attributes may be empty.
        let unset = value.is_empty();
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"size" => self.size = if unset { None } else { Some(number()?) },
            b"uid" => self.uid = if unset { None } else { Some(id()?) },
            b"gid" => self.gid = if unset { None } else { Some(id()?) },
            b"mtime" => self.mtime = if unset { None } else { Some(time(value)?) },
            b"atime" => self.atime = if unset { None } else { Some(time(value)?) },
            b"GNU.sparse.major" => self.sparse.major = Some(number()?),
            b"GNU.sparse.name" => self.sparse.name = name(value)?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = Some(number()?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.map.push(number()?),
            b"GNU.sparse.map" => {
                let numbers = value.split(|&byte| byte == b',').map(number::decimal);
                self.sparse.map = numbers.collect::<Option<_>>().ok_or("a sparse map is malformed")?;
            }
            _ => self.xattr(key, value)?,
        }
        Ok(())
    }

    fn xattr(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let (name, value) = if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            (name.to_vec(), value.to_vec())
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let value = base64(value).ok_or("an extended attribute is no base64")?;
            (percent_decoded(name), value)
        } else {
            return Ok(());
        };
        if name.is_empty() || name.contains(&0) {
            return Err("an extended attribute's name is malformed");
        }
        // bsdtar writes each attribute in both forms; they agree, and the last one counts.
        self.xattrs.retain(|(known, _)| *known != name);
        self.xattrs.push((name, value));
        Ok(())
    }
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    match value {
        [] => Ok(None),
        value if value.contains(&0) => Err("a PAX name contains a NUL byte"),
        value => Ok(Some(value.to_vec())),
    }
}

/// Seconds and their decimal fraction, cut to nanoseconds towards the past.
fn time(value: &[u8]) -> Result<Time, &'static str> {
    let malformed = "a PAX time is malformed";
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let (whole, fraction) = match value.iter().position(|&byte| byte == b'.') {
        Some(point) => (&value[..point], &value[point + 1..]),
        None => (value, &b""[..]),
    };
    let seconds = number::decimal(whole).and_then(|seconds| i64::try_from(seconds).ok()).ok_or(malformed)?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(malformed);
    }
    let nanoseconds =
        fraction.iter().chain(b"000000000").take(9).fold(0, |sum, &digit| sum * 10 + i64::from(digit - b'0'));
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// Standard base64; libarchive leaves the padding out.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let unpadded = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for &digit in unpadded {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

/// `%3D` and the like, as libarchive writes names.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let hex = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &rest[3..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_carry_any_bytes_in_their_values() {
        let pax = Pax::parse(b"12 path=a=b\n27 SCHILY.xattr.user.x=\n\0\n\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a=b"[..]));
        assert_eq!(pax.xattrs, [(b"user.x".to_vec(), b"\n\0\n".to_vec())]);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bad in [
            &b"99 path=a\n"[..],
            b"0 path=a\n",
            b"3 path=a\n",
            b"10 path=a",
            b"path=a\n",
            b"-9 path=a\n",
            b"6 =ab\n",
            b"18446744073709551617 path=a\n",
            b"9 path=\0\n",
            b"11 size=-1\n",
            b"20 uid=99999999999\n",
        ] {
            assert!(Pax::parse(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn times_before_and_after_the_epoch() {
        assert_eq!(time(b"1.5").unwrap(), Time { seconds: 1, nanoseconds: 500_000_000 });
        assert_eq!(time(b"-1.25").unwrap(), Time { seconds: -2, nanoseconds: 750_000_000 });
        assert_eq!(time(b"1.1234567899").unwrap(), Time { seconds: 1, nanoseconds: 123_456_789 });
        assert!(time(b"").is_err() && time(b"1.x").is_err() && time(b"1e9").is_err());
    }

    #[test]
    fn libarchive_attributes_are_decoded() {
        let pax = Pax::parse(b"33 LIBARCHIVE.xattr.user.%3d=aGk\n").unwrap();
        assert_eq!(pax.xattrs, [(b"user.=".to_vec(), b"hi".to_vec())]);
        assert_eq!(base64(b"aGV5IQ=="), Some(b"hey!".to_vec()));
        assert_eq!(base64(b"a b"), None);
    }
}
