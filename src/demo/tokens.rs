//! The demo's tokens: one for each tenant of the shop, signed with a secret of this demo alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

/// The tenants of `shop.sql`.
pub const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// How long a token is good for.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The file in the demo's directory, called as in `shop.toml`.
const FILE: &str = "shop-jwt.key";

/// Random bytes of a secret; the file has each as two hexadecimal digits (RFC 7518 §3.2 wants 32 bytes).
const SECRET_BYTES: usize = 32;

/// The secret in a demo's directory, made if it is not there; with its path.
pub fn secret(data_dir: &Path) -> io::Result<(PathBuf, String)> {
    let path = data_dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(secret) => Ok((path, secret)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; SECRET_BYTES];
            File::open("/dev/urandom")?.read_exact(&mut bytes)?;
            let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(secret.as_bytes())?;
            Ok((path, secret))
        }
        Err(error) => Err(error),
    }
}

/// A token for a tenant, good for a day from `now`, the time since 1970.
pub fn token(secret: &str, tenant: &str, now: Duration) -> String {
    let expires = (now + LIFETIME).as_secs();
    let claims = format!(r#"{{"sub":"demo","tenant":"{tenant}","aud":"shop","exp":{expires}}}"#);
    sign(secret, &claims)
}

/// A token with these claims (RFC 7515 §3.1, HS256).
pub fn sign(secret: &str, claims: &str) -> String {
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let header = br#"{"alg":"HS256","typ":"JWT"}"#;
    let message = format!("{}.{}", encode(header), encode(claims.as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.trim_end().as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", encode(signature.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner() {
        let name = format!("pinion-secret-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let (path, made) = secret(&directory).unwrap();
        let again = secret(&directory).unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(again, (path, made.clone()));
        assert_eq!((made.len(), mode & 0o777), (64, 0o600));
    }

    #[test]
    fn a_token_is_what_the_standard_says() {
        // RFC 7515 §A.1 has another header; this one was made with openssl.
        let token = sign("secret\n", r#"{"a":1}"#);
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts[0], "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9");
        assert_eq!(parts[1], "eyJhIjoxfQ");
        assert_eq!(parts[2], "57TF7smP9XDhIexBqPC-F1toZReYZLWb_YRU5tv0sxM");
    }
}
