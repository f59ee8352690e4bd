//! Every text and attribute that we write is read the same by libcap's own tools, and the other way round.

use std::path::PathBuf;
use std::process::Command;

use capability::{CapSet, Capability, FileCapabilities, State, supported};
use proptest::prelude::*;

/// A file in a directory of its own; both go when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("capability-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("file"), "").unwrap();
        Self(directory)
    }

    fn file(&self) -> PathBuf {
        self.0.join("file")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{program} of the package libcap2-bin: {error}"));
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Masks of all densities, so that each of the eight states is the common one now and then.
fn mask() -> impl Strategy<Value = CapSet> {
    let known = supported().bits();
    (any::<u64>(), any::<u64>(), 0..5usize).prop_map(move |(a, b, density)| {
        let bits = [0, a & b, a, a | b, u64::MAX][density];
        CapSet::from_bits(bits & known)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn masks_are_decoded_as_capsh_decodes_them(bits in any::<u64>(), shift in 0..64u32) {
        let set = CapSet::from_bits(bits >> shift);
        let theirs = run("capsh", &[&format!("--decode={set:x}")]).unwrap();
        prop_assert_eq!(format!("0x{set:x}={set}"), theirs);
    }

    #[test]
    fn our_text_is_getcaps_text(permitted in mask(), inheritable in mask(), effective: bool) {
        let scratch = Scratch::new("getcap");
        let path = scratch.file();
        let ours = FileCapabilities { permitted, inheritable, effective, root_id: None };
        ours.write(&path).unwrap();
        let theirs = run("getcap", &[path.to_str().unwrap()]).unwrap();
        prop_assert_eq!(format!("{} {}", path.display(), ours.state().to_text(supported())), theirs);
    }

    #[test]
    fn our_text_is_what_setcap_reads(permitted in mask(), inheritable in mask(), effective: bool) {
        let scratch = Scratch::new("setcap");
        let path = scratch.file();
        let effective = effective && !(permitted | inheritable).is_empty();
        let ours = FileCapabilities { permitted, inheritable, effective, root_id: None };
        run("setcap", &[&ours.state().to_text(supported()), path.to_str().unwrap()]).unwrap();
        prop_assert_eq!(FileCapabilities::read(&path).unwrap(), Some(ours));
    }

    #[test]
    fn texts_are_taken_or_refused_as_setcap_does(
        clauses in prop::collection::vec("(all|cap_kill|cap_chown|cap_kill,cap_bpf|)[=+-][eip]{0,2}([+-][eip]{0,2})?", 1..4)
    ) {
        let scratch = Scratch::new("grammar");
        let path = scratch.file();
        let text = clauses.join(" ");
        let theirs = run("setcap", &[&text, path.to_str().unwrap()]).map(|_| FileCapabilities::read(&path).unwrap());
        let ours = State::parse(&text, supported()).map_err(|error| error.to_string())
            .and_then(|state| FileCapabilities::from_state(state, None).map_err(|error| error.to_string()));
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(Some(ours), theirs),
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{text:?}: {ours:?}, setcap: {theirs:?}"),
        }
    }
}

#[test]
fn a_user_namespaces_root_is_written_and_shown() {
    let scratch = Scratch::new("rootid");
    let path = scratch.file();
    let capabilities = FileCapabilities {
        permitted: Capability::NET_RAW.into(),
        inheritable: CapSet::EMPTY,
        effective: true,
        root_id: Some(100_000),
    };
    capabilities.write(&path).unwrap();
    let theirs = run("getcap", &["-n", path.to_str().unwrap()]).unwrap();
    assert_eq!(theirs, format!("{} cap_net_raw=ep [rootid=100000]", path.display()));
    assert_eq!(FileCapabilities::read(&path).unwrap(), Some(capabilities));
    assert!(FileCapabilities::remove(&path).unwrap() && !FileCapabilities::remove(&path).unwrap());
    assert_eq!(FileCapabilities::read(&path).unwrap(), None);
}

#[test]
fn names_are_those_of_libcap() {
    for capability in Capability::ALL {
        let explained =
            run("capsh", &[&format!("--explain={}", capability.to_string().to_lowercase())]).unwrap();
        let number = format!("({})", capability.number());
        assert!(explained.lines().next().unwrap().contains(&number), "{capability}: {explained}");
    }
}
