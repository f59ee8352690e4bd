//! Against a real registry, and against token servers.

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::image::{Descriptor, Digest, Hasher, media_type};
use registry::auth::{CredentialFiles, Credentials};
use registry::config::RegistriesConf;
use registry::{Config, Error, Purpose, Repository, Upload, Uploaded};
use support::{block_on, download, image_manifest, impatient, open, reference, told};
use testkit::{DockerRegistry, HttpResponse, HttpServer, PASSWORD, Testbed, USER};

fn repository(config: &Config, address: &str, name: &str, credentials: Option<Credentials>) -> Repository {
    let reference = format!("{address}/{name}:1").parse().unwrap();
    Repository::open(config, &reference, Purpose::Push, impatient(), credentials).unwrap()
}

fn upload(bed: &Testbed, len: u64, mount_from: Option<&str>) -> (Upload, Arc<AtomicU64>) {
    let path = bed.path().join(format!("blob{len}"));
    let file = fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.set_len(len).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    file.write_all_at(b"end", len - 3).unwrap();
    let mut hasher = Hasher::new(oci::image::Algorithm::Sha256);
    hasher.update(&fs::read(&path).unwrap());
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let upload = Upload {
        digest: hasher.finish(),
        size: len,
        file: Arc::new(file),
        mount_from: mount_from.map(str::to_owned),
        meter: Arc::new(move |more| {
            counter.fetch_add(more, Ordering::SeqCst);
        }),
    };
    (upload, sent)
}

#[test]
fn blobs_go_up_in_one_piece_in_chunks_and_by_mount() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let config = Config::default();
    let first = repository(&config, server.address(), "one", None);
    block_on(async {
        for len in [1000, 150 << 20] {
            let (blob, sent) = upload(&bed, len, None);
            assert_eq!(first.upload(&blob).await.unwrap(), Uploaded::Sent);
            assert_eq!(sent.load(Ordering::SeqCst), len);
            assert_eq!(first.upload(&blob).await.unwrap(), Uploaded::Existed);
            let (blob, sent) = upload(&bed, len, Some("one"));
            let second = repository(&config, server.address(), "two/deep", None);
            assert_eq!(second.upload(&blob).await.unwrap(), Uploaded::Mounted);
            assert_eq!(sent.load(Ordering::SeqCst), 0);
            let descriptor = Descriptor::new(media_type::OCI_LAYER, blob.digest, len);
            let bytes = download(&second, &descriptor, 5).await.unwrap();
            assert_eq!(bytes.len() as u64, len - 5);
            assert!(bytes.ends_with(b"end"));
        }
    });
}

#[test]
fn manifests_go_up_and_come_down() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let repository = repository(&Config::default(), server.address(), "x", None);
    let manifest = image_manifest();
    block_on(async {
        let path = bed.path().join("config");
        fs::write(&path, "{}").unwrap();
        let config = Upload {
            digest: Digest::sha256(b"{}"),
            size: 2,
            file: Arc::new(fs::File::open(path).unwrap()),
            mount_from: None,
            meter: Arc::new(|_| {}),
        };
        repository.upload(&config).await.unwrap();
        for tag in ["1", "2"] {
            repository.put_manifest(tag, media_type::OCI_MANIFEST, manifest.clone().into()).await.unwrap();
        }
        assert_eq!(repository.resolve("1").await.unwrap(), Some(Digest::sha256(manifest.as_bytes())));
        let found = repository.manifest_by_tag("1").await.unwrap();
        assert_eq!(found.bytes, manifest.as_bytes());
        assert_eq!(repository.manifest(&found.descriptor).await.unwrap().bytes, manifest.as_bytes());
        assert_eq!(repository.tags().await.unwrap(), ["1", "2"]);
        assert!(repository.resolve("3").await.unwrap_err().is_not_found());
        assert_eq!(repository.referrers(&found.descriptor.digest, None).await.unwrap(), []);
        assert_eq!(repository.signatures(&found.descriptor.digest).await.unwrap(), []);
    });
}

