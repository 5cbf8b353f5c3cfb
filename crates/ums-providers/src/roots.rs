//! The certificate authorities of the operating system.

use rustls::pki_types::CertificateDer;
use ums_core::Shortage;

/// Reads them from files: blocking, some 10 ms. Files that are broken or cannot be read are left out, as long as this process can open files.
///
/// # Errors
/// A shortage: what was read is not all, and who kept it would take every server for a stranger.
pub(crate) fn of_system() -> Result<Vec<CertificateDer<'static>>, Shortage> {
    let found = rustls_native_certs::load_native_certs();
    let met = found.errors.iter().find_map(|error| Shortage::of(error));
    let missing = met.or_else(|| found.certs.is_empty().then(Shortage::now).flatten());
    missing.map_or(Ok(found.certs), Err)
}
