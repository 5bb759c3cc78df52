import Posix

/// A certificate for 127.0.0.1 that vouches for itself.
package final class Certificate: Sendable {
    /// The certificate, in PEM.
    package let file: String
    let key: String
    private let directory: TemporaryDirectory

    package init() throws {
        directory = try TemporaryDirectory()
        file = directory.path + "/certificate.pem"
        key = directory.path + "/key.pem"
        let openssl = try Programs.find("openssl", remedy: "apt install openssl")
        try Command(
            openssl,
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", key,
                "-out", file, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            ]
        ).run().checked()
    }
}
