import CCurl
import Glibc
import ObjectStore
import Posix
import TestSupport
import Testing

@testable import S3Store

/// Certificates are verified against the system's authorities or the given ones.
@Suite struct TLSTests {
    private let directory: TemporaryDirectory
    private let port: UInt16
    private let server: Service

    private static let script = """
        import http.server, ssl
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            def do_GET(self):
                self.send_response(200)
                self.send_header('Content-Length', '2')
                self.end_headers()
                self.wfile.write(b'ok')
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain('cert.pem', 'key.pem')
        import sys
        server = http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        open('ready', 'w').close()
        server.serve_forever()
        """

    init() throws {
        directory = try TemporaryDirectory()
        try directory.file("server.py", Self.script)
        let path = directory.path
        try Command(
            Programs.find("openssl", remedy: "apt install openssl"),
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout",
                "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=DNS:localhost",
            ], directory: path
        ).run().checked()
        let python = try Programs.find("python3", remedy: "apt install python3")
        let started = try Service.start { ports in
            try Service(
                python, ["server.py", "\(ports[0])"], environment: [:], directory: path,
                log: path + "/server.log")
        } isReady: { _ in
            access(path + "/ready", F_OK) == 0
        }
        port = started.ports[0]
        server = started.service
    }

    private func read(host: String, items: String) throws -> String {
        let store = try S3Store(
            location: "s3://bucket?endpoint=https://\(host):\(port)" + items,
            environment: ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"])
        let request = StoreRequest.get(.probe(run: "r", name: "n"), into: .memory(limit: 9))
        let result = try #require(store.perform([request]).first)
        do {
            guard case .found(let object) = try result.get() else { return "not found" }
            return String(decoding: object.bytes, as: UTF8.self)
        } catch {
            return "\(error)"
        }
    }

    @Test func onlyTrustedCertificatesOfTheRightNameAreTaken() throws {
        let trusted = "&ca-file=\(directory.path)/cert.pem"
        #expect(try read(host: "localhost", items: trusted) == "ok")
        let unknown = try read(host: "localhost", items: "")
        #expect(unknown.contains("no answer") && unknown.contains("certificate"), "\(unknown)")
        let otherName = try read(host: "127.0.0.1", items: trusted)
        #expect(otherName.contains("no answer"), "\(otherName)")
        let noFile = try read(host: "localhost", items: "&ca-file=/nonexistent")
        #expect(noFile.contains("no answer"), "\(noFile)")
    }

    // S13
    /// The server's certificate exists only in the directory of authorities, which libcurl would
    /// search in addition to the given file.
    @Test func givenAuthoritiesReplaceTheSystemsDirectory() throws {
        let made = system(
            "cd \(directory.path) && mkdir authorities && cp cert.pem authorities/"
                + " && openssl rehash authorities >log 2>&1"
                + " && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout /dev/null"
                + " -out other.pem -subj /CN=other >log 2>&1")
        try #require(made == 0, "no certificates could be made: apt install openssl")

        func connect(items: String) throws -> CURLcode {
            let location = try S3Location(
                "s3://bucket?region=us-east-1&endpoint=https://localhost:\(port)" + items,
                environment: [:])
            let easy = CurlEasy()
            easy.reset()
            // Replaces the directory that this libcurl was built with, which a test must not write
            // to.
            easy.set(CURLOPT_CAPATH, directory.path + "/authorities")
            easy.apply(TransferOptions(location))
            easy.set(CURLOPT_URL, "https://localhost:\(port)/")
            easy.set(CURLOPT_NOBODY, 1)
            easy.set(CURLOPT_CUSTOMREQUEST, "GET")
            return curl_easy_perform(easy.raw)
        }
        #expect(try connect(items: "") == CURLE_OK)
        #expect(
            try connect(items: "&ca-file=\(directory.path)/other.pem")
                == CURLE_PEER_FAILED_VERIFICATION)
        #expect(try connect(items: "&ca-file=\(directory.path)/cert.pem") == CURLE_OK)
    }
}
