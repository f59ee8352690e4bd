//! What the compiler takes, what it refuses, and how large its programs are.

use oci::spec::seccomp::{Seccomp, SeccompAction, SeccompArg, SeccompOp, SeccompRule};
use seccomp::architecture::ByteOrder;
use seccomp::{
    Architecture, Call, CompileError, Filter, FilterFlags, compile, default_profile, disassemble, interpret,
    syscalls,
};

const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

fn profile(json: &str) -> Seccomp {
    serde_json::from_str(json).unwrap()
}

fn filter(json: &str) -> Filter {
    compile(&profile(json), Architecture::X86_64).unwrap()
}

fn error(json: &str) -> String {
    compile(&profile(json), Architecture::X86_64).unwrap_err().to_string()
}

fn verdict(filter: &Filter, architecture: Architecture, name: &str) -> u32 {
    let number = syscalls::number(architecture, name).unwrap();
    interpret(filter.program(), &Call { architecture, number, arguments: [0; 6] }).value
}

#[test]
fn dockers_profile_is_small_and_fast() {
    let filter = compile(&default_profile(Architecture::X86_64, |_| false), Architecture::X86_64).unwrap();
    let length = filter.program().instructions().len();
    assert!(length <= 330, "{length} instructions for three ABIs");
    let calls: Vec<_> = syscalls::all(Architecture::X86_64).collect();
    let steps = |number| {
        let call = Call { architecture: Architecture::X86_64, number, arguments: [0; 6] };
        interpret(filter.program(), &call).steps
    };
    let average = calls.iter().map(|(_, number)| steps(*number)).sum::<usize>() as f64 / calls.len() as f64;
    let most = calls.iter().map(|(_, number)| steps(*number)).max().unwrap();
    println!("{length} instructions, {average:.1} steps on average, {most} at most");
    assert!(average < 13.0 && most < 20, "{average} steps on average, {most} at most");
}

#[test]
fn dockers_profile_unlocks_calls_by_capability() {
    let without = compile(&default_profile(Architecture::X86_64, |_| false), Architecture::X86_64).unwrap();
    assert_eq!(verdict(&without, Architecture::X86_64, "mount"), EPERM);
    assert_eq!(verdict(&without, Architecture::X86_64, "clone3"), ENOSYS);
    assert_eq!(verdict(&without, Architecture::X86_64, "io_uring_setup"), EPERM);
    let admin = |capability: &str| capability == "CAP_SYS_ADMIN";
    let with = compile(&default_profile(Architecture::X86_64, admin), Architecture::X86_64).unwrap();
    assert_eq!(verdict(&with, Architecture::X86_64, "mount"), libc::SECCOMP_RET_ALLOW);
    assert_eq!(verdict(&with, Architecture::X86_64, "clone3"), libc::SECCOMP_RET_ALLOW);
    assert_eq!(verdict(&with, Architecture::X86_64, "reboot"), EPERM);
}

#[test]
fn no_address_family_slips_through_the_high_half() {
    let filter = compile(&default_profile(Architecture::X86_64, |_| false), Architecture::X86_64).unwrap();
    let number = syscalls::number(Architecture::X86_64, "socket").unwrap();
    let socket = |family: u64| {
        let call = Call { architecture: Architecture::X86_64, number, arguments: [family, 0, 0, 0, 0, 0] };
        interpret(filter.program(), &call).value
    };
    for family in 0..64_u64 {
        let allowed = family < 48 && !matches!(family, 38 | 40);
        for high in [0, 1 << 32, 0xffff_ffff << 32] {
            let expected = if allowed { libc::SECCOMP_RET_ALLOW } else { EPERM };
            assert_eq!(socket(high | family), expected, "family {:#x}", high | family);
        }
    }
}

