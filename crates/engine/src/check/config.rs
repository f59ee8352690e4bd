//! `Config`.

use crate::config::{ContainerConfig, Healthcheck};

use super::{Checked, invalid};

pub(super) fn check(config: &ContainerConfig) -> Checked {
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        let path = &config.working_dir;
        return invalid(format!(
            "the working directory '{path}' is invalid, it needs to be an absolute path"
        ));
    }
    for variable in &config.env {
        if variable.is_empty() || variable.starts_with('=') || variable.contains('\0') {
            return invalid(format!("invalid environment variable: {}", variable.escape_debug()));
        }
    }
    hostname(&config.hostname)?;
    if config.domainname.len() > 64 {
        return invalid(format!(
            "invalid domain name {:?}: it has more than 64 bytes (--domainname)",
            config.domainname
        ));
    }
    if let Some(signal) = config.stop_signal.as_deref().filter(|signal| !signal.is_empty())
        && crate::signal::parse(signal).is_err()
    {
        return invalid(format!("invalid signal: {signal} (--stop-signal)"));
    }
    if config.stop_timeout.is_some_and(|timeout| timeout < -1) {
        return invalid("invalid stop timeout: use seconds, or -1 to wait for ever (--stop-timeout)");
    }
    for port in config.exposed_ports.keys() {
        exposed(port)?;
    }
    config.healthcheck.as_ref().map_or(Ok(()), healthcheck)
}

/// What sethostname(2) takes, and what can be a name on a line of /etc/hosts.
fn hostname(name: &str) -> Checked {
    let sound =
        name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'#');
    match sound {
        true => Ok(()),
        false => invalid(format!(
            "invalid hostname {name:?}: use at most 64 letters, digits, - and . (--hostname)"
        )),
    }
}

/// `80`, `80/tcp`, `8000-8010/udp`.
fn exposed(port: &str) -> Checked {
    let (range, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let sound = matches!(protocol, "tcp" | "udp" | "sctp")
        && number(first).zip(number(last)).is_some_and(|(first, last)| first <= last);
    match sound {
        true => Ok(()),
        false => invalid(format!("invalid port {port:?}: expected PORT[-PORT][/tcp|udp|sctp] (--expose)")),
    }
}

fn healthcheck(check: &Healthcheck) -> Checked {
    const MILLISECOND: i64 = 1_000_000;
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != 0 && value < MILLISECOND {
            return invalid(format!("{name} in Healthcheck cannot be less than 1ms"));
        }
    }
    if check.retries < 0 {
        return invalid("Retries in Healthcheck cannot be negative");
    }
    match check.test.first().map(String::as_str) {
        None | Some("" | "NONE") => Ok(()),
        Some("CMD") if check.test.len() > 1 => Ok(()),
        Some("CMD-SHELL") if check.test.len() == 2 => Ok(()),
        Some(kind @ ("CMD" | "CMD-SHELL")) => invalid(format!("Test in Healthcheck: {kind} needs a command")),
        Some(kind) => invalid(format!("Unknown healthcheck type '{kind}' (expected 'CMD')")),
    }
}
