"""Compiles profiles with libseccomp, as runc does but for its ENOSYS stub.

A line on standard input is a profile as JSON:
    {"default": VALUE, "archs": [TOKEN…], "rules": [{"value": VALUE, "names": [NAME…], "args": [[INDEX, OP, A, B]…]}…]}
The answer is a line on standard output: the program in hex, or "error: WHY".
"""

import ctypes
import json
import os
import signal
import sys

lib = ctypes.CDLL("libseccomp.so.2")


class ArgCmp(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_init.argtypes = [ctypes.c_uint32]
lib.seccomp_release.argtypes = [ctypes.c_void_p]
lib.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
lib.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
lib.seccomp_rule_add_array.argtypes = [
    ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(ArgCmp)]
lib.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]

OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE
UNKNOWN = -1  # __NR_SCMP_ERROR
EXISTS = -17


def check(what, code, *fine):
    if code < 0 and code not in fine:
        raise RuntimeError(f"{what}: {os.strerror(-code)}")


def add_rules(filter, default, rule):
    # runc: a rule for the default action is redundant, an argument with two conditions splits the rule.
    if rule["value"] == default:
        return
    args = rule["args"]
    split = len({arg[0] for arg in args}) < len(args)
    for name in rule["names"]:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number == UNKNOWN:
            continue
        for conditions in [[arg] for arg in args] if split else [args]:
            array = (ArgCmp * len(conditions))(*(ArgCmp(*arg) for arg in conditions))
            code = lib.seccomp_rule_add_array(filter, rule["value"], number, len(conditions), array)
            check(f"rule for {name}", code)


def compile(profile):
    filter = lib.seccomp_init(profile["default"])
    try:
        for arch in profile["archs"]:
            check("arch", lib.seccomp_arch_add(filter, arch), EXISTS)
        if len(profile["rules"]) > 32:
            check("optimize", lib.seccomp_attr_set(filter, OPTIMIZE, 2))
        for rule in profile["rules"]:
            add_rules(filter, profile["default"], rule)
        out = os.memfd_create("bpf")
        try:
            check("export", lib.seccomp_export_bpf(filter, out))
            return os.pread(out, 1 << 20, 0).hex()
        finally:
            os.close(out)
    finally:
        lib.seccomp_release(filter)


for line in sys.stdin:
    # Some profiles take libseccomp years: better to die than to hang.
    signal.alarm(30)
    try:
        print(compile(json.loads(line)), flush=True)
    except RuntimeError as error:
        print(f"error: {error}", flush=True)
