//! `cargo xtask escapes`: a program that tries to get out of a container, under several sets of flags.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::Testbed;

/// How a container is confined.
struct Profile {
    name: &'static str,
    /// Flags of `run`.
    flags: &'static [&'static str],
    /// Whether an ordinary user runs it.
    rootless: bool,
    /// Whether an attempt that gets through is a failure.
    strict: bool,
}

const fn as_root(name: &'static str, flags: &'static [&'static str], strict: bool) -> Profile {
    Profile { name, flags, rootless: false, strict }
}

const PROFILES: &[Profile] = &[
    as_root("default", &[], true),
    as_root(
        "read-only, no new privileges",
        &["--read-only", "--tmpfs", "/tmp", "--security-opt", "no-new-privileges"],
        true,
    ),
    as_root("--userns=auto", &["--userns=auto"], true),
    Profile { name: "rootless", flags: &[], rootless: true, strict: true },
    as_root("without seccomp", &["--security-opt", "seccomp=unconfined"], false),
    as_root("all capabilities", &["--cap-add", "ALL"], false),
    as_root("--privileged", &["--privileged"], false),
];

/// Becomes a user who is thrown away, with subordinate ids of his own, in a mount namespace where the host's accounts are
/// copies; imports the archive and runs the container.
const AS_USER: &str = r#"
set -e
bed=$1 berth=$2; shift 2
id=$((2000000 + $$ % 10000)) first=$((100000000 + $$ % 10000 * 65536))
mkdir -p "$bed/etc" "$bed/home" "$bed/user"
chown "$id:$id" "$bed/home" "$bed/user"
mount -t tmpfs -o mode=755 tmpfs "$bed/etc"
cp /etc/passwd /etc/group "$bed/etc"
echo "user$id:x:$id:$id::$bed/home:/bin/sh" >>"$bed/etc/passwd"
for file in subuid subgid; do echo "user$id:$first:65536" >"$bed/etc/$file"; touch "/etc/$file"; done
for file in passwd group subuid subgid; do mount --bind "$bed/etc/$file" "/etc/$file"; done
touch "$bed/etc/berth"
mount --bind "$berth" "$bed/etc/berth"
cd "$bed/home"
exec setpriv --reuid "$id" --regid "$id" --clear-groups env -i HOME="$bed/home" XDG_RUNTIME_DIR="$bed/user" \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c \
    'bed=$1; shift; "$bed/etc/berth" import "$bed/rootfs.tar" escape:1 >/dev/null && exec "$bed/etc/berth" "$@"' \
    sh "$bed" "$@"
"#;

/// Allowed under default flags, as under Docker's, with the reason.
const ALLOWED: &[(&str, &str)] = &[];

struct Options {
    berth: PathBuf,
    markdown: Option<PathBuf>,
}

/// The outcomes of one profile: attempt, barrier, outcome.
type Outcomes = Vec<[String; 3]>;

/// Runs all attempts under all profiles.
pub fn run(args: &[String]) -> Result<(), String> {
    let options = options(args)?;
    let bed = Testbed::new();
    let host = Host::new(&bed)?;
    import(&bed, &options.berth)?;
    let mut columns: Vec<Outcomes> = Vec::new();
    for profile in PROFILES {
        columns.push(attempts(&bed, &options.berth, &host, profile)?);
    }
    let table = table(&columns);
    println!("{table}");
    if let Some(path) = &options.markdown {
        fs::write(path, page(&table)).map_err(|error| format!("write {}: {error}", path.display()))?;
    }
    let escaped: Vec<String> = PROFILES
        .iter()
        .zip(&columns)
        .filter(|(profile, _)| profile.strict)
        .flat_map(|(profile, outcomes)| outcomes.iter().map(move |outcome| (profile.name, outcome)))
        .filter(|(_, [attempt, _, outcome])| {
            outcome == "through" && !ALLOWED.iter().any(|(known, _)| known == attempt)
        })
        .map(|(name, [attempt, _, _])| format!("{name}: {attempt}"))
        .collect();
    if escaped.is_empty() { Ok(()) } else { Err(format!("attempts got through: {}", escaped.join("; "))) }
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options { berth: PathBuf::new(), markdown: None };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--berth" => options.berth = value.into(),
            "--markdown" => options.markdown = Some(value.into()),
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    if options.berth.as_os_str().is_empty() { Err("--berth is missing".to_owned()) } else { Ok(options) }
}

/// What is to be reached on the host, alive as long as this.
struct Host {
    variables: Vec<(String, String)>,
    _listeners: (UnixListener, TcpListener),
}

impl Host {
    fn new(bed: &Testbed) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("make what is to be reached: {error}");
        let secret = bed.path().join("secret");
        fs::write(&secret, "the host's").map_err(failed)?;
        let name = format!("{}-socket", bed.name());
        let address = SocketAddr::from_abstract_name(&name).map_err(failed)?;
        let unix = UnixListener::bind_addr(&address).map_err(failed)?;
        let tcp = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        let port = tcp.local_addr().map_err(failed)?.port();
        let (disk, kind) = root_disk();
        let mut variables = vec![
            ("PID".to_owned(), std::process::id().to_string()),
            ("SECRET".to_owned(), secret.display().to_string()),
            ("SOCKET".to_owned(), name),
            ("PORT".to_owned(), port.to_string()),
            ("DISK".to_owned(), disk),
            ("DISK_KIND".to_owned(), kind),
        ];
        for kind in ["mnt", "pid", "net", "ipc", "uts"] {
            let link = fs::read_link(format!("/proc/self/ns/{kind}")).map_err(failed)?;
            variables.push((format!("NS_{}", kind.to_uppercase()), link.to_string_lossy().into_owned()));
        }
        Ok(Self { variables, _listeners: (unix, tcp) })
    }
}