#[test]
fn every_architecture_compiles_the_default_profile() {
    for host in Architecture::ALL {
        let filter = compile(&default_profile(host, |_| false), host).unwrap();
        assert_eq!(verdict(&filter, host, "openat"), libc::SECCOMP_RET_ALLOW, "{host}");
        assert_eq!(verdict(&filter, host, "mount"), EPERM, "{host}");
        let clone = |flags: u64| {
            let number = syscalls::number(host, "clone").unwrap();
            let at = usize::from(matches!(host, Architecture::S390 | Architecture::S390X));
            let mut arguments = [0; 6];
            arguments[at] = flags;
            interpret(filter.program(), &Call { architecture: host, number, arguments }).value
        };
        assert_eq!(clone(libc::SIGCHLD as u64), libc::SECCOMP_RET_ALLOW, "{host}");
        assert_eq!(clone(libc::CLONE_NEWUSER as u64), EPERM, "{host}");
    }
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let names = r#""syscalls":[{"names":["read","copy_file_range","set_tls"],"action":"SCMP_ACT_ALLOW"}]"#;
    let strict = filter(&format!(r#"{{"defaultAction":"SCMP_ACT_KILL",{names}}}"#));
    assert_eq!(verdict(&strict, Architecture::X86_64, "renameat2"), libc::SECCOMP_RET_KILL_THREAD);
    assert_eq!(verdict(&strict, Architecture::X86_64, "statx"), ENOSYS);
    for lenient in ["ALLOW", "LOG", "TRACE"] {
        let lenient = filter(&format!(
            r#"{{"defaultAction":"SCMP_ACT_{lenient}","syscalls":[{{"names":["read"],"action":"SCMP_ACT_KILL"}}]}}"#
        ));
        assert_ne!(verdict(&lenient, Architecture::X86_64, "statx"), ENOSYS);
    }
}

#[test]
fn arms_private_calls_are_no_sign_of_age() {
    let filter = compile(&default_profile(Architecture::Arm, |_| false), Architecture::Arm).unwrap();
    assert_eq!(verdict(&filter, Architecture::Arm, "set_tls"), libc::SECCOMP_RET_ALLOW);
    assert_eq!(verdict(&filter, Architecture::Arm, "listns"), ENOSYS);
    assert_eq!(verdict(&filter, Architecture::Arm, "usr26"), ENOSYS);
}

#[test]
fn unknown_calls_of_s390_look_like_setup() {
    let filter = compile(&default_profile(Architecture::S390X, |_| true), Architecture::S390X).unwrap();
    let setup = Call { architecture: Architecture::S390X, number: 0, arguments: [0; 6] };
    assert_eq!(interpret(filter.program(), &setup).value, ENOSYS);
    assert_eq!(verdict(&filter, Architecture::S390X, "exit"), libc::SECCOMP_RET_ALLOW);
}

#[test]
fn other_architectures_are_killed() {
    let x86_64_only = filter(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#);
    assert_eq!(verdict(&x86_64_only, Architecture::X86_64, "read"), libc::SECCOMP_RET_ALLOW);
    assert_eq!(verdict(&x86_64_only, Architecture::X86, "read"), libc::SECCOMP_RET_KILL_THREAD);
    assert_eq!(verdict(&x86_64_only, Architecture::X32, "read"), libc::SECCOMP_RET_KILL_THREAD);
}

#[test]
fn x32_may_be_the_host() {
    let rules = r#""syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":5}]"#;
    let both =
        format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],{rules}}}"#);
    let filter = compile(&profile(&both), Architecture::X32).unwrap();
    for abi in [Architecture::X32, Architecture::X86_64] {
        assert_eq!(verdict(&filter, abi, "read"), libc::SECCOMP_RET_ERRNO | 5, "{abi}");
        assert_eq!(verdict(&filter, abi, "close"), libc::SECCOMP_RET_ALLOW, "{abi}");
    }
}

#[test]
fn unknown_names_are_passed_over() {
    let names = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["frobnicate","read"],"action":"SCMP_ACT_ERRNO","errnoRet":5}]}"#;
    assert_eq!(verdict(&filter(names), Architecture::X86_64, "read"), libc::SECCOMP_RET_ERRNO | 5);
}

