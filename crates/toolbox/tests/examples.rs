//! The programs in examples/ do what they say.

use std::process::{Command, Output};

/// Runs an example, which cargo puts beside the tests.
fn example(name: &str, arguments: &[&str]) -> Output {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    Command::new(&program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn capabilities_are_set_dropped_and_read() {
    let told = stdout(example("capabilities", &[]));
    let expected = "refused: cap_sys_admin\n\
        with two: effective 0000000000000021 permitted 0000000000000021 ambient 0000000000000000\n\
        one asleep: effective 0000000000000020 permitted 0000000000000021 ambient 0000000000000000\n\
        in the end: effective 0000000000000020 permitted 0000000000000020 ambient 0000000000000020\n";
    assert!(told.ends_with(expected), "{told}");
    let own = std::process::id().to_string();
    assert!(stdout(example("capabilities", &[&own])).starts_with(&format!("process {own}: effective 0")));
}

#[test]
fn the_child_is_process_1_with_a_name_of_its_own() {
    let told =
        stdout(example("new_namespaces", &["box", "sh", "-c", "hostname; echo $$; ls -d /proc/[0-9]*"]));
    assert!(told.starts_with("box\n1\n/proc/1\n"), "{told}");
    let ended = example("new_namespaces", &["box", "sh", "-c", "exit 7"]);
    assert_eq!(ended.status.code(), Some(7));
}

#[test]
fn the_network_of_a_process_is_joined() {
    let mut sleeper = Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap();
    let pid = sleeper.id().to_string();
    let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    while link(&pid) == link("self") {
        std::thread::yield_now();
    }
    let joined = stdout(example("join_network", &[&pid, "readlink", "/proc/self/ns/net"]));
    let expected = link(&pid);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert!(joined.ends_with(&format!("{}\n", expected.display())), "{joined}");
    let wrong = example("join_network", &["../../proc/self/ns/mnt", "true"]);
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("WrongKind"), "{:?}", wrong.status);
}
