//! Any text as registries.conf and as policy.json: refused, or asked without a panic.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use registry::config::RegistriesConf;
use registry::policy::Policy;

fuzz_target!(|text: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.write_all(text).unwrap();
    if let Ok(conf) = RegistriesConf::load(file.path(), &[]) {
        let _ = conf.expand_short_name("app");
        let _ = conf.sources("docker.io/library/app", false);
    }
    if let Ok(policy) = Policy::load(file.path()) {
        let _ = policy.needs_signatures(&"app".parse().unwrap());
    }
});
