//! Any bytes as what Docker's API and our disk know of a container: what is read is written and read as the same.
#![no_main]

use engine::config::{ContainerConfig, HostConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = serde_json::from_slice::<ContainerConfig>(bytes) {
        let written = serde_json::to_vec(&config).unwrap();
        assert_eq!(serde_json::from_slice::<ContainerConfig>(&written).unwrap(), config);
    }
    if let Ok(config) = serde_json::from_slice::<HostConfig>(bytes) {
        let written = serde_json::to_vec(&config).unwrap();
        assert_eq!(serde_json::from_slice::<HostConfig>(&written).unwrap(), config);
    }
});
