//! Profiles of hostile origin are compiled or refused, in bounded time and memory.

use std::time::{Duration, Instant};

use oci::spec::seccomp::{Seccomp, SeccompAction, SeccompArg, SeccompOp, SeccompRule};
use proptest::prelude::*;
use proptest::sample::select;
use seccomp::architecture::ByteOrder;
use seccomp::bpf::MAX_INSTRUCTIONS;
use seccomp::{Architecture, Call, CompileError, compile, disassemble, interpret, syscalls};

fn name() -> impl Strategy<Value = String> {
    let known: Vec<_> = Architecture::ALL.into_iter().flat_map(syscalls::all).map(|(name, _)| name).collect();
    prop_oneof![9 => select(known).prop_map(str::to_owned), 1 => any::<String>()]
}

fn arg() -> impl Strategy<Value = SeccompArg> {
    let index = prop_oneof![20 => 0..6_u32, 1 => any::<u32>()];
    (index, any::<u64>(), any::<u64>(), select(&SeccompOp::ALL[..]))
        .prop_map(|(index, value, value_two, op)| SeccompArg { index, value, value_two, op })
}

fn errno() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![10 => Just(None), 5 => (0..4096_u32).prop_map(Some), 1 => any::<u32>().prop_map(Some)]
}

fn rule() -> impl Strategy<Value = SeccompRule> {
    let names = prop::collection::vec(name(), 0..40);
    (names, select(&SeccompAction::ALL[..]), errno(), prop::collection::vec(arg(), 0..12))
        .prop_map(|(names, action, errno_ret, args)| SeccompRule { names, action, errno_ret, args })
}

fn profile() -> impl Strategy<Value = Seccomp> {
    let architecture = prop_oneof![
        20 => select(&Architecture::ALL[..]).prop_map(|architecture| architecture.name().to_owned()),
        1 => any::<String>(),
    ];
    let flags = prop::option::of(prop::collection::vec(select(&["SECCOMP_FILTER_FLAG_LOG", "?"][..]), 0..2));
    (
        select(&SeccompAction::ALL[..]),
        errno(),
        prop::collection::vec(architecture, 0..4),
        flags,
        prop::option::of(any::<String>()),
        prop::collection::vec(rule(), 0..30),
    )
        .prop_map(
            |(default_action, default_errno_ret, architectures, flags, listener_path, syscalls)| Seccomp {
                default_action,
                default_errno_ret,
                architectures,
                flags: flags.map(|flags| flags.into_iter().map(str::to_owned).collect()),
                listener_metadata: None,
                listener_path,
                syscalls,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_profile_is_compiled_or_refused(
        profile in profile(),
        host in select(&Architecture::ALL[..]),
        number in any::<u32>(),
        arguments in any::<[u64; 6]>(),
    ) {
        match compile(&profile, host) {
            Ok(filter) => {
                let program = filter.program();
                prop_assert!(program.instructions().len() <= MAX_INSTRUCTIONS);
                let lines = disassemble(program, ByteOrder::Little).lines().count();
                prop_assert_eq!(lines, program.instructions().len());
                for architecture in Architecture::ALL {
                    let outcome = interpret(program, &Call { architecture, number, arguments });
                    prop_assert!(outcome.steps <= program.instructions().len());
                }
            }
            Err(CompileError::Malformed(error)) => prop_assert!(false, "{error}"),
            Err(_) => {}
        }
    }
}

fn rules(count: usize, rule: &SeccompRule) -> Seccomp {
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: None,
        architectures: vec!["SCMP_ARCH_X86".into(); 100_000],
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls: vec![rule.clone(); count],
    }
}

/// Lengths whose product no computer finishes.
#[test]
fn products_of_lengths_are_bounded() {
    let arg = |value| SeccompArg { index: 0, value, value_two: 0, op: SeccompOp::Eq };
    let rule = |names: usize, args: u64| SeccompRule {
        names: vec!["socket".into(); names],
        action: SeccompAction::Allow,
        errno_ret: None,
        args: (0..args).map(arg).collect(),
    };
    for profile in [
        rules(1, &rule(100_000, 100_000)),
        rules(100_000, &rule(1, 1)),
        rules(1000, &rule(1000, 1)),
        rules(1, &rule(1, 200_000)),
        rules(200_000, &rule(1, 0)),
    ] {
        let start = Instant::now();
        let _ = compile(&profile, Architecture::X86_64);
        assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
    }
}
