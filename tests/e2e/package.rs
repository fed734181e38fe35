//! `make package`: what is handed to AWS is one program a function, runs there, and holds no secret. (Of the binaries that
//! the tests run on; a build for release takes longer than all tests.)

use std::path::Path;

use age::secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use stack::deployment::Deployment;
use stack::place;
use tokio::process::Command;

/// Packs the binaries of a folder; what it says where it refuses.
async fn package(from: &Path, to: &Path) -> Result<(), String> {
    let script = place::repository().join("tests/check/package.py");
    let mut command = Command::new(place::venv_program("python").unwrap());
    command.arg(script).arg(from).arg(to).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().await.unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

#[tokio::test]
async fn each_function_is_a_zip_with_its_sum_that_runs_on_al2023_and_holds_no_secret() {
    let deployment = Deployment::read().await.unwrap();
    let built = place::built_binary("webhook").unwrap();
    let built = built.parent().unwrap();
    let packed = tempfile::tempdir().unwrap();

    package(built, packed.path()).await.unwrap();

    let sums = String::from_utf8(read(packed.path(), "SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), deployment.functions.len(), "{sums}");
    for name in deployment.functions.keys() {
        let zip = read(packed.path(), &format!("{name}.zip"));
        assert!(
            sums.contains(&format!("{}  {name}.zip", hex::encode(Sha256::digest(&zip)))),
            "{name}: {sums}"
        );
        let unpacked = tempfile::tempdir().unwrap();
        let unzip = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
        let done = Command::new(place::venv_program("python").unwrap())
            .args(["-c", unzip])
            .arg(packed.path().join(format!("{name}.zip")))
            .arg(unpacked.path())
            .status();
        assert!(done.await.unwrap().success());
        let names: Vec<_> =
            std::fs::read_dir(unpacked.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names, ["bootstrap"], "{name}");
        assert_eq!(read(unpacked.path(), "bootstrap"), read(built, name), "{name}");
    }
}

#[tokio::test]
async fn a_binary_with_a_secret_or_for_a_newer_system_is_not_packed() {
    let deployment = Deployment::read().await.unwrap();
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let identity = age::x25519::Identity::generate().to_string().expose_secret().to_owned();
    let planted = [
        (format!("key = {identity}\0"), "holds an age identity"),
        (["\0sk_", "live_51HouseKeeping00000\0"].concat(), "holds a Stripe key"),
        (["\0postgres://", "shop:hunter2@db.example/shop\0"].concat(), "holds a database's password"),
        ("\0GLIBC_2.39\0".to_owned(), "needs glibc 2.39"),
    ];
    for (text, expected) in planted {
        for name in deployment.functions.keys() {
            std::fs::write(from.path().join(name), b"\x7fELF\0GLIBC_2.34\0").unwrap();
        }
        package(from.path(), to.path()).await.unwrap();
        let sums = read(to.path(), "SHA256SUMS");
        package(from.path(), to.path()).await.unwrap();
        assert_eq!(sums, read(to.path(), "SHA256SUMS"), "the same binaries, other bytes");
        let bad = [b"\x7fELF\0GLIBC_2.2.5\0", text.as_bytes()].concat();
        std::fs::write(from.path().join("backup"), bad).unwrap();
        let said = package(from.path(), to.path()).await.unwrap_err();
        assert!(said.contains(&format!("backup: {expected}")), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("AGE-SECRET"), "{said}");
        assert!(!to.path().join("backup.zip").exists());
    }
    let text = "#!/bin/sh\n";
    std::fs::write(from.path().join("backup"), text).unwrap();
    assert!(package(from.path(), to.path()).await.unwrap_err().contains("no program for Linux"));
}
