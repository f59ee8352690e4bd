//! Questions to whoever sits at the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Asks for a line.
pub fn line(question: &str) -> io::Result<String> {
    print!("{question}");
    io::stdout().flush()?;
    read_line()
}

/// Asks for a secret, which is not shown while it is typed.
pub fn secret(question: &str) -> io::Result<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(io::Error::other("there is no terminal to ask for a password at; use --password-stdin"));
    }
    let echo = Echo { shown: tcgetattr(&stdin)? };
    let mut hidden = echo.shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let answer = line(question);
    drop(echo);
    println!();
    answer
}

/// Asks whether to go on; anything but yes is no.
pub fn confirm(question: &str) -> io::Result<bool> {
    let answer = line(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn read_line() -> io::Result<String> {
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// Restores the terminal when dropped.
struct Echo {
    shown: Termios,
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.shown);
    }
}
