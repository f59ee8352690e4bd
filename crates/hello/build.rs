//! Compiles the program of the built-in image `hello`.

#[path = "../sys/bare_program.rs"]
mod bare_program;

fn main() {
    bare_program::compile("hello", &["src/report.rs", "src/report"]);
}