/// The numbers and file system of the device that the host's root is on.
fn root_disk() -> (String, String) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some("/")).unwrap_or_default();
    let kind = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    (line.split(' ').nth(2).unwrap_or_default().to_owned(), kind.to_owned())
}

fn berth(bed: &Testbed, berth: &Path) -> Command {
    let mut command = Command::new(berth);
    command.arg("--root").arg(bed.path().join("root")).stdin(Stdio::null());
    command
}

/// Makes an image of busybox and the program that tries.
fn import(bed: &Testbed, binary: &Path) -> Result<(), String> {
    let bundle = bed.bundle();
    let myself = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    fs::copy(myself.with_file_name("escape"), bundle.rootfs().join("bin/escape"))
        .map_err(|error| format!("copy the program `escape`: {error}"))?;
    let archive = bed.path().join("rootfs.tar");
    let mut pack = Command::new("tar");
    output(pack.arg("-cf").arg(&archive).arg("-C").arg(bundle.rootfs()).arg("."))?;
    output(berth(bed, binary).arg("import").arg(&archive).arg("escape:1")).map(drop)
}

fn attempts(bed: &Testbed, binary: &Path, host: &Host, profile: &Profile) -> Result<Outcomes, String> {
    let mut run = if profile.rootless {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", AS_USER, "sh"]).arg(bed.path()).arg(binary).stdin(Stdio::null());
        command
    } else {
        berth(bed, binary)
    };
    run.args(["run", "--rm", "--network", "none"]).args(profile.flags);
    for (name, value) in &host.variables {
        run.arg("-e").arg(format!("HOST_{name}={value}"));
    }
    let text = output(run.args(["escape:1", "/bin/escape"]))?;
    text.lines()
        .map(|line| {
            let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
            <[String; 3]>::try_from(fields).map_err(|_| format!("the program says {line:?}"))
        })
        .collect()
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("run {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

fn table(columns: &[Outcomes]) -> String {
    let names: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
    let mut text =
        format!("| attempt | barrier | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for (row, [attempt, barrier, _]) in columns[0].iter().enumerate() {
        let cells: Vec<&str> =
            columns.iter().map(|column| column.get(row).map_or("", |it| it[2].as_str())).collect();
        // Writing to a String can't fail.
        let _ = writeln!(text, "| {attempt} | {barrier} | {} |", cells.join(" | "));
    }
    text
}

fn page(table: &str) -> String {
    format!(
        "# Escapes\n\nWritten by `cargo xtask escapes --markdown docs/escapes.md`: a program tries each of these in a \
         container and tells what\nthe kernel said. *Barrier* is what should stop it under default flags; `through` means \
         that nothing did, which fails the\ncommand in the first four columns. The others show which barrier is left when \
         one is taken away; *rootless* is\nrun by an ordinary user. Nothing is changed on the\nhost by attempts that get through: files are opened, not written, \
         and calls are made without arguments. Attacks that a\nhostile *image* makes on the runtime itself are in \
         [security.md](security.md), with the tests that try them.\n\n{table}"
    )
}
