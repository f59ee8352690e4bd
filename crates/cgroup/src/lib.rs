//! Control groups: v1, v2 and hybrid hosts, by cgroupfs or through systemd.
