//! `--device`, `--gpus`, `--blkio-weight-device`, `--device-read-bps` and their like, `--ulimit`.

use engine::config::{DeviceMapping, DeviceRequest, Resources, ThrottleDevice, Ulimit, WeightDevice};

use crate::commands::values::{bytes, csv, integer, key_value};

/// Adds the value of `--device`: `PATH[:PATH_IN_CONTAINER][:PERMISSIONS]`, or a CDI name as `vendor.com/class=name`.
pub fn add(resources: &mut Resources, text: &str) -> Result<(), String> {
    if is_cdi_name(text) {
        let cdi = resources.device_requests.iter_mut().find(|request| request.driver == "cdi");
        match cdi {
            Some(request) => request.device_ids.push(text.to_owned()),
            None => resources.device_requests.push(DeviceRequest {
                driver: "cdi".to_owned(),
                device_ids: vec![text.to_owned()],
                ..DeviceRequest::default()
            }),
        }
        return Ok(());
    }
    let wrong = || format!("invalid device specification: {text}");
    let parts: Vec<&str> = text.split(':').collect();
    let (inside, permissions) = match parts[1..] {
        [] => (parts[0], "rwm"),
        [second] if is_permissions(second) => (parts[0], second),
        [inside] => (inside, "rwm"),
        [inside, permissions] if is_permissions(permissions) => (inside, permissions),
        [_, permissions] => return Err(format!("{}: {permissions:?} is not of r, w and m", wrong())),
        _ => return Err(wrong()),
    };
    if !parts[0].starts_with('/') || !inside.starts_with('/') {
        return Err(format!("{}: paths of devices are absolute", wrong()));
    }
    resources.devices.push(DeviceMapping {
        path_on_host: parts[0].to_owned(),
        path_in_container: inside.to_owned(),
        cgroup_permissions: permissions.to_owned(),
    });
    Ok(())
}

fn is_permissions(text: &str) -> bool {
    let unique = |letter| text.matches(letter).count() <= 1;
    !text.is_empty()
        && text.chars().all(|c| matches!(c, 'r' | 'w' | 'm'))
        && ['r', 'w', 'm'].iter().all(|c| unique(*c))
}

/// `VENDOR/CLASS=NAME` of the Container Device Interface.
fn is_cdi_name(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    !vendor.is_empty() && !class.is_empty() && !name.is_empty() && !class.contains('/')
}

/// What `--device-cgroup-rule` takes: `TYPE MAJOR:MINOR ACCESS`.
pub fn check_rule(text: &str) -> Result<(), String> {
    let wrong = || format!("invalid device cgroup format '{text}'");
    let mut words = text.split(' ');
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    let right = matches!(kind, "a" | "b" | "c") && number(major) && number(minor) && is_permissions(access);
    if right { Ok(()) } else { Err(wrong()) }
}

/// The value of `--gpus`: `all`, a number, or fields as `device=0,capabilities=compute`.
pub fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let mut request =
        DeviceRequest { capabilities: vec![vec!["gpu".to_owned()]], ..DeviceRequest::default() };
    let mut counted = false;
    for field in csv(text)? {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        match key {
            "driver" => value.clone_into(&mut request.driver),
            "count" => {
                request.count = count(value)?;
                counted = true;
            }
            "device" => request.device_ids = value.split(',').map(str::to_owned).collect(),
            "capabilities" => request.capabilities[0].extend(value.split(',').map(str::to_owned)),
            "options" => request.options = csv(value)?.iter().map(|option| key_value(option)).collect(),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    match (counted, request.device_ids.is_empty()) {
        (true, false) => return Err("cannot set both count and device of GPUs".to_owned()),
        (false, true) => request.count = 1,
        _ => {}
    }
    Ok(request)
}

fn count(text: &str) -> Result<i64, String> {
    match text {
        "all" => Ok(-1),
        number => integer(number)
            .map_err(|_| format!("invalid count ({text}): value must be either \"all\" or an integer")),
    }
}

/// The value of `--blkio-weight-device`: `PATH:WEIGHT`.
pub fn weight(text: &str) -> Result<WeightDevice, String> {
    let (path, weight) = device_and(text)?;
    let weight: u16 = weight.parse().map_err(|_| format!("invalid weight for device: {text}"))?;
    match weight {
        0 | 10..=1000 => Ok(WeightDevice { path: path.to_owned(), weight }),
        _ => Err(format!("invalid weight for device: {text}: expected 10 to 1000")),
    }
}

/// The value of `--device-read-bps` and `--device-write-bps`: `PATH:RATE[UNIT]`.
pub fn bytes_a_second(text: &str) -> Result<ThrottleDevice, String> {
    let (path, rate) = device_and(text)?;
    let rate = bytes(rate).ok().and_then(|rate| u64::try_from(rate).ok()).ok_or_else(|| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a \
             positive integer. Unit is optional and can be kb, mb, or gb"
        )
    })?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

