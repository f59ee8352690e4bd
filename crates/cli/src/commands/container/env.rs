//! Variables and labels: from flags, and from files with a line for each.

use std::fs;

/// The variables of `files`, then those of `flags`, as `NAME=value`.
///
/// A name without value is taken from `lookup`, which is the client's own environment, and is left out where it is
/// not set there.
pub fn variables(
    files: &[String],
    flags: &[String],
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let mut variables = Vec::new();
    for path in files {
        for line in lines(path)? {
            variables.extend(match line.contains('=') {
                true => Some(line),
                false => lookup(&line).map(|value| format!("{line}={value}")),
            });
        }
    }
    for flag in flags {
        variables.extend(match flag.contains('=') {
            true => Some(flag.clone()),
            false => lookup(flag).map(|value| format!("{flag}={value}")),
        });
    }
    Ok(variables)
}

/// What `--env` refuses.
pub fn check_variable(text: &str) -> Result<(), String> {
    match text.split('=').next() {
        None | Some("") => Err(format!("invalid environment variable: {text}")),
        Some(_) => Ok(()),
    }
}

/// A variable of the environment, where it is text.
pub fn of_client(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The labels of `files`, then those of `flags`; one without value is empty.
pub fn labels(files: &[String], flags: &[String]) -> Result<Vec<String>, String> {
    let mut labels = Vec::new();
    for path in files {
        labels.extend(lines(path)?);
    }
    labels.extend_from_slice(flags);
    Ok(labels)
}

/// The lines of a file that hold something, without their comments and leading blanks.
fn lines(path: &str) -> Result<Vec<String>, String> {
    let content = fs::read(path).map_err(|error| format!("open {path}: {}", reason(&error)))?;
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
    let mut lines = Vec::new();
    for (at, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = str::from_utf8(line)
            .map_err(|_| format!("{path}: invalid utf8 bytes at line {}", at + 1))?
            .trim_end_matches('\r')
            .trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.contains(char::is_whitespace) {
            return Err(format!(
                "{path}: poorly formatted environment: variable '{name}' contains whitespaces"
            ));
        }
        if name.is_empty() {
            return Err(format!("{path}: no variable name on line '{line}'"));
        }
        lines.push(line.to_owned());
    }
    Ok(lines)
}

/// What the kernel says, without Rust's number behind it.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is gone with the value.
    struct File(std::path::PathBuf);

    impl File {
        fn new(name: &str, content: &[u8]) -> File {
            let path = std::env::temp_dir().join(format!("berth-env-{}-{name}", std::process::id()));
            fs::write(&path, content).unwrap();
            File(path)
        }

        fn path(&self) -> String {
            self.0.to_str().unwrap().to_owned()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn lookup(name: &str) -> Option<String> {
        (name == "SET").then(|| "here".to_owned())
    }

    #[test]
    fn files_come_before_flags_and_names_are_looked_up() {
        let file = File::new(
            "good",
            b"\xef\xbb\xbfA=1\n# comment\n\n  B=two words \r\nSET\nUNSET\nC=\nD=a=b # no comment\n",
        );
        let flags = ["A=2", "SET", "UNSET", "E="].map(str::to_owned);
        let found = variables(&[file.path()], &flags, lookup).unwrap();
        let wanted = ["A=1", "B=two words ", "SET=here", "C=", "D=a=b # no comment", "A=2", "SET=here", "E="];
        assert_eq!(found, wanted);
    }

    #[test]
    fn labels_without_value_are_kept() {
        let file = File::new("labels", b"a=1\nb\n");
        assert_eq!(labels(&[file.path()], &["c".to_owned()]).unwrap(), ["a=1", "b", "c"]);
    }

    #[test]
    fn bad_files_are_refused_by_line() {
        for (name, content, told) in [
            ("blank", &b"A B=1\n"[..], "variable 'A B' contains whitespaces"),
            ("nameless", b"=1\n", "no variable name on line '=1'"),
            ("binary", b"A=1\nB=\xff\n", "invalid utf8 bytes at line 2"),
        ] {
            let file = File::new(name, content);
            let error = variables(&[file.path()], &[], lookup).unwrap_err();
            assert!(error.ends_with(told), "{error}");
        }
        let missing = variables(&["/nope".to_owned()], &[], lookup).unwrap_err();
        assert_eq!(missing, "open /nope: no such file or directory");
        assert!(check_variable("=x").is_err() && check_variable("").is_err() && check_variable("x").is_ok());
    }
}
