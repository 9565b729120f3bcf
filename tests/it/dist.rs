//! `make dist`: what it packs can be unpacked and used, and is the same each time. The binary is the one under test; that the static one
//! is built and runs is seen by `make dist` itself.

use std::path::Path;
use std::process::Command;

use crate::harness::missing;

/// Runs a command and returns what it printed.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}{errors}");
    said.into_owned()
}

/// Packs into `folder` and returns the sums of what is there.
fn packed(folder: &Path) -> String {
    let dist = folder.join("dist");
    // A debug build has hundreds of megabytes; this is packed in its place, and calls it.
    let binary = folder.join("crossfade");
    std::fs::write(&binary, format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_crossfade"))).unwrap();
    std::fs::set_permissions(&binary, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/dist");
    done(
        Command::new(script)
            .arg("pack")
            .env("CROSSFADE_BINARY", &binary)
            .env("CROSSFADE_DIST", &dist)
            .env("SOURCE_DATE_EPOCH", "1800000000"),
    );
    std::fs::read_to_string(dist.join("SHA256SUMS")).unwrap()
}

#[test]
fn what_is_packed_can_be_unpacked_and_used() {
    if !Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/dist").is_file() {
        return; // The sources as they are published have no scripts of the repository.
    }
    if cfg!(not(target_os = "linux")) || Command::new("dpkg-deb").arg("--version").output().is_err() {
        missing("dpkg-deb");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sums = packed(folder.path());
    assert_eq!(packed(folder.path()), sums, "the same sources are packed into the same files");
    let dist = folder.path().join("dist");
    done(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&dist));
    let named = |end: &str| {
        let name = sums
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(_, name)| name)
            .find(|name| name.ends_with(end));
        dist.join(name.unwrap_or_else(|| panic!("there is no {end}: {sums}")))
    };

    let root = folder.path().join("root");
    let package = named(".deb");
    done(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root));
    let control = done(Command::new("dpkg-deb").arg("-f").arg(&package));
    assert!(
        control.contains("Package: crossfade\n") && control.contains(concat!("Version: ", env!("CARGO_PKG_VERSION"))),
        "{control}"
    );
    let version = done(Command::new(root.join("usr/bin/crossfade")).arg("--version"));
    assert!(version.starts_with(concat!("crossfade ", env!("CARGO_PKG_VERSION"))), "{version}");
    for file in [
        "usr/share/man/man1/crossfade.1.gz",
        "usr/share/man/man1/crossfade-status.1.gz",
        "usr/share/bash-completion/completions/crossfade",
        "usr/share/zsh/vendor-completions/_crossfade",
        "usr/share/fish/vendor_completions.d/crossfade.fish",
        "usr/share/doc/crossfade/changelog.gz",
        "usr/share/doc/crossfade/docs/README.md",
        "usr/share/doc/crossfade/plans/plan.schema.json",
    ] {
        assert!(std::fs::metadata(root.join(file)).unwrap().len() > 0, "{file}");
    }
    let page = done(Command::new("gzip").arg("-cd").arg(root.join("usr/share/man/man1/crossfade.1.gz")));
    assert!(page.contains(".TH crossfade 1"), "{page}");
    done(Command::new("bash").arg("-n").arg(root.join("usr/share/bash-completion/completions/crossfade")));
    let copyright = std::fs::read_to_string(root.join("usr/share/doc/crossfade/copyright")).unwrap();
    assert!(copyright.contains("Apache License") && copyright.contains("Permission is hereby granted"));

    let archive = done(Command::new("tar").arg("-tzf").arg(named(".tar.gz")));
    for file in
        ["/crossfade\n", "/LICENSE-MIT\n", "/man/crossfade.1\n", "/completions/_crossfade\n", "/docs/first-plan.md\n"]
    {
        assert!(archive.contains(file), "{file} is not in the archive: {archive}");
    }
}
