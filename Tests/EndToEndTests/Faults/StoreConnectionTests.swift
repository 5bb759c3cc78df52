import TestSupport
import Testing

extension EndToEnd {
    @Suite struct StoreConnectionTests {
        private static let keys = [
            "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        ]

        /// Runs a command that ends before it sends a request, since its state directory does not
        /// exist.
        private func start(_ command: String, _ endpoint: String) throws -> CommandResult {
            try CommandPlace.run(
                [
                    command, "--store", "s3://bucket?endpoint=\(endpoint)", "--state-dir",
                    "/dev/null/none",
                ] + (command == "create" ? ["a/b"] : ["--listen", "unix:/dev/null/none"]),
                Self.keys)
        }

        // S14
        @Test(arguments: ["serve", "create"])
        func unencryptedConnectionIsWarnedOf(_ command: String) throws {
            let exposed = try start(command, "http://s3.example.org")
            #expect(!exposed.succeeded)
            #expect(exposed.errors.contains("is not encrypted"), "\(exposed)")
            #expect(exposed.errors.contains("http://s3.example.org"), "\(exposed)")
            for safe in ["http://127.0.0.1:1", "https://s3.example.org"] {
                let quiet = try start(command, safe)
                #expect(!quiet.succeeded && !quiet.errors.contains("encrypted"), "\(quiet)")
            }
        }
    }
}
