"""A stand-in for systemd's manager on a private bus: records every call as a line of JSON."""

import json
import sys

import dbus
import dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

NAME = "org.freedesktop.systemd1"
INTERFACE = NAME + ".Manager"


def plain(value):
    if isinstance(value, (dbus.Array, dbus.Struct)):
        return [plain(element) for element in value]
    if isinstance(value, dbus.Boolean):
        return bool(value)
    return int(value) if isinstance(value, int) else str(value)


class Failure(dbus.DBusException):
    def __init__(self, name, text):
        super().__init__(text)
        self._dbus_error_name = NAME + "." + name


class Manager(dbus.service.Object):
    def __init__(self, bus, log):
        super().__init__(bus, "/org/freedesktop/systemd1")
        self.log = log
        self.jobs = 0
        self.leftovers = {"berth-leftover.scope"}

    def record(self, method, *arguments):
        self.log.write(json.dumps([method, *map(plain, arguments)]) + "\n")
        self.log.flush()

    def job(self, unit, result):
        self.jobs += 1
        path = dbus.ObjectPath(f"/org/freedesktop/systemd1/job/{self.jobs}")
        # A job of somebody else comes first.
        GLib.idle_add(self.JobRemoved, 0, dbus.ObjectPath("/job/other"), "other.scope", "failed")
        GLib.timeout_add(20, lambda: self.JobRemoved(self.jobs, path, unit, result))
        return path

    @dbus.service.method(INTERFACE, in_signature="ssa(sv)a(sa(sv))", out_signature="o")
    def StartTransientUnit(self, unit, mode, properties, auxiliary):
        self.record("StartTransientUnit", unit, mode, properties, auxiliary)
        if unit in self.leftovers:
            raise Failure("UnitExists", f"Unit {unit} was already loaded")
        return self.job(unit, "failed" if "broken" in unit else "done")

    @dbus.service.method(INTERFACE, in_signature="ss", out_signature="o")
    def StopUnit(self, unit, mode):
        self.record("StopUnit", unit, mode)
        if "unknown" in unit:
            raise Failure("NoSuchUnit", f"Unit {unit} not loaded.")
        return self.job(unit, "done")

    @dbus.service.method(INTERFACE, in_signature="s")
    def ResetFailedUnit(self, unit):
        self.record("ResetFailedUnit", unit)
        self.leftovers.discard(unit)

    @dbus.service.method(INTERFACE, in_signature="sba(sv)")
    def SetUnitProperties(self, unit, runtime, properties):
        self.record("SetUnitProperties", unit, runtime, properties)

    @dbus.service.method(INTERFACE)
    def Subscribe(self):
        self.record("Subscribe")

    @dbus.service.method("org.freedesktop.DBus.Properties", in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        return {"Version": "252.38-1~deb12u1", "ControlGroup": "/user.slice/user@1000.service"}[name]

    @dbus.service.signal(INTERFACE, signature="uoss")
    def JobRemoved(self, number, job, unit, result):
        pass


DBusGMainLoop(set_as_default=True)
connection = dbus.bus.BusConnection(sys.argv[1])
manager = Manager(connection, open(sys.argv[2], "a"))
name = dbus.service.BusName(NAME, connection)
print("ready", flush=True)
GLib.MainLoop().run()