#[test]
fn basic_credentials_open_the_door_and_wrong_ones_do_not() {
    let bed = Testbed::new();
    let server = DockerRegistry::with_password(&bed);
    let login = |password: &str| {
        let credentials = Credentials::Password { username: USER.into(), password: password.into() };
        block_on(repository(&Config::default(), server.address(), "x", Some(credentials)).ping())
    };
    login(PASSWORD).unwrap();
    assert!(matches!(login("wrong"), Err(Error::Unauthorized { .. })));
    let anonymous = block_on(repository(&Config::default(), server.address(), "x", None).ping());
    assert!(anonymous.unwrap_err().to_string().contains("log in"));
    let path = bed.path().join("config.json");
    let credentials = CredentialFiles { read: vec![path.clone()], write: path };
    let kept = Credentials::Password { username: USER.into(), password: PASSWORD.into() };
    credentials.store(server.address(), &kept).unwrap();
    let config = Config { credentials, ..Config::default() };
    block_on(repository(&config, server.address(), "x", None).ping()).unwrap();
}

/// A registry that wants a token, and the server that gives it.
fn token_servers() -> (HttpServer, HttpServer) {
    let tokens = HttpServer::start(|request| {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        if request.method == "POST" && form.contains("refresh_token=refresh%20me") {
            return HttpResponse::new(200, r#"{"access_token":"refreshed"}"#);
        }
        match request.header("authorization") {
            None => HttpResponse::new(200, r#"{"token":"anonymous","expires_in":300}"#),
            Some("Basic dTpw") => HttpResponse::new(200, r#"{"token":"personal"}"#),
            Some(_) => HttpResponse::new(401, ""),
        }
    });
    let realm = format!("http://{}/token", tokens.address());
    let registry = HttpServer::start(move |request| match request.header("authorization") {
        Some("Bearer anonymous" | "Bearer personal" | "Bearer refreshed") => {
            HttpResponse::new(200, image_manifest()).header("content-type", media_type::OCI_MANIFEST)
        }
        _ => HttpResponse::new(401, "").header(
            "www-authenticate",
            format!(r#"Bearer realm="{realm}",service="test",scope="repository:x:pull""#),
        ),
    });
    (registry, tokens)
}

#[test]
fn tokens_are_fetched_once_and_used_again() {
    let (registry, tokens) = token_servers();
    let anonymous = open(&Config::default(), &registry, Purpose::PullTag, impatient(), None);
    block_on(async {
        anonymous.manifest_by_tag("1").await.unwrap();
        anonymous.manifest_by_tag("1").await.unwrap();
    });
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, "/token?service=test&scope=repository%3Ax%3Apull");
    for (credentials, accepted) in [
        (Credentials::Password { username: "u".into(), password: "p".into() }, true),
        (Credentials::Password { username: "u".into(), password: "q".into() }, false),
        (Credentials::RefreshToken("refresh me".into()), true),
    ] {
        let repository =
            open(&Config::default(), &registry, Purpose::PullTag, impatient(), Some(credentials));
        let result = block_on(repository.manifest_by_tag("1"));
        assert_eq!(result.is_ok(), accepted, "{result:?}");
    }
}

fn certificate(bed: &Testbed) -> (std::path::PathBuf, std::path::PathBuf) {
    let (certificate, key) = (bed.path().join("tls.crt"), bed.path().join("tls.key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
        ])
        .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("start openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

#[test]
fn tls_is_checked_unless_configuration_says_otherwise() {
    let bed = Testbed::new();
    let (certificate, key) = certificate(&bed);
    let server = DockerRegistry::with_tls(&bed, &certificate, &key);
    let ping = |config: &Config| block_on(repository(config, server.address(), "x", None).ping());

    let error = ping(&Config::default()).unwrap_err();
    let told = told(&error);
    assert!(told.contains("certificate"), "{told}");

    let certs = bed.path().join("certs.d");
    fs::create_dir_all(certs.join(server.address())).unwrap();
    fs::copy(&certificate, certs.join(server.address()).join("ca.crt")).unwrap();
    ping(&Config { certificate_directories: vec![certs], ..Config::default() }).unwrap();

    let conf = bed.path().join("registries.conf");
    fs::write(&conf, format!("[[registry]]\nlocation = '{}'\ninsecure = true\n", server.address())).unwrap();
    let registries = RegistriesConf::load(&conf, &[]).unwrap();
    ping(&Config { registries, ..Config::default() }).unwrap();
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let config = Config::default();
    let gone =
        Repository::open(&config, &reference("127.0.0.1:1"), Purpose::Push, impatient(), None).unwrap();
    let error = block_on(gone.ping()).unwrap_err();
    assert!(error.to_string().contains("cannot connect to 127.0.0.1:1"), "{error}");
}
