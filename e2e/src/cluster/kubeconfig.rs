//! The kubeconfig of one user of the cluster, with everything embedded.

use super::pki::Pair;
use super::plan;

/// The text of a kubeconfig with which `user` reaches the API server and knows that it is the right one.
pub fn text(user: &str, credentials: &Pair, authority: &str) -> String {
    let quote = |pem: &str| serde_json::Value::String(base64(pem.as_bytes())).to_string();
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: godwit-e2e\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\n\
         users:\n\
         - name: {user}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n\
         contexts:\n\
         - name: godwit-e2e\n  context: {{cluster: godwit-e2e, user: \"{user}\"}}\n\
         current-context: godwit-e2e\n",
        server = plan::api_address(),
        authority = quote(authority),
        certificate = quote(&credentials.certificate),
        key = quote(&credentials.key),
    )
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, &byte| group << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(LETTERS[(group >> (18 - 6 * place)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn every_length_of_the_last_group_is_padded() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foo"), "Zm9v");
        assert_eq!(base64(b"foob\xff"), "Zm9vYv8=");
    }
}