/// The value of `--device-read-iops` and `--device-write-iops`: `PATH:RATE`.
pub fn operations_a_second(text: &str) -> Result<ThrottleDevice, String> {
    let (path, rate) = device_and(text)?;
    let rate = rate.parse().map_err(|_| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a positive \
             integer"
        )
    })?;
    Ok(ThrottleDevice { path: path.to_owned(), rate })
}

fn device_and(text: &str) -> Result<(&str, &str), String> {
    let (path, value) = text.split_once(':').ok_or_else(|| format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok((path, value))
}

/// The value of `--ulimit`: `NAME=SOFT[:HARD]`.
pub fn ulimit(text: &str) -> Result<Ulimit, String> {
    let wrong = || format!("invalid ulimit argument: {text}");
    let (name, limits) = text.split_once('=').ok_or_else(wrong)?;
    if !engine::check::ULIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    if hard.contains(':') {
        return Err(format!("too many limit values - {limits}, can only have up to two, `soft[:hard]`"));
    }
    let limit = |text: &str| match text {
        "unlimited" => Ok(-1),
        number => number.parse::<i64>().ok().filter(|number| *number >= -1).ok_or_else(wrong),
    };
    let (soft, hard) = (limit(soft)?, limit(hard)?);
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(format!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"));
    }
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_with_and_without_paths_and_permissions() {
        let added = |text: &str| {
            let mut resources = Resources::default();
            add(&mut resources, text)?;
            let device = resources.devices.pop().ok_or("no device")?;
            Ok::<_, String>(
                [device.path_on_host, device.path_in_container, device.cgroup_permissions].join(" "),
            )
        };
        assert_eq!(added("/dev/fuse").unwrap(), "/dev/fuse /dev/fuse rwm");
        assert_eq!(added("/dev/fuse:r").unwrap(), "/dev/fuse /dev/fuse r");
        assert_eq!(added("/dev/a:/dev/b").unwrap(), "/dev/a /dev/b rwm");
        assert_eq!(added("/dev/a:/dev/b:rw").unwrap(), "/dev/a /dev/b rw");
        for wrong in ["", "fuse", "/dev/a:b", "/dev/a:/dev/b:rx", "/dev/a:/dev/b:rr", "/dev/a:/dev/b:r:w"] {
            assert!(added(wrong).is_err(), "{wrong}");
        }
        let mut resources = Resources::default();
        add(&mut resources, "nvidia.com/gpu=0")
            .and_then(|()| add(&mut resources, "nvidia.com/gpu=1"))
            .unwrap();
        assert_eq!(resources.device_requests[0].device_ids, ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]);
    }

    #[test]
    fn gpus_by_number_name_and_field() {
        assert_eq!(gpus("all").unwrap().count, -1);
        assert_eq!(gpus("2").unwrap().count, 2);
        let request = gpus("\"device=0,1\",capabilities=compute,driver=nvidia").unwrap();
        assert_eq!(request.device_ids, ["0", "1"]);
        assert_eq!(request.capabilities, [["gpu", "compute"]]);
        assert!(gpus("some").is_err() && gpus("count=1,device=0").is_err() && gpus("colour=red").is_err());
    }

    #[test]
    fn rates_and_weights() {
        assert_eq!(bytes_a_second("/dev/sda:1mb").unwrap().rate, 1 << 20);
        assert_eq!(operations_a_second("/dev/sda:1000").unwrap().rate, 1000);
        assert_eq!(weight("/dev/sda:200").unwrap().weight, 200);
        assert!(weight("/dev/sda:5").is_err() && weight("sda:200").is_err() && weight("/dev/sda").is_err());
        assert!(bytes_a_second("/dev/sda:x").is_err() && operations_a_second("/dev/sda:1mb").is_err());
    }

    #[test]
    fn limits_of_processes() {
        let limit = |text: &str| ulimit(text).map(|limit| (limit.soft, limit.hard));
        assert_eq!(limit("nofile=1024:2048"), Ok((1024, 2048)));
        assert_eq!(limit("core=-1"), Ok((-1, -1)));
        assert_eq!(limit("nofile=unlimited"), Ok((-1, -1)));
        for wrong in
            ["nofile", "files=1", "nofile=x", "nofile=2:1", "nofile=1:2:3", "nofile=-2", "nofile=-1:5"]
        {
            assert!(ulimit(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_of_devices() {
        assert!(check_rule("c 10:200 rwm").is_ok() && check_rule("a *:* rwm").is_ok());
        for wrong in ["", "c 10:200", "x 1:1 r", "c 1 r", "c 1:1 x", "c 1:1 r w"] {
            assert!(check_rule(wrong).is_err(), "{wrong}");
        }
    }
}
