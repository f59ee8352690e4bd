//! The forms of files in /proc.

/// The lines of a file; one that is no text is left out.
pub fn lines(file: &[u8]) -> impl Iterator<Item = &str> {
    file.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .filter_map(|line| str::from_utf8(line).ok())
}

/// The first line of a file, or a question mark.
pub fn first_line(file: Option<&[u8]>) -> &str {
    file.and_then(|file| lines(file).next()).unwrap_or("?").trim_ascii()
}

/// The value of `name` in a file of `name:`, tab, value lines.
pub fn field<'a>(file: &'a [u8], name: &str) -> Option<&'a str> {
    lines(file).find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim_ascii()))
}

/// A number in whatever surrounds it with blanks.
pub fn number(text: &str) -> Option<u64> {
    text.trim_ascii().parse().ok()
}
