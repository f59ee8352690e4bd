//! systemd's manager object, for the system or for the user.

use std::path::Path;
use std::time::Instant;

use super::bus::{Bus, BusError, TIMEOUT, Target};
use super::value::Value;
use crate::Error;

const MANAGER: Target = Target {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};
const PROPERTIES: Target = Target { interface: "org.freedesktop.DBus.Properties", ..MANAGER };
const JOB_REMOVED: &str = "type='signal',sender='org.freedesktop.systemd1',\
    path='/org/freedesktop/systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// A property of a unit: name and value.
pub(crate) type Property = (String, Value);

/// A conversation with systemd.
pub(crate) struct Manager {
    bus: Bus,
}

impl Manager {
    /// Connects to the system's manager, or to the user's if `user`.
    pub fn connect(user: bool) -> Result<Self, Error> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let addresses = if user {
            let runtime_bus = || Some(format!("unix:path={}/bus", escape(&variable("XDG_RUNTIME_DIR")?)));
            variable("DBUS_SESSION_BUS_ADDRESS").or_else(runtime_bus).unwrap_or_default()
        } else {
            let system = variable("DBUS_SYSTEM_BUS_ADDRESS");
            system.unwrap_or_else(|| "unix:path=/run/dbus/system_bus_socket".to_owned())
        };
        let bus = Bus::connect(&addresses).map_err(|cause| {
            // sd_booted(3): the directory tells whether systemd is the init system.
            if user || Path::new("/run/systemd/system").is_dir() {
                Error::Systemd { operation: "reach systemd".to_owned(), cause }
            } else {
                Error::NoSystemd
            }
        })?;
        Ok(Self { bus })
    }

    /// Starts a transient unit and waits until its job is done. What a failed predecessor of the same name
    /// has left is cleared away first.
    pub fn start(&mut self, unit: &str, properties: &[Property]) -> Result<(), Error> {
        let run = |manager: &mut Self| {
            manager.watch_jobs()?;
            let arguments =
                [Value::text(unit), Value::text("replace"), array(properties), no_auxiliary_units()];
            let job = match manager.bus.call(MANAGER, "StartTransientUnit", &arguments) {
                Err(e) if e.is(UNIT_EXISTS) => {
                    manager.reset_failed(unit)?;
                    manager.bus.call(MANAGER, "StartTransientUnit", &arguments)?
                }
                job => job?,
            };
            manager.await_job(&job)
        };
        match run(self) {
            Ok(result) if result == "done" => Ok(()),
            Ok(result) => {
                let _ = self.reset_failed(unit);
                Err(Error::Job { operation: "start", unit: unit.to_owned(), result })
            }
            Err(cause) => Err(failed("start", unit, cause)),
        }
    }

    /// Stops a unit and waits until it is gone. One that systemd does not know is gone.
    pub fn stop(&mut self, unit: &str) -> Result<(), Error> {
        let mut run = || {
            self.watch_jobs()?;
            let job = match self.bus.call(MANAGER, "StopUnit", &[Value::text(unit), Value::text("replace")]) {
                Err(e) if e.is(NO_SUCH_UNIT) => return Ok(()),
                job => job?,
            };
            self.await_job(&job)?;
            // A scope whose processes were killed counts as failed, and stays until it is reset.
            match self.reset_failed(unit) {
                Err(e) if !e.is(NO_SUCH_UNIT) => Err(e),
                _ => Ok(()),
            }
        };
        run().map_err(|cause| failed("stop", unit, cause))
    }

    /// Changes properties of a running unit.
    pub fn set(&mut self, unit: &str, properties: &[Property]) -> Result<(), Error> {
        let runtime_only = Value::Bool(true);
        let arguments = [Value::text(unit), runtime_only, array(properties)];
        let done = self.bus.call(MANAGER, "SetUnitProperties", &arguments);
        done.map(drop).map_err(|cause| failed("set properties of", unit, cause))
    }

    /// Moves a process into a unit's group, or into the group `below` it.
    pub fn attach(&mut self, unit: &str, below: &str, pid: u32) -> Result<(), Error> {
        let pids = Value::Array("u".to_owned(), vec![Value::U32(pid)]);
        let arguments = [Value::text(unit), Value::Text(format!("/{below}")), pids];
        let done = self.bus.call(MANAGER, "AttachProcessesToUnit", &arguments);
        done.map(drop).map_err(|cause| failed("move a process into", unit, cause))
    }

    /// The group of the manager itself, below which it puts its units.
    pub fn own_group(&mut self) -> Result<String, Error> {
        self.property("ControlGroup")
    }

    /// systemd's version: 252 for `v252.38-1`. 0 if it is not to be read.
    pub fn version(&mut self) -> Result<u32, Error> {
        let version = self.property("Version")?;
        let digits = version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).next();
        Ok(digits.and_then(|digits| digits.parse().ok()).unwrap_or(0))
    }

    fn property(&mut self, name: &str) -> Result<String, Error> {
        let arguments = [Value::text(MANAGER.interface), Value::text(name)];
        let answer = self.bus.call(PROPERTIES, "Get", &arguments);
        let answer = answer.map_err(|cause| failed("ask for property", name, cause))?;
        Ok(answer.first().and_then(Value::as_text).unwrap_or_default().to_owned())
    }

    fn reset_failed(&mut self, unit: &str) -> Result<(), BusError> {
        self.bus.call(MANAGER, "ResetFailedUnit", &[Value::text(unit)]).map(drop)
    }

    /// systemd sends signals only while somebody is subscribed.
    fn watch_jobs(&mut self) -> Result<(), BusError> {
        self.bus.subscribe(JOB_REMOVED)?;
        self.bus.call(MANAGER, "Subscribe", &[]).map(drop)
    }

    /// JobRemoved(id, job, unit, result): waits for the job that a method has answered with.
    fn await_job(&mut self, answer: &[Value]) -> Result<String, BusError> {
        let job =
            answer.first().and_then(Value::as_text).ok_or(BusError::Malformed("an answer without a job"))?;
        self.bus.signal(Instant::now() + TIMEOUT, |message| match &message.body[..] {
            [_, Value::Path(path), _, Value::Text(result)]
                if message.member == "JobRemoved" && path == job =>
            {
                Some(result.clone())
            }
            _ => None,
        })
    }
}

fn failed(operation: &str, object: &str, cause: BusError) -> Error {
    Error::Systemd { operation: format!("{operation} {object}"), cause }
}

fn array(properties: &[Property]) -> Value {
    let property = |(name, value): &Property| Value::Struct(vec![Value::text(name), value.clone().variant()]);
    Value::Array("(sv)".to_owned(), properties.iter().map(property).collect())
}

fn no_auxiliary_units() -> Value {
    Value::Array("(sa(sv))".to_owned(), Vec::new())
}

/// The inverse of an address's escapes, for the characters that paths have.
fn escape(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte);
    path.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
}
