//! Registries that lie, break off, stall, or lead elsewhere.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oci::image::{Descriptor, Digest, media_type};
use registry::{Config, Error, Patience, Purpose, Repository};
use support::{block_on, download, image_manifest, impatient, open, repository_of, told};
use testkit::{Ending, HttpResponse, HttpServer};

fn blob(content: &[u8]) -> Descriptor {
    Descriptor::new(media_type::OCI_LAYER, Digest::sha256(content), content.len() as u64)
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn a_manifest_with_another_digest_is_refused() {
    let server = HttpServer::start(|_| {
        HttpResponse::new(200, image_manifest()).header("content-type", media_type::OCI_MANIFEST)
    });
    let asked = Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(b"else"), 0);
    let error = block_on(repository_of(&server).manifest(&asked)).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
}

#[test]
fn a_tag_whose_header_lies_is_refused() {
    let server = HttpServer::start(|_| {
        HttpResponse::new(200, image_manifest())
            .header("content-type", media_type::OCI_MANIFEST)
            .header("docker-content-digest", Digest::sha256(b"else").to_string())
    });
    let error = block_on(repository_of(&server).manifest_by_tag("1")).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
}

#[test]
fn an_oversized_manifest_is_not_read_to_its_end() {
    let server = HttpServer::start(|_| {
        HttpResponse::new(200, vec![b' '; 5 << 20]).header("content-type", media_type::OCI_MANIFEST)
    });
    let error = block_on(repository_of(&server).manifest_by_tag("1")).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn schema_1_and_strange_types_are_refused_by_name() {
    for (kind, body, word) in [
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", r#"{"schemaVersion":1}"#, "schema 1"),
        ("application/vnd.example+json", r#"{"schemaVersion":2}"#, "vnd.example"),
        ("text/html", "<html>", "x:1"),
    ] {
        let server = HttpServer::start(move |_| HttpResponse::new(200, body).header("content-type", kind));
        let error = block_on(repository_of(&server).manifest_by_tag("1")).unwrap_err();
        assert!(matches!(error, Error::Document { .. }), "{error}");
        let told = told(&error);
        assert!(told.contains(word), "{told}");
    }
}

#[test]
fn redirects_end() {
    let server = HttpServer::start(|request| HttpResponse::new(302, "").header("location", &*request.target));
    let error = block_on(repository_of(&server).manifest_by_tag("1")).unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error}");
    assert!(server.requests().len() < 15);
}

#[test]
fn a_redirect_elsewhere_gets_no_authorization() {
    let storage = HttpServer::start(|_| HttpResponse::new(200, content(100)));
    let elsewhere = format!("http://{}/signed?secret=1", storage.address());
    let server = HttpServer::start(move |request| match request.header("authorization") {
        None => HttpResponse::new(401, "").header("www-authenticate", "Basic realm=x"),
        Some(_) => HttpResponse::new(307, "").header("location", elsewhere.clone()),
    });
    let credentials = registry::auth::Credentials::Password { username: "u".into(), password: "p".into() };
    let repository = open(&Config::default(), &server, Purpose::PullTag, impatient(), Some(credentials));
    let bytes = block_on(download(&repository, &blob(&content(100)), 0)).unwrap();
    assert_eq!(bytes, content(100));
    let requests = storage.requests();
    assert!(requests.iter().all(|request| request.header("authorization").is_none()), "{requests:?}");
    assert_eq!(requests.len(), 1);
}

#[test]
fn a_blob_that_breaks_off_is_resumed_where_it_broke() {
    let whole = content(300_000);
    let sent = whole.clone();
    let server = HttpServer::start(move |request| match request.header("range") {
        None => HttpResponse::new(200, sent.clone()).ending(Ending::CloseAfter(100_000)),
        Some(range) => {
            let from: usize = range.trim_start_matches("bytes=").split('-').next().unwrap().parse().unwrap();
            let header = format!("bytes {from}-{}/{}", sent.len() - 1, sent.len());
            HttpResponse::new(206, &sent[from..])
                .header("content-range", header)
                .ending(Ending::CloseAfter(100_000))
        }
    });
    let bytes = block_on(download(&repository_of(&server), &blob(&whole), 0)).unwrap();
    assert_eq!(bytes, whole);
    let requests = server.requests();
    let blobs: Vec<_> = requests.iter().filter(|request| request.target.contains("/blobs/")).collect();
    assert_eq!(blobs.len(), 3, "{blobs:?}");
}

#[test]
fn a_server_without_ranges_is_read_past_what_is_there() {
    let whole = content(50_000);
    let sent = whole.clone();
    let server = HttpServer::start(move |_| HttpResponse::new(200, sent.clone()));
    let bytes = block_on(download(&repository_of(&server), &blob(&whole), 20_000)).unwrap();
    assert_eq!(bytes, whole[20_000..]);
}

#[test]
fn a_wrong_range_is_noticed() {
    let server =
        HttpServer::start(|_| HttpResponse::new(206, content(10)).header("content-range", "bytes 0-9/100"));
    let error = block_on(download(&repository_of(&server), &blob(&content(100)), 50)).unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}

#[test]
fn sizes_that_lie_are_told_before_anything_is_read() {
    let server = HttpServer::start(|_| HttpResponse::new(200, content(200)));
    let error = block_on(download(&repository_of(&server), &blob(&content(100)), 0)).unwrap_err();
    assert!(matches!(error, Error::WrongSize { expected: 100, found: 200, .. }), "{error}");
}

#[test]
fn a_large_blob_comes_in_segments_and_in_order() {
    let whole = content(40 << 20);
    let sent = whole.clone();
    let server = HttpServer::start(move |request| {
        let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
        let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
            return HttpResponse::new(200, sent.clone());
        };
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        let header = format!("bytes {from}-{to}/{}", sent.len());
        HttpResponse::new(206, &sent[from..=to]).header("content-range", header)
    });
    let bytes = block_on(download(&repository_of(&server), &blob(&whole), 1000)).unwrap();
    assert!(bytes == whole[1000..]);
    let requests = server.requests();
    assert!(requests.iter().filter(|request| request.header("range").is_some()).count() >= 5);
}

