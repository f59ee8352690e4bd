//! Flags of the process: what runs, as whom, with which terminal and environment.

use super::{Request, RequestFlag, Stream};
use crate::commands::container::env;
use crate::commands::flags::Section;
use crate::commands::values::integer;

pub const SECTION: Section<Request> = Section {
    heading: "Process",
    flags: &[
        RequestFlag::value("attach", "STREAM", "Attach to STDIN, STDOUT or STDERR", |request, value| {
            request.attach.push(match value.to_ascii_lowercase().as_str() {
                "stdin" => Stream::Stdin,
                "stdout" => Stream::Stdout,
                "stderr" => Stream::Stderr,
                _ => return Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
            });
            Ok(())
        })
        .short('a'),
        RequestFlag::switch(
            "interactive",
            "Keep standard input open even if nobody is attached",
            |request, on| {
                request.create.config.open_stdin = on;
            },
        )
        .short('i'),
        RequestFlag::switch("tty", "Give it a terminal", |request, on| request.create.config.tty = on)
            .short('t'),
        RequestFlag::value(
            "env",
            "NAME[=VALUE]",
            "Set a variable; without value it is taken from here",
            |request, value| {
                env::check_variable(value)?;
                request.env.push(value.to_owned());
                Ok(())
            },
        )
        .short('e'),
        RequestFlag::value("env-file", "FILE", "Read variables from a file, one a line", |request, value| {
            request.env_files.push(value.to_owned());
            Ok(())
        }),
        RequestFlag::value(
            "entrypoint",
            "PROGRAM",
            "The program instead of the image's; empty for none",
            |request, value| {
                request.entrypoint = Some(value.to_owned());
                Ok(())
            },
        ),
        RequestFlag::value(
            "user",
            "USER[:GROUP]",
            "Run as this user, by name or number",
            |request, value| {
                value.clone_into(&mut request.create.config.user);
                Ok(())
            },
        )
        .short('u'),
        RequestFlag::value("group-add", "GROUP", "A further group, by name or number", |request, value| {
            request.create.host_config.group_add.push(value.to_owned());
            Ok(())
        }),
        RequestFlag::value("workdir", "DIR", "The working directory", |request, value| {
            if !value.starts_with('/') {
                return Err(format!(
                    "the working directory '{value}' is invalid, it needs to be an absolute path"
                ));
            }
            value.clone_into(&mut request.create.config.working_dir);
            Ok(())
        })
        .short('w'),
        RequestFlag::switch("init", "Run an init of ours that passes signals on and reaps", |request, on| {
            request.create.host_config.init = Some(on);
        }),
        RequestFlag::value("stop-signal", "SIGNAL", "The signal that asks it to stop", |request, value| {
            request.create.config.stop_signal = Some(value.to_owned());
            Ok(())
        }),
        RequestFlag::value(
            "stop-timeout",
            "SECONDS",
            "Time from that signal until it is killed",
            |request, value| {
                request.create.config.stop_timeout = Some(integer(value)?);
                Ok(())
            },
        ),
        RequestFlag::value("ulimit", "NAME=SOFT[:HARD]", "A limit of setrlimit(2)", |request, value| {
            let limit = crate::commands::container::device::ulimit(value)?;
            let limits = &mut request.create.host_config.resources.ulimits;
            limits.retain(|other| other.name != limit.name);
            limits.push(limit);
            Ok(())
        }),
    ],
};
