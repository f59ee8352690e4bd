//! The 512-byte header.

use super::number;

/// The size of headers and the unit of content.
pub const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A second name of a file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// What a header says, before extensions have their word.
#[derive(Debug)]
pub struct Header<'a> {
    block: &'a [u8; BLOCK],
}

/// The meaning of the type flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// An entry.
    Entry(Kind),
    /// An entry in GNU's old sparse format.
    GnuSparse,
    /// PAX records for the next entry.
    Pax,
    /// PAX records for all further entries. Docker ignores them, so images mean nothing by them.
    PaxGlobal,
    /// The next entry's name.
    GnuName,
    /// The next entry's link target.
    GnuLink,
    /// A volume's label.
    GnuLabel,
    /// None that is known.
    Unknown,
}

impl<'a> Header<'a> {
    /// The header in `block`, if its checksum is right: the sum of all bytes with the checksum's own as
    /// spaces, unsigned or, by old writers, signed.
    pub fn parse(block: &'a [u8; BLOCK]) -> Option<Header<'a>> {
        let field = 148..156;
        let expected = number::parse(&block[field.clone()])?;
        let (mut unsigned, mut signed) = (0i64, 0i64);
        for (at, &byte) in block.iter().enumerate() {
            let byte = if field.contains(&at) { b' ' } else { byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte as i8);
        }
        (expected == unsigned || expected == signed).then_some(Header { block })
    }

    pub fn flag(&self) -> Flag {
        match self.block[156] {
            0 | b'0' | b'7' => Flag::Entry(Kind::File),
            b'1' => Flag::Entry(Kind::HardLink),
            b'2' => Flag::Entry(Kind::Symlink),
            b'3' => Flag::Entry(Kind::Character),
            b'4' => Flag::Entry(Kind::Block),
            b'5' => Flag::Entry(Kind::Directory),
            b'6' => Flag::Entry(Kind::Fifo),
            b'S' => Flag::GnuSparse,
            b'x' | b'X' => Flag::Pax,
            b'g' => Flag::PaxGlobal,
            b'L' => Flag::GnuName,
            b'K' => Flag::GnuLink,
            b'V' => Flag::GnuLabel,
            _ => Flag::Unknown,
        }
    }

    /// The name, with the prefix that POSIX ustar (and only that) has.
    pub fn name(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        let prefix = if &self.block[257..263] == b"ustar\0" { text(&self.block[345..500]) } else { b"" };
        match prefix.is_empty() {
            true => name.to_vec(),
            false => [prefix, b"/", name].concat(),
        }
    }

    pub fn link(&self) -> &[u8] {
        text(&self.block[157..257])
    }

    pub fn mode(&self) -> Option<i64> {
        number::parse(&self.block[100..108])
    }

    pub fn uid(&self) -> Option<i64> {
        number::parse(&self.block[108..116])
    }

    pub fn gid(&self) -> Option<i64> {
        number::parse(&self.block[116..124])
    }

    pub fn size(&self) -> Option<i64> {
        number::parse(&self.block[124..136])
    }

    pub fn mtime(&self) -> Option<i64> {
        number::parse(&self.block[136..148])
    }

    pub fn device(&self) -> Option<(i64, i64)> {
        Some((number::parse(&self.block[329..337])?, number::parse(&self.block[337..345])?))
    }
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}
