//! Pull and push with a real registry, and with registries that lie.

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{Error, ImportOptions, ManifestOptions, Platforms, Pull};
use oci::image::{Descriptor, Digest, ImageConfig, Manifest, RootFs, media_type};
use registry::policy::Policy;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use support::{
    find, images, layers, load, path_text, pull, puller, push, read, reference, skopeo, tar, told,
};
use testkit::{DockerRegistry, Ending, HttpRequest, HttpResponse, HttpServer, Testbed};

#[test]
fn what_is_pushed_is_pulled_and_skopeo_agrees() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let name = format!("{}/team/app:1", server.address());
    let here = images(&bed, "here");
    let image = load(&here, &name, &layers());
    push(&here, &image, &name);
    let inspected = skopeo(&["inspect", "--tls-verify=false", &format!("docker://{name}")]);
    assert!(inspected.contains(&image.manifest_descriptor.digest.to_string()), "{inspected}");

    let there = images(&bed, "there");
    let pulled = pull(&there, &name).unwrap();
    assert!(!pulled.up_to_date);
    let copy = find(&there, &name);
    assert_eq!(copy.id(), image.id());
    assert_eq!(read(&there, &copy, "etc/os-release").unwrap(), b"NAME=changed\n");
    assert_eq!(read(&there, &copy, "bin/large").unwrap().len(), 1 << 20);
    assert!(there.fsck(true).unwrap().is_clean());
    assert!(pull(&there, &name).unwrap().up_to_date);

    let by_digest = format!("{}/team/app@{}", server.address(), image.target.digest);
    assert_eq!(pull(&there, &by_digest).unwrap().target.digest, image.target.digest);
}

#[test]
fn what_skopeo_pushes_is_pulled_in_all_compressions() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let here = images(&bed, "here");
    let image = load(&here, "app:1", &layers());
    let layout = bed.path().join("layout");
    here.save_directory(&[(image, vec![reference("app:1")])], &layout).unwrap();
    for format in ["gzip", "zstd"] {
        let name = format!("{}/app:{format}", server.address());
        let (from, to) = (format!("oci:{}:1", path_text(&layout)), format!("docker://{name}"));
        let compress = format!("--dest-compress-format={format}");
        skopeo(&["copy", "-q", "--dest-tls-verify=false", "--dest-compress", &compress, &from, &to]);
        let there = images(&bed, format);
        pull(&there, &name).unwrap();
        assert_eq!(read(&there, &find(&there, &name), "etc/motd").unwrap(), b"hello\n");
    }
}

/// Two images, for amd64 and for arm64.
fn members(here: &image::Images) -> Vec<image::Image> {
    let mut members = Vec::new();
    for platform in ["linux/amd64", "linux/arm64"] {
        let options = ImportOptions {
            message: String::new(),
            platform: platform.parse().unwrap(),
            config: Default::default(),
            created: std::time::UNIX_EPOCH,
        };
        let archive = tar(&[("platform", platform.as_bytes())]);
        let name = reference(&format!("member:{}", platform.replace('/', "-")));
        here.import("test", archive.as_slice(), Some(&name), options).unwrap();
        members.push(find(here, &name.to_string()));
    }
    members
}

#[test]
fn an_index_is_pulled_by_platform() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let here = images(&bed, "here");
    let members = members(&here);
    let name = format!("{}/app:1", server.address());
    here.create_index(&reference(&name), &members, ManifestOptions::default()).unwrap();
    push(&here, &find(&here, &name), &name);
    let there = images(&bed, "there");
    for platform in ["linux/amd64", "linux/arm64"] {
        let platforms = Platforms::One(platform.parse().unwrap());
        Pull { platforms, ..puller(&there) }.run(&[reference(&name)]).unwrap();
    }
    assert_eq!(there.snapshots().layers().unwrap().len(), 2);
    let platforms = Platforms::One("linux/s390x".parse().unwrap());
    let error = Pull { platforms, ..puller(&there) }.run(&[reference(&name)]).unwrap_err();
    assert!(error.to_string().contains("it has linux/amd64, linux/arm64"), "{error}");
    let all = images(&bed, "all");
    Pull { platforms: Platforms::All, ..puller(&all) }.run(&[reference(&name)]).unwrap();
    assert_eq!(all.snapshots().layers().unwrap().len(), 2);
}

