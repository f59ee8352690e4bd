use std::ffi::OsString;

use super::*;
use crate::commands::flags::parse;

/// What a command line of `run` asks for.
pub fn requested(line: &str) -> Result<Request, String> {
    let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    let mut request = Request::default();
    let rest = parse(RUN, &words, &mut request).map_err(|error| error.to_string())?;
    let rest: Vec<&str> = rest.iter().map(|word| word.to_str().unwrap()).collect();
    let (image, command) = rest.split_first().ok_or("no image")?;
    request.finish(image, command)
}

#[test]
fn options_end_at_the_image() {
    let request = requested("-it --rm --name web app -d --name x").unwrap();
    assert_eq!(request.name.as_deref(), Some("web"));
    assert_eq!(request.create.config.cmd.unwrap(), ["-d", "--name", "x"]);
    assert!(!request.detach && request.create.config.tty && request.create.host_config.auto_remove);
}

#[test]
fn streams_follow_the_flags() {
    let streams = |line: &str| {
        let config = requested(line).unwrap().create.config;
        [config.attach_stdin, config.attach_stdout, config.attach_stderr, config.stdin_once]
    };
    assert_eq!(streams("app"), [false, true, true, false]);
    assert_eq!(streams("-i app"), [true, true, true, true]);
    assert_eq!(streams("-a stdout app"), [false, true, false, false]);
    assert_eq!(streams("-di app"), [false; 4]);
}

#[test]
fn an_empty_entry_point_takes_the_images_away() {
    assert_eq!(requested("app").unwrap().create.config.entrypoint, None);
    assert_eq!(requested("--entrypoint= app").unwrap().create.config.entrypoint, Some(Vec::new()));
    assert_eq!(requested("--entrypoint sh app").unwrap().create.config.entrypoint.unwrap(), ["sh"]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (line, told) in [
        ("--rm --restart always app", "conflicting options: cannot specify both --restart and --rm"),
        ("-d -a stdin app", "conflicting options: cannot specify both --attach and --detach"),
        ("--no-healthcheck --health-cmd x app", "--no-healthcheck conflicts with --health-* options"),
        ("--log-driver none --log-opt a=b app", "invalid logging opts for driver none"),
        ("--security-opt nonsense app", "invalid --security-opt: \"nonsense\""),
    ] {
        assert_eq!(requested(line).unwrap_err(), told, "{line}");
    }
}

#[test]
fn values_are_judged_where_they_stand() {
    for (line, told) in [
        ("-m lots app", "invalid argument \"lots\" for \"-m, --memory\" flag: invalid size: 'lots'"),
        (
            "--pids-limit x app",
            "invalid argument \"x\" for \"--pids-limit\" flag: invalid syntax: expected a number",
        ),
        (
            "--restart sometimes app",
            "invalid argument \"sometimes\" for \"--restart\" flag: invalid restart policy: unknown policy \
                 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ),
        (
            "--pull perhaps app",
            "invalid argument \"perhaps\" for \"--pull\" flag: invalid pull option: 'perhaps': must be one of \
                 \"always\", \"missing\", \"newer\" or \"never\"",
        ),
        (
            "-a stdlog app",
            "invalid argument \"stdlog\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR",
        ),
        (
            "--memory-swappiness 101 app",
            "invalid argument \"101\" for \"--memory-swappiness\" flag: invalid value: 101. Valid memory \
                 swappiness range is 0-100",
        ),
    ] {
        assert_eq!(requested(line).unwrap_err(), told, "{line}");
    }
}

#[test]
fn a_full_line_arrives_in_the_configuration() {
    let line = "-d --init -h box --domainname d -u 1:2 -w /srv -e A=1 -l a=b --cap-add NET_ADMIN --cap-drop ALL \
                    -m 512m --memory-swap -1 --cpus 1.5 --cpuset-cpus 0-1 --ulimit nofile=1:2 --shm-size 1g -p 80:80 \
                    --expose 81 -v data:/d -v /anon --tmpfs /t:size=1m --read-only --privileged --stop-signal INT \
                    --stop-timeout 3 --restart on-failure:3 --log-driver local --log-opt max-size=1m --health-cmd true \
                    --health-interval 5s --health-retries 2 --dns 1.1.1.1 --add-host a:1.2.3.4 --sysctl a.b=1 \
                    --security-opt no-new-privileges --annotation k=v --group-add 5 --pid host --ipc private app x";
    let create = requested(line).unwrap().create;
    let (config, host) = (&create.config, &create.host_config);
    assert_eq!(
        (config.hostname.as_str(), config.user.as_str(), config.working_dir.as_str()),
        ("box", "1:2", "/srv")
    );
    assert_eq!((config.env.join(","), config.labels["a"].as_str()), ("A=1".into(), "b"));
    assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["80/tcp", "81/tcp"]);
    assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/anon"]);
    assert_eq!((config.stop_signal.as_deref(), config.stop_timeout), (Some("INT"), Some(3)));
    let health = config.healthcheck.as_ref().unwrap();
    assert_eq!(
        (health.test.join(" "), health.interval, health.retries),
        ("CMD-SHELL true".into(), 5_000_000_000, 2)
    );
    let resources = &host.resources;
    assert_eq!(
        (resources.memory, resources.memory_swap, resources.nano_cpus),
        (512 << 20, -1, 1_500_000_000)
    );
    assert_eq!((resources.ulimits[0].soft, resources.ulimits[0].hard, host.shm_size), (1, 2, 1 << 30));
    assert_eq!((host.binds.join(","), host.tmpfs["/t"].as_str()), ("data:/d".into(), "size=1m"));
    assert!(host.readonly_rootfs && host.privileged && host.init == Some(true));
    assert_eq!(
        (host.restart_policy.name.as_str(), host.restart_policy.maximum_retry_count),
        ("on-failure", 3)
    );
    assert_eq!(
        (host.log_config.r#type.as_str(), host.log_config.config["max-size"].as_str()),
        ("local", "1m")
    );
    assert_eq!(host.security_opt, ["no-new-privileges"]);
    assert_eq!(host.network_mode, "default");
    assert_eq!((host.pid_mode.as_str(), host.ipc_mode.as_str()), ("host", "private"));
}

#[test]
fn no_flag_is_there_twice() {
    let command = clap::Command::new("run").disable_help_flag(true).args(crate::commands::flags::args(RUN));
    command.debug_assert();
}
