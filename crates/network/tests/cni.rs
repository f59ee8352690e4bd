//! Networks whose work plugins of the Container Network Interface do.

mod support;

use network::CreateRequest;
use support::{Host, ip, on};

/// The standard plugins, by Debian's package.
#[test]
fn plugins_of_cni_connect_and_disconnect() {
    let host = Host::new();
    let dir = host.dir.path();
    let config = dir.join("net.conflist");
    let text = serde_json::json!({ "cniVersion": "1.0.0", "name": "plugged", "plugins": [{
        "type": "bridge", "bridge": "cni-test", "isGateway": true,
        "ipam": { "type": "host-local", "dataDir": dir.join("cni"), "ranges": [[{ "subnet": "10.98.0.0/24" }]],
            "routes": [{ "dst": "0.0.0.0/0" }] } }] });
    std::fs::write(&config, text.to_string()).unwrap();
    let plugged = |request: &mut CreateRequest| {
        request.driver = "cni".into();
        request.options.insert("config".into(), config.display().to_string());
    };
    let mut request = CreateRequest { name: "plugged".into(), ..Default::default() };
    plugged(&mut request);
    let networks = host.networks();
    host.host.inside(|| networks.create(&request)).unwrap();
    let a = host.container("a", |request| request.endpoints = vec![on("plugged")]);
    assert_eq!(a.ipv4(), ip("10.98.0.2"));
    host.host.serve_tcp(80);
    assert_eq!(a.namespace.ask_tcp(ip("10.98.0.1"), 80).as_deref(), Some("10.98.0.2"));
    host.host.inside(|| networks.disconnect(&a.id, "plugged", Some(a.namespace.fd()))).unwrap();
    assert!(!a.namespace.run("ip -o link").contains("eth0"));
    assert!(!dir.join("cni/plugged/10.98.0.2").exists());
    std::fs::write(&config, text.to_string().replace("\"bridge\",", "\"no-such-plugin\",")).unwrap();
    let missing = host.try_container("b", |request| request.endpoints = vec![on("plugged")]).err().unwrap();
    assert!(missing.to_string().contains("install containernetworking-plugins"), "{missing}");
}
