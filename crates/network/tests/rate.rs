//! The limit of a container's network rate, measured.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use support::{Host, Namespace};

const RATE: u64 = 16_000_000;
const BYTES: usize = 3_000_000;

/// Bits a second that arrive.
fn measure(from: &Namespace, to: &Namespace, address: std::net::IpAddr) -> f64 {
    let listener = to.inside(move || TcpListener::bind((address, 5001)).unwrap());
    let address = SocketAddr::new(address, 5001);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let stream = from.inside(move || TcpStream::connect_timeout(&address, Duration::from_secs(20)));
            stream.unwrap().write_all(&vec![0; BYTES]).unwrap();
        });
        let mut stream = listener.accept().unwrap().0;
        let start = Instant::now();
        let mut buffer = vec![0; 1 << 16];
        let mut received = 0;
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            received += length;
        }
        assert_eq!(received, BYTES);
        received as f64 * 8.0 / start.elapsed().as_secs_f64()
    })
}

#[test]
fn a_limited_rate_is_kept_both_ways() {
    let host = Host::new();
    let limited = host.container("limited", |request| request.rate = Some(RATE));
    let free = host.container("free", |_| {});
    let sends = measure(&limited.namespace, &free.namespace, free.ipv4());
    let receives = measure(&free.namespace, &limited.namespace, limited.ipv4());
    for (way, measured) in [("sends", sends), ("receives", receives)] {
        // The first 160 KB may go at once, headers are counted too; a busy machine is slower.
        let most = RATE as f64 * 1.1;
        assert!((RATE as f64 / 8.0..most).contains(&measured), "{way} {measured} bit/s");
    }
    let unlimited =
        measure(&free.namespace, &host.host, free.attachment.endpoints[0].ipv4_gateway.unwrap().into());
    assert!(unlimited > RATE as f64 * 4.0, "{unlimited} bit/s");
}
