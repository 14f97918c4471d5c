//! The files that the TLS directives name: reading them within bounds, and noticing that they have
//! changed.

use crate::config::TlsSettings;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Largest file of certificates or keys.
const MAX_FILE: u64 = 4 << 20;
/// Most files of `tls-ca-cert-dir` that are read.
const MAX_DIRECTORY: usize = 4096;

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = |error: io::Error| format!("{}: {error}", path.display());
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(shown)?.is_file() {
        return Err(format!("{}: not a regular file", path.display()));
    }
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
        .map_err(shown)?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("{}: larger than {MAX_FILE} bytes", path.display()));
    }
    Ok(text)
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let list = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    if list.is_empty() {
        return Err(format!("{}: no certificate in it", path.display()));
    }
    Ok(list)
}

/// The private key of a PEM file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    let encrypted = text.windows(9).any(|window| window == b"ENCRYPTED");
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match encrypted {
        true => format!(
            "{}: the key is encrypted, which is not supported: decrypt it with 'openssl pkey'",
            path.display()
        ),
        false => format!("{}: no private key that can be used: {error}", path.display()),
    })
}

/// The certificates of all files in a directory; files without any are passed over.
pub(super) fn directory(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut list = Vec::new();
    for file in files_of(path).map_err(|error| format!("{}: {error}", path.display()))? {
        if let Ok(found) = certificates(&file) {
            list.extend(found);
        }
    }
    if list.is_empty() {
        return Err(format!("{}: no file with a certificate in it", path.display()));
    }
    Ok(list)
}

fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path)?.take(MAX_DIRECTORY);
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// What tells one state of the files from another without reading them: inode, size and time of
/// each. A path that names nothing is part of the state.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<(PathBuf, Option<[i64; 4]>)>);

impl Fingerprint {
    pub(super) fn take(settings: &TlsSettings) -> Fingerprint {
        let named = [&settings.cert_file, &settings.key_file, &settings.ca_cert_file];
        let mut paths: Vec<PathBuf> = named.into_iter().flatten().cloned().collect();
        if let Some(dir) = &settings.ca_cert_dir {
            paths.extend(files_of(dir).unwrap_or_default());
        }
        Fingerprint(
            paths
                .into_iter()
                .map(|path| {
                    let state = state(&path);
                    (path, state)
                })
                .collect(),
        )
    }
}

fn state(path: &Path) -> Option<[i64; 4]> {
    let meta = fs::metadata(path).ok()?;
    let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Some([whole(meta.ino()), whole(meta.size()), meta.mtime(), meta.mtime_nsec()])
}