#[test]
fn a_stalled_server_is_given_up() {
    let server = HttpServer::start(|_| HttpResponse::new(200, content(100)).ending(Ending::Stall(10)));
    let patience = Patience { stall: Duration::from_millis(200), attempts: 2, ..impatient() };
    let repository = open(&Config::default(), &server, Purpose::PullTag, patience, None);
    let error = block_on(download(&repository, &blob(&content(100)), 0)).unwrap_err();
    assert!(matches!(error, Error::Stalled { .. }), "{error}");
}

#[test]
fn a_busy_server_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let server = HttpServer::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => HttpResponse::new(429, r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#).header("retry-after", "0"),
        1 => HttpResponse::new(503, ""),
        _ => HttpResponse::new(200, image_manifest()).header("content-type", media_type::OCI_MANIFEST),
    });
    block_on(repository_of(&server).manifest_by_tag("1")).unwrap();
}

#[test]
fn what_a_registry_explains_is_told() {
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
    let server = HttpServer::start(move |_| HttpResponse::new(404, body));
    let error = block_on(repository_of(&server).manifest_by_tag("1")).unwrap_err();
    assert!(error.is_not_found());
    assert!(error.to_string().contains("404 Not Found: manifest unknown"), "{error}");
}

#[test]
fn a_dead_mirror_does_not_stop_a_pull() {
    let server = HttpServer::start(|_| {
        HttpResponse::new(200, image_manifest()).header("content-type", media_type::OCI_MANIFEST)
    });
    let mirror = HttpServer::start(|_| HttpResponse::new(500, ""));
    let bed = testkit::Testbed::new();
    let path = bed.path().join("registries.conf");
    let text = format!(
        "[[registry]]\nlocation = '{}'\n[[registry.mirror]]\nlocation = '{}'\n",
        server.address(),
        mirror.address()
    );
    std::fs::write(&path, text).unwrap();
    let registries = registry::config::RegistriesConf::load(&path, &[]).unwrap();
    let config = Config { registries, ..Config::default() };
    let repository: Repository = open(&config, &server, Purpose::PullTag, impatient(), None);
    block_on(repository.manifest_by_tag("1")).unwrap();
    assert!(!mirror.requests().is_empty());
    assert!(!repository.is_alive(0) && repository.is_alive(1));
}

/// A configuration that reaches `registry.test` by `url`, through `proxy`.
fn proxied(bed: &testkit::Testbed, url: &str, proxy: &HttpServer) -> Config {
    let directory = bed.path().join("certs.d");
    std::fs::create_dir_all(directory.join("registry.test")).unwrap();
    std::fs::write(directory.join("registry.test/hosts.toml"), format!("server = '{url}'\n")).unwrap();
    let proxy = Some(format!("http://u:p@{}", proxy.address()));
    let proxies = registry::Proxies { http: proxy.clone(), https: proxy, exceptions: String::new() };
    Config { hosts_directories: vec![directory], proxies, ..Config::default() }
}

#[test]
fn proxies_are_spoken_to_as_they_expect() {
    let bed = testkit::Testbed::new();
    let proxy = HttpServer::start(|request| match request.method.as_str() {
        "CONNECT" => HttpResponse::new(403, ""),
        _ => HttpResponse::new(200, image_manifest()).header("content-type", media_type::OCI_MANIFEST),
    });
    let ask = |url: &str| {
        let reference = "registry.test/x:1".parse().unwrap();
        let config = proxied(&bed, url, &proxy);
        let repository = Repository::open(&config, &reference, Purpose::PullTag, impatient(), None).unwrap();
        block_on(repository.manifest_by_tag("1"))
    };
    ask("http://registry.test").unwrap();
    let asked = proxy.requests().pop().unwrap();
    assert_eq!(asked.target, "http://registry.test/v2/x/manifests/1");
    let error = ask("https://registry.test").unwrap_err();
    assert!(error.to_string().contains("refuses CONNECT registry.test:443"), "{error}");
    let asked = proxy.requests().pop().unwrap();
    assert_eq!(asked.header("proxy-authorization"), Some("Basic dTpw"));
}