#[test]
fn dropped_blobs_stay_dropped_and_are_told_of() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let name = format!("{}/app:1", server.address());
    let here = images(&bed, "here");
    let image = load(&here, &name, &layers());
    push(&here, &image, &name);
    let there = images(&bed, "there");
    Pull { discard_blobs: true, ..puller(&there) }.run(&[reference(&name)]).unwrap();
    let copy = find(&there, &name);
    assert!(copy.manifest.layers.iter().all(|layer| there.store().blob(&layer.digest).unwrap().is_none()));
    assert!(pull(&there, &name).unwrap().up_to_date);
    assert!(there.fsck(true).unwrap().is_clean());
    // The registry has the layers, so that nothing has to be sent.
    push(&there, &copy, &format!("{}/app:2", server.address()));
    let directory = bed.path().join("layout");
    let error = there.save_directory(&[(copy, vec![])], &directory).unwrap_err();
    assert!(error.to_string().contains("pull the image again"), "{error}");
}

#[test]
fn fsck_repairs_by_fetching_again() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let name = format!("{}/app:1", server.address());
    let here = images(&bed, "here");
    let image = load(&here, &name, &layers());
    push(&here, &image, &name);
    let there = images(&bed, "there");
    pull(&there, &name).unwrap();
    let damaged = there.store().blob_path(&image.manifest.layers[0].digest);
    std::fs::write(&damaged, b"damage").unwrap();
    std::fs::remove_file(there.store().blob_path(image.id())).unwrap();
    assert!(!there.fsck(true).unwrap().is_clean());
    let report = puller(&there).repair(true).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(there.fsck(true).unwrap().is_clean());
}

#[test]
fn fsck_repairs_layers_from_their_blobs_or_by_fetching_again() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let name = format!("{}/app:1", server.address());
    let here = images(&bed, "here");
    push(&here, &load(&here, &name, &layers()), &name);
    for discard_blobs in [false, true] {
        let there = images(&bed, &format!("there-{discard_blobs}"));
        let mut pull = puller(&there);
        pull.discard_blobs = discard_blobs;
        pull.run(&[reference(&name)]).unwrap();
        let image = find(&there, &name);
        let snapshot = there.prepare("box", &image).unwrap();
        let chain = image.config.chain_ids();
        let directory =
            |at: usize| there.snapshots().layer(&chain[at]).unwrap().path.parent().unwrap().to_owned();
        let (lowest, top) = (directory(0), directory(2));
        std::fs::write(lowest.join("layer.json"), "{").unwrap();
        std::fs::remove_dir_all(top).unwrap();
        std::fs::create_dir(there.snapshots().root().join("layers/odd")).unwrap();
        let found = there.fsck(false).unwrap();
        assert_eq!(found.findings.len(), 3, "{found:?}");
        assert!(snapshot.mount(None).is_err());
        let report = puller(&there).repair(false).unwrap();
        assert!(report.is_clean(), "{report:?}");
        drop(snapshot.mount(None).unwrap());
        assert_eq!(read(&there, &image, "bin/large").unwrap().len(), 1 << 20);
    }
}