#[test]
fn flags_follow_runc() {
    let flags = |flags: &str| filter(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW"{flags}}}"#)).flags();
    assert_eq!(flags(""), FilterFlags::SPEC_ALLOW);
    assert_eq!(flags(r#","flags":[]"#), FilterFlags::empty());
    assert_eq!(
        flags(r#","flags":["SECCOMP_FILTER_FLAG_TSYNC","SECCOMP_FILTER_FLAG_LOG"]"#),
        FilterFlags::LOG
    );
    let notify =
        r#","flags":[],"listenerPath":"/a","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]"#;
    assert_eq!(flags(notify), FilterFlags::NEW_LISTENER);
}

#[test]
fn errors_name_the_field() {
    let rule = |rule: &str| error(&format!(r#"{{"defaultAction":"SCMP_ACT_KILL","syscalls":[{rule}]}}"#));
    let top = |fields: &str| error(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW",{fields}}}"#));
    let cases = [
        (top(r#""architectures":["SCMP_ARCH_VAX"]"#), r#"architectures[0]: "SCMP_ARCH_VAX""#),
        (top(r#""architectures":["SCMP_ARCH_X86","SCMP_ARCH_S390X"]"#), "architectures[1]: SCMP_ARCH_S390X"),
        (
            top(r#""flags":["SECCOMP_FILTER_FLAG_X"]"#),
            r#"flags[0]: seccomp flag "SECCOMP_FILTER_FLAG_X" is not known"#,
        ),
        (top(r#""defaultErrnoRet":1"#), "defaultErrnoRet: SCMP_ACT_ALLOW has no use"),
        (top(r#""listenerMetadata":"m""#), "listenerMetadata: must not be set"),
        (rule(r#"{"names":["a",""],"action":"SCMP_ACT_LOG"}"#), "syscalls[0].names[1]: empty string"),
        (
            rule(r#"{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":4096}"#),
            "syscalls[0].errnoRet: 4096",
        ),
        (
            rule(r#"{"names":["read"],"action":"SCMP_ACT_TRACE","errnoRet":65536}"#),
            "syscalls[0].errnoRet: 65536",
        ),
        (
            rule(
                r#"{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}"#,
            ),
            "syscalls[0].args[0].index: 6",
        ),
        (rule(r#"{"names":["read"],"action":"SCMP_ACT_NOTIFY"}"#), "listenerPath is not set"),
        (
            rule(r#"{"names":["write"],"action":"SCMP_ACT_NOTIFY"}"#),
            "SCMP_ACT_NOTIFY cannot be used for the write syscall",
        ),
        (error(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#), "SCMP_ACT_NOTIFY cannot be used as default action"),
    ];
    for (message, expected) in cases {
        assert!(
            message.starts_with("linux.seccomp") && message.contains(expected),
            "{message}\n  not {expected}"
        );
    }
}

fn conditional(count: u64) -> Seccomp {
    let arg =
        |value| SeccompArg { index: (value % 6) as u32, value: value << 20, value_two: 0, op: SeccompOp::Gt };
    let rule = |value| SeccompRule {
        names: vec!["ioctl".into()],
        action: SeccompAction::Errno,
        errno_ret: Some(value as u32 % 4000),
        args: vec![arg(value)],
    };
    let empty = profile(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#);
    Seccomp { syscalls: (0..count).map(rule).collect(), ..empty }
}

#[test]
fn a_program_is_never_longer_than_the_kernel_takes() {
    let fits = compile(&conditional(500), Architecture::X86_64).unwrap();
    assert!(fits.program().instructions().len() <= 4096);
    for count in [1200, 100_000] {
        let error = compile(&conditional(count), Architecture::X86_64).unwrap_err();
        assert!(matches!(error, CompileError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn far_targets_are_reached() {
    let filter = compile(&conditional(500), Architecture::X86_64).unwrap();
    let number = syscalls::number(Architecture::X86_64, "ioctl").unwrap();
    for value in [0, 100, 256, 499] {
        let mut arguments = [0; 6];
        arguments[value as usize % 6] = (value << 20) + 1;
        let call = Call { architecture: Architecture::X86_64, number, arguments };
        // The first rule of this argument whose value is less.
        let expected = libc::SECCOMP_RET_ERRNO | (value as u32 % 6);
        assert_eq!(interpret(filter.program(), &call).value, expected);
    }
}

#[test]
fn a_listing_names_what_it_compares() {
    let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["personality"],"action":"SCMP_ACT_ERRNO",
        "errnoRet":38,"args":[{"index":1,"value":8,"op":"SCMP_CMP_NE"}]}]}"#;
    let listing = disassemble(filter(json).program(), ByteOrder::Little);
    let expected = "\
0000  ld   arch
0001  jeq  SCMP_ARCH_X86_64 then 0002 else 0012
0002  ld   nr
0003  jge  0x40000000 (read) then 0005 else 0004
0004  jeq  135 (personality) then 0006 else 0011
0005  jge  0xffffffff then 0011 else 0012
0006  ld   args[1].high
0007  jeq  0x0 then 0008 else 0010
0008  ld   args[1].low
0009  jeq  0x8 then 0011 else 0010
0010  ret  ERRNO(38)
0011  ret  ALLOW
0012  ret  KILL_THREAD
";
    assert_eq!(listing, expected);
}
