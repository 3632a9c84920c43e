//! Object stores by their own URLs: what the command line reads of them is what it reads of the disk, to the byte. Amazon's
//! as moto's server speaks it; Google's and Azure's as far as reading goes, from a server of this crate.

use crate::{ARABLE, datasets};
use arable_tests::{Answer, Data, HttpServer, StoreServer, arable_command};
use object_store::{ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, path::Path as Key};
use std::{fs, path::PathBuf};

/// Puts the shards of `data` below `folder`.
fn upload(store: &dyn ObjectStore, folder: &str, data: &Data) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for file in fs::read_dir(data.files()).unwrap() {
        let path = file.unwrap().path();
        let key = Key::from(format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap()));
        runtime.block_on(store.put(&key, fs::read(&path).unwrap().into())).unwrap();
    }
}

/// The batches of `url` by their hashes, as a process with `variables` in its environment streams them.
fn hashes(data: &Data, url: &str, variables: &[(&str, &str)]) -> String {
    let recipe = data.folder.path().join("stored.toml");
    let cache = data.folder.path().join("cache");
    let text = format!(
        "epochs = 2\n[dataset]\nurl = '{url}'\nlabel = 'label'\n[stream]\nretries = 2\nmemory = '16MiB'\ncache = '{}'\n",
        cache.display()
    );
    fs::write(&recipe, text).unwrap();
    let out: PathBuf = data.folder.path().join("hashes");
    let mut command = arable_command(ARABLE);
    command.arg("stream").arg(recipe).arg("--quiet").arg("--hashes").arg(&out).envs(variables.iter().copied());
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    fs::read_to_string(out).unwrap()
}

/// Streams every format by folder and by glob.
fn compare(store: &dyn ObjectStore, root: &str, variables: &[(&str, &str)]) {
    for data in datasets() {
        let folder = format!("{:?}", data.format).to_lowercase();
        upload(store, &folder, &data);
        let expected = hashes(&data, &data.url(), &[]);
        assert!(!expected.is_empty());
        for url in [format!("{root}{folder}"), format!("{root}{folder}/part-*")] {
            assert_eq!(hashes(&data, &url, variables), expected, "{url}");
        }
    }
}

#[test]
fn an_s3_server_gives_what_the_disk_gives() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        |port: u16| ["-H", "127.0.0.1", "-p"].iter().map(Into::into).chain([port.to_string().into()]).collect();
    let Some(server) = StoreServer::start("moto_server", "ARABLE_MOTO_SERVER", folder.path(), arguments, "Running on")
    else {
        return;
    };
    let store = AmazonS3Builder::new()
        .with_endpoint(&server.address)
        .with_allow_http(true)
        .with_bucket_name("harvest")
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_region("us-east-1")
        .build()
        .unwrap();
    // A bucket is made by putting nothing at its root.
    let host = server.address.strip_prefix("http://").unwrap();
    let mut made = std::net::TcpStream::connect(host).unwrap();
    std::io::Write::write_all(
        &mut made,
        format!("PUT /harvest HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes(),
    )
    .unwrap();
    let said = std::io::read_to_string(made).unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let variables = [
        ("AWS_ENDPOINT", server.address.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ];
    compare(&store, "s3://harvest/", &variables);
}

#[test]
fn google_and_azure_are_asked_in_their_own_words() {
    for data in datasets() {
        let server = HttpServer::serve(data.folder.path());
        // Each object's first answer is an error, and so is the first list.
        server.answer(|asked| if asked.before == 0 { Answer::Status(503) } else { Answer::Right });
        let root = server.url("");
        let root = root.trim_end_matches('/');
        let expected = hashes(&data, &data.url(), &[]);
        let google = [("GOOGLE_BASE_URL", root), ("GOOGLE_SKIP_SIGNATURE", "true"), ("GOOGLE_ALLOW_HTTP", "true")];
        let azure = [
            ("AZURE_STORAGE_ENDPOINT", root),
            ("AZURE_STORAGE_ACCOUNT_NAME", "harvest"),
            ("AZURE_SKIP_SIGNATURE", "true"),
            ("AZURE_ALLOW_HTTP", "true"),
        ];
        for (scheme, variables) in [("gs", &google[..]), ("az", &azure[..])] {
            for url in [format!("{scheme}://data/"), format!("{scheme}://data/part-*")] {
                assert_eq!(hashes(&data, &url, variables), expected, "{url}");
            }
            let asked = server.asked();
            let list = if scheme == "gs" { "list-type=2" } else { "comp=list" };
            assert!(asked.iter().any(|asked| asked.query.contains(list)), "{scheme}: no list was asked for");
            assert!(
                asked.iter().any(|asked| asked.range.is_some() && asked.path.starts_with("data/part-")),
                "{scheme}"
            );
        }
    }
}

#[test]
fn who_is_not_known_to_a_store_is_told_how_to_be() {
    let data = Data::new(arable_tests::Format::Csv, 1, 10, 0);
    let server = HttpServer::serve(data.folder.path());
    server.answer(|_| Answer::Status(403));
    let root = server.url("");
    let ran = arable_command(ARABLE)
        .args(["inspect", "gs://data/part-00.csv"])
        .envs([
            ("GOOGLE_BASE_URL", root.trim_end_matches('/')),
            ("GOOGLE_SKIP_SIGNATURE", "true"),
            ("GOOGLE_ALLOW_HTTP", "true"),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code() == Some(1) && said.contains("GOOGLE_SERVICE_ACCOUNT"), "{said}");
}
