//! When a certificate is renewed.

use std::time::Duration;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Time from `now` (Unix seconds) until two thirds of the certificate's lifetime are over; zero if they are, or if it
/// cannot be read.
pub(super) fn until_renewal(certificate: &CertificateDer<'_>, now: i64) -> Duration {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Duration::ZERO;
    };
    let validity = certificate.validity();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let due = from.saturating_add(to.saturating_sub(from) / 3 * 2);
    Duration::from_secs(u64::try_from(due.saturating_sub(now)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_thirds_of_the_lifetime() {
        let mut params = rcgen::CertificateParams::new(vec!["n1".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 4);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let start = params.not_before.unix_timestamp();
        let day = 24 * 3600;
        assert_eq!(until_renewal(made.der(), start), Duration::from_secs(2 * day));
        let late = start + i64::try_from(day).unwrap();
        assert_eq!(until_renewal(made.der(), late), Duration::from_secs(day));
        assert_eq!(until_renewal(made.der(), start + 9_000_000), Duration::ZERO);
        assert_eq!(
            until_renewal(&CertificateDer::from(vec![1, 2]), start),
            Duration::ZERO
        );
    }
}
