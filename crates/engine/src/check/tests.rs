//! A table of requests that are refused, and what they are told.

use super::*;
use crate::config::{DeviceMapping, Ulimit};

type Change = dyn Fn(&mut CreateConfig);

fn refused(change: impl FnOnce(&mut CreateConfig)) -> String {
    let mut config = CreateConfig::default();
    change(&mut config);
    check(&config, &Host::plain()).unwrap_err().0
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_is_wrong_with_nothing() {
    assert_eq!(check(&CreateConfig::default(), &Host::plain()), Ok(Vec::new()));
}

#[test]
fn contradictions_name_both_flags() {
    let cases: [(&Change, [&str; 2]); 9] = [
        (
            &|c| {
                c.host_config.auto_remove = true;
                c.host_config.restart_policy.name = "always".into();
            },
            ["--restart", "--rm"],
        ),
        (
            &|c| {
                c.host_config.resources.nano_cpus = 500_000_000;
                c.host_config.resources.cpu_period = 1000;
            },
            ["--cpus", "--cpu-period"],
        ),
        (
            &|c| {
                c.host_config.resources.memory = 64 << 20;
                c.host_config.resources.memory_swap = 32 << 20;
            },
            ["--memory-swap", "--memory"],
        ),
        (
            &|c| {
                c.config.hostname = "h".into();
                c.host_config.uts_mode = "host".into();
            },
            ["--hostname", "--uts host"],
        ),
        (
            &|c| {
                c.host_config.network_mode = "container:x".into();
                c.host_config.publish_all_ports = true;
            },
            ["--publish", "--network container:x"],
        ),
        (
            &|c| {
                c.host_config.network_mode = "container:x".into();
                c.host_config.dns = words(&["1.1.1.1"]);
            },
            ["--dns", "--network container:x"],
        ),
        (
            &|c| {
                c.host_config.ipc_mode = "host".into();
                c.host_config.shm_size = 1 << 20;
            },
            ["--shm-size", "--ipc host"],
        ),
        (
            &|c| {
                c.host_config.privileged = true;
                c.host_config.userns_mode = "auto".into();
            },
            ["--privileged", "--userns auto"],
        ),
        (
            &|c| {
                c.host_config.network_mode = "host".into();
                c.host_config.sysctls = [("net.ipv4.ip_forward".into(), "1".into())].into();
            },
            ["--sysctl", "--network host"],
        ),
    ];
    for (change, flags) in cases {
        let text = refused(change);
        assert!(flags.iter().all(|flag| text.contains(flag)), "{text}");
    }
}

#[test]
fn sentences_are_dockers() {
    let cases: [(&Change, &str); 23] = [
        (
            &|c| c.config.working_dir = "x".into(),
            "the working directory 'x' is invalid, it needs to be an absolute path",
        ),
        (&|c| c.config.env = words(&["=x"]), "invalid environment variable: =x"),
        (&|c| c.config.stop_signal = Some("SIGFLY".into()), "invalid signal: SIGFLY"),
        (&|c| c.config.hostname = "a b".into(), "invalid hostname"),
        (
            &|c| c.config.healthcheck.get_or_insert_default().interval = 5,
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (&|c| c.host_config.restart_policy.name = "often".into(), "unknown policy 'often'"),
        (
            &|c| {
                c.host_config.restart_policy.name = "always".into();
                c.host_config.restart_policy.maximum_retry_count = 3;
            },
            "maximum retry count can only be used with 'on-failure'",
        ),
        (&|c| c.host_config.cap_add = words(&["fly"]), "invalid CapAdd: unknown capability: \"CAP_FLY\""),
        (&|c| c.host_config.cap_drop = words(&["CAP_21"]), "invalid CapDrop: unknown capability: \"CAP_21\""),
        (&|c| c.host_config.security_opt = words(&["x=y"]), "invalid --security-opt"),
        (&|c| c.host_config.extra_hosts = words(&["nocolon"]), "bad format for add-host: \"nocolon\""),
        (&|c| c.host_config.extra_hosts = words(&["a:b"]), "invalid IP address in add-host: \"b\""),
        (&|c| c.host_config.dns = words(&["localhost"]), "bad nameserver IP"),
        (&|c| c.host_config.oom_score_adj = 1001, "range for oom score adj is [-1000, 1000]"),
        (&|c| c.host_config.resources.memory = 5 << 20, "Minimum memory limit allowed is 6MB"),
        (&|c| c.host_config.resources.memory_swap = 64 << 20, "You should always set the Memory limit"),
        (
            &|c| c.host_config.resources.memory_swappiness = Some(101),
            "valid memory swappiness range is 0-100",
        ),
        (&|c| c.host_config.resources.nano_cpus = 9_000_000_000_000, "range of CPUs is from 0.01"),
        (&|c| c.host_config.resources.cpuset_cpus = "4000".into(), "Requested CPUs are not available"),
        (&|c| c.host_config.resources.blkio_weight = 5, "Range of blkio weight is from 10 to 1000"),
        (&|c| c.host_config.pid_mode = "mine".into(), "invalid PID mode: mine"),
        (
            &|c| c.host_config.sysctls = [("vm.swappiness".into(), "1".into())].into(),
            "sysctl 'vm.swappiness' is not allowed",
        ),
        (
            &|c| {
                let mapping = DeviceMapping { path_on_host: "/dev/x".into(), ..DeviceMapping::default() };
                c.host_config.resources.devices =
                    vec![DeviceMapping { cgroup_permissions: "q".into(), ..mapping }];
            },
            "invalid device mode: q",
        ),
    ];
    for (change, part) in cases {
        let text = refused(change);
        assert!(text.contains(part), "{text}");
    }
    let ulimit = Ulimit { name: "nofile".into(), soft: 5, hard: 1 };
    assert!(
        refused(|c| c.host_config.resources.ulimits = vec![ulimit])
            .contains("less than or equal to hard limit")
    );
}

#[test]
fn what_this_host_lacks_is_a_warning() {
    let mut config = CreateConfig::default();
    config.host_config.resources.memory_swappiness = Some(10);
    let warnings = check(&config, &Host::plain()).unwrap();
    assert!(warnings[0].contains("Memory swappiness discarded"));
}

#[test]
fn defaults_are_filled_in() {
    let mut config = CreateConfig::default();
    config.host_config.resources.memory = 64 << 20;
    complete(&mut config, "0123456789abcdef", &Host::plain());
    assert_eq!(config.config.hostname, "0123456789ab");
    let host = &config.host_config;
    assert_eq!(host.resources.memory_swap, 128 << 20);
    assert_eq!(
        (host.network_mode.as_str(), host.ipc_mode.as_str(), host.shm_size),
        ("bridge", "private", 64 << 20)
    );
    assert_eq!(host.masked_paths.as_ref().unwrap().len(), 12);
    // What was filled in is sound.
    assert_eq!(check(&config, &Host::plain()), Ok(Vec::new()));
    let mut open = CreateConfig::default();
    open.host_config.privileged = true;
    complete(&mut open, "0123456789abcdef", &Host::plain());
    assert_eq!(open.host_config.masked_paths, None);
}
