//! Compiles the first process of a container with `--init`.

#[path = "../sys/bare_program.rs"]
mod bare_program;

fn main() {
    bare_program::compile("init", &[]);
}
