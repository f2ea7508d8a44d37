//! A server that speaks TLS alone.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::{Server, directory::Directory};

/// A server with a certificate for 127.0.0.1 and localhost, and no port without TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    /// To kill, stop and ask it; its own `url` is of no use.
    pub(crate) server: Server,
    ca: String,
    another: String,
}

impl Tls {
    pub(crate) async fn start() -> Self {
        let (ca, issuer) = authority();
        let (another, _) = authority();
        let key = KeyPair::generate().expect("a key");
        let mut leaf = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("two names");
        leaf.distinguished_name.push(DnType::CommonName, "larder's Redis");
        leaf.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
        let directory = Directory::new();
        directory.write("certificate.pem", &leaf.pem());
        directory.write("key.pem", &key.serialize_pem());
        directory.write("ca.pem", &ca);
        let config = [
            "port 0",
            "tls-port {port}",
            "tls-cert-file certificate.pem",
            "tls-key-file key.pem",
            "tls-ca-cert-file ca.pem",
            "tls-auth-clients no",
            "save \"\"",
            "appendonly no",
        ];
        Self { server: Server::launch(directory, &[], &config).await, ca, another }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port())
    }

    /// The certificate of the authority that signed the server's.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// The certificate of an authority of the same name, with another key.
    pub(crate) fn another_ca_pem(&self) -> &str {
        &self.another
    }
}

fn authority() -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "larder's authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let pem = params.self_signed(&key).expect("a certificate").pem();
    (pem, Issuer::new(params, key))
}
