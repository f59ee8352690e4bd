//! What can't be printed is an error like others. `println!` panics where stdout takes nothing, on a full disk or with a
//! reader that is gone (`berth images | head -1`), and the panic's text is all that tells it from a bug.

use std::io::Write;

/// What a program that the kernel ended by SIGPIPE exits with, to a shell.
const BROKEN_PIPE_STATUS: i32 = 128 + 13;

/// From here on such a panic ends the process with a status and, where anybody reads it, a sentence.
pub fn end_quietly() {
    let other_panics = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let Some(cause) = panic.payload_as_str().and_then(cause_of) else { return other_panics(panic) };
        if cause.starts_with("Broken pipe") {
            std::process::exit(BROKEN_PIPE_STATUS);
        }
        let _ = writeln!(std::io::stderr(), "berth: write to stdout: {cause}");
        std::process::exit(1);
    }));
}

/// Why printing failed, where that is what a panic tells of (`print_to` of std::io::stdio).
fn cause_of(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("failed printing to std")?;
    rest.strip_prefix("out: ").or(rest.strip_prefix("err: "))
}

#[cfg(test)]
mod tests {
    use super::cause_of;

    #[test]
    fn only_printing_is_meant() {
        let full = "failed printing to stdout: No space left on device (os error 28)";
        assert_eq!(cause_of(full), Some("No space left on device (os error 28)"));
        assert_eq!(cause_of("failed printing to stderr: x"), Some("x"));
        assert_eq!(cause_of("index out of bounds"), None);
    }
}