/// A registry with one image whose answers a test may change.
fn made_up(
    layer: Vec<u8>,
    diff_id: Digest,
    change: impl Fn(&HttpRequest, HttpResponse) -> HttpResponse + Send + Sync + 'static,
) -> HttpServer {
    let config = ImageConfig {
        platform: oci::image::Platform::host(),
        rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
        ..ImageConfig::default()
    };
    let config = serde_json::to_vec(&config).unwrap();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: None,
        config: Descriptor::new(media_type::OCI_CONFIG, Digest::sha256(&config), config.len() as u64),
        layers: vec![Descriptor::new(media_type::OCI_LAYER, Digest::sha256(&layer), layer.len() as u64)],
        subject: None,
        annotations: Default::default(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let blobs = HashMap::from([(Digest::sha256(&config), config), (Digest::sha256(&layer), layer)]);
    HttpServer::start(move |request| {
        let last = request.target.rsplit('/').next().unwrap_or_default();
        let answer = if request.target.contains("/manifests/") && !last.ends_with(".sig") {
            HttpResponse::new(200, manifest.clone()).header("content-type", media_type::OCI_MANIFEST)
        } else {
            match last.parse().ok().and_then(|digest: Digest| blobs.get(&digest)) {
                Some(blob) => HttpResponse::new(200, blob.clone()),
                None => HttpResponse::new(404, ""),
            }
        };
        change(request, answer)
    })
}

fn is_layer(request: &HttpRequest, layer: &Digest) -> bool {
    request.target.ends_with(&layer.to_string())
}

#[test]
fn a_layer_with_another_digest_leaves_nothing() {
    let bed = Testbed::new();
    let layer = tar(&[("file", b"content")]);
    let digest = Digest::sha256(&layer);
    let server = made_up(layer, digest, move |request, mut answer| {
        if is_layer(request, &digest) {
            answer.body[600] ^= 1;
        }
        answer
    });
    let images = images(&bed, "images");
    let error = pull(&images, &format!("{}/x", server.address())).unwrap_err();
    assert!(told(&error).contains(&digest.to_string()), "{}", told(&error));
    assert!(images.list(&[]).unwrap().is_empty());
    assert!(images.snapshots().layers().unwrap().is_empty());
    assert!(images.store().blob(&digest).unwrap().is_none());
}

#[test]
fn a_layer_that_unpacks_to_something_else_is_refused() {
    let bed = Testbed::new();
    let server = made_up(tar(&[("file", b"content")]), Digest::sha256(b"else"), |_, answer| answer);
    let images = images(&bed, "images");
    let error = pull(&images, &format!("{}/x", server.address())).unwrap_err();
    assert!(told(&error).contains(&Digest::sha256(b"else").to_string()), "{}", told(&error));
    assert!(images.list(&[]).unwrap().is_empty());
    assert!(images.snapshots().layers().unwrap().is_empty());
}

#[test]
fn a_pull_that_failed_goes_on_where_it_was() {
    let bed = Testbed::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 7 % 253) as u8).collect();
    let layer = tar(&[("file", &content)]);
    let digest = Digest::sha256(&layer);
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_broken = broken.clone();
    let (whole, last_byte) = (layer.clone(), layer.len() - 1);
    let server = made_up(layer, digest, move |request, answer| {
        if !is_layer(request, &digest) {
            return answer;
        }
        let from = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.split('-').next());
        let from: usize = from.map_or(0, |from| from.parse().unwrap());
        let answer = match from {
            0 => answer,
            from => HttpResponse::new(206, &whole[from..])
                .header("content-range", format!("bytes {from}-{}/{}", whole.len() - 1, whole.len())),
        };
        match is_broken.load(std::sync::atomic::Ordering::SeqCst) {
            true => answer.ending(Ending::CloseAfter(1_000_000)),
            false => answer,
        }
    });
    let images = images(&bed, "images");
    let name = format!("{}/x", server.address());
    let impatient = registry::Patience { attempts: 1, ..support::impatient() };
    assert!(Pull { patience: impatient, ..puller(&images) }.run(&[reference(&name)]).is_err());
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    pull(&images, &name).unwrap();
    let requests = server.requests();
    let last = requests.iter().rfind(|request| is_layer(request, &digest)).unwrap();
    assert_eq!(last.header("range"), Some(format!("bytes=1000000-{last_byte}").as_str()));
    assert_eq!(read(&images, &find(&images, &name), "file").unwrap(), content);
}

#[test]
fn the_policy_decides_before_layers_come() {
    let bed = Testbed::new();
    let layer = tar(&[("file", b"content")]);
    let digest = Digest::sha256(&layer);
    let server = made_up(layer, digest, |_, answer| answer);
    let images = images(&bed, "images");
    let path = bed.path().join("policy.json");
    std::fs::write(&path, r#"{"default":[{"type":"reject"}]}"#).unwrap();
    let policy = Policy::load(&path).unwrap();
    let name = reference(&format!("{}/x", server.address()));
    let error = Pull { policy, ..puller(&images) }.run(std::slice::from_ref(&name)).unwrap_err();
    assert!(matches!(error, Error::Policy(_)), "{error}");
    assert!(!server.requests().iter().any(|request| is_layer(request, &digest)));
}

#[test]
fn signed_images_are_pulled_and_others_are_not() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let here = images(&bed, "here");
    let name = format!("{}/app:1", server.address());
    let image = load(&here, &name, &layers());
    push(&here, &image, &name);
    let (pair, policy) = signer(&bed);
    let there = images(&bed, "there");
    let pull = || Pull { policy: Policy::load(&policy).unwrap(), ..puller(&there) }.run(&[reference(&name)]);
    let error = pull().unwrap_err();
    assert!(error.to_string().contains("not signed"), "{error}");

    sign(&here, &image, &name, &pair);
    pull().unwrap();
    // Without the registry, the signature that came with the image is asked.
    let policy = Policy::load(&policy).unwrap();
    let copy = find(&there, &name);
    there.check_policy(&policy, &reference(&name), &copy).unwrap();
    assert!(there.check_policy(&policy, &reference("other:1"), &copy).is_err());
    there.gc(Default::default()).unwrap();
    there.check_policy(&policy, &reference(&name), &copy).unwrap();
    std::fs::remove_dir_all(bed.path().join("there/signatures")).unwrap();
    assert!(there.check_policy(&policy, &reference(&name), &copy).is_err());
}

/// A key, and a policy that asks for its signatures.
fn signer(bed: &Testbed) -> (Ed25519KeyPair, std::path::PathBuf) {
    let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let pem = [&prefix[..], pair.public_key().as_ref()].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(pem));
    let policy = bed.path().join("policy.json");
    let key = STANDARD.encode(pem);
    let text = format!(r#"{{"default":[{{"type":"sigstoreSigned","keyData":"{key}"}}]}}"#);
    std::fs::write(&policy, text).unwrap();
    (pair, policy)
}

#[test]
fn a_signed_image_of_an_index_brings_no_other_with_it() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let here = images(&bed, "here");
    let members = members(&here);
    let name = format!("{}/app:1", server.address());
    here.create_index(&reference(&name), &members, ManifestOptions::default()).unwrap();
    push(&here, &find(&here, &name), &name);
    let (pair, policy) = signer(&bed);
    sign(&here, &members[0], &name, &pair);
    let there = images(&bed, "there");
    let pull = |platforms: Platforms| {
        let policy = Policy::load(&policy).unwrap();
        Pull { policy, platforms, ..puller(&there) }.run(&[reference(&name)])
    };
    pull(Platforms::One("linux/amd64".parse().unwrap())).unwrap();
    assert!(matches!(pull(Platforms::One("linux/arm64".parse().unwrap())), Err(Error::Policy(_))));
    assert!(matches!(pull(Platforms::All), Err(Error::Policy(_))));
}

/// Signs as cosign does: an image whose layer is the signed document, under a tag made of the digest.
fn sign(images: &image::Images, image: &image::Image, name: &str, pair: &Ed25519KeyPair) {
    let repository = reference(name).name();
    let payload = serde_json::to_vec(&serde_json::json!({ "critical": {
        "identity": { "docker-reference": repository },
        "image": { "docker-manifest-digest": image.target.digest },
        "type": "cosign container image signature",
    }, "optional": null }))
    .unwrap();
    let lease = images.store().lease().unwrap();
    let mut layer = lease.put("application/vnd.dev.cosign.simplesigning.v1+json", &payload).unwrap();
    let signature = STANDARD.encode(pair.sign(&payload));
    layer.annotations.insert("dev.cosignproject.cosign/signature".into(), signature);
    let config = ImageConfig {
        rootfs: RootFs { diff_ids: vec![layer.digest], ..RootFs::default() },
        ..ImageConfig::default()
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: None,
        config: lease.put(media_type::OCI_CONFIG, &serde_json::to_vec(&config).unwrap()).unwrap(),
        layers: vec![layer],
        subject: None,
        annotations: Default::default(),
    };
    let target = lease.put(media_type::OCI_MANIFEST, &serde_json::to_vec(&manifest).unwrap()).unwrap();
    let tag = format!("{repository}:sha256-{}.sig", image.target.digest.hex());
    images.store().update_references(|references| references.set(&tag, &target)).unwrap();
    push(images, &find(images, &tag), &tag);
}
