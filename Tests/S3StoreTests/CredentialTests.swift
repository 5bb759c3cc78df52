import ObjectStore
import Posix
import TestSupport
import Testing

@testable import S3Store

/// Credentials.
@Suite struct CredentialTests {
    private let keys = ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "hunter2"]

    private func chain(
        _ environment: [String: String], profile: S3Location.ProfileChoice = .fallback("default")
    ) -> CredentialChain {
        CredentialChain(profile: profile, environment: environment)
    }

    private func files(_ credentials: String, config: String = "") throws -> (
        TemporaryDirectory, [String: String]
    ) {
        let directory = try TemporaryDirectory()
        try directory.file("credentials", credentials)
        try directory.file("config", config)
        return (
            directory,
            [
                "AWS_SHARED_CREDENTIALS_FILE": directory.path + "/credentials",
                "AWS_CONFIG_FILE": directory.path + "/config",
            ]
        )
    }

    @Test func comeFromTheEnvironment() throws {
        let found = try chain(keys.merging(["AWS_SESSION_TOKEN": "t"]) { $1 }).credentials()
        #expect(found.accessKey == "id")
        #expect(found.secretKey.revealed == "hunter2")
        #expect(found.sessionToken?.revealed == "t")
        #expect(try chain(keys).credentials().sessionToken == nil)
    }

    @Test func comeFromAProfile() throws {
        let (directory, environment) = try files(
            """
            # a comment
            [default]
            aws_access_key_id = one
            aws_secret_access_key = s=1+/
            [ other ]
            aws_access_key_id=two
              nested = x
            aws_secret_access_key=s2
            aws_session_token = token\r

            """)
        defer { withExtendedLifetime(directory) {} }
        #expect(try chain(environment).credentials().accessKey == "one")
        #expect(try chain(environment).credentials().secretKey.revealed == "s=1+/")
        let other = try chain(environment, profile: .fallback("other")).credentials()
        #expect(other.accessKey == "two")
        #expect(other.sessionToken?.revealed == "token")
    }

    @Test func mayStandInTheConfigurationFile() throws {
        let (directory, environment) = try files(
            "", config: "[profile x]\naws_access_key_id = c\naws_secret_access_key = s\n")
        defer { withExtendedLifetime(directory) {} }
        #expect(
            try chain(environment, profile: .required("x")).credentials().accessKey == "c")
    }

    @Test func aProfileAskedForGoesBeforeTheEnvironment() throws {
        let (directory, environment) = try files(
            "[p]\naws_access_key_id = file\naws_secret_access_key = s\n")
        defer { withExtendedLifetime(directory) {} }
        let both = environment.merging(keys) { $1 }
        #expect(try chain(both, profile: .required("p")).credentials().accessKey == "file")
        #expect(try chain(both, profile: .fallback("p")).credentials().accessKey == "id")
    }

    @Test func areReadAgainWhenTheFileChanges() throws {
        let (directory, environment) = try files(
            "[default]\naws_access_key_id = one\naws_secret_access_key = s\n")
        let chain = chain(environment)
        #expect(try chain.credentials().accessKey == "one")
        try directory.file(
            "credentials", "[default]\naws_access_key_id = three\naws_secret_access_key = s\n")
        #expect(try chain.credentials().accessKey == "three")
    }

    @Test func missingOnesSayWhatToSet() {
        for profile in [S3Location.ProfileChoice.fallback("default"), .required("default")] {
            let error = #expect(throws: StoreError.self) {
                try chain(["HOME": "/nonexistent"], profile: profile).credentials()
            }
            let text = "\(error.map { "\($0)" } ?? "")"
            #expect(text.contains("aws_secret_access_key in the profile 'default'"), "\(text)")
        }
        let error = #expect(throws: StoreError.self) {
            try S3Store(location: "s3://bucket?region=eu-1", environment: [:])
        }
        #expect("\(error.map { "\($0)" } ?? "")".contains("AWS_ACCESS_KEY_ID"))
    }

    @Test func halfOfThemIsAnError() throws {
        for name in keys.keys {
            #expect(throws: StoreError.self) {
                try chain(keys.filter { $0.key == name }).credentials()
            }
        }
        let (directory, environment) = try files("[default]\naws_access_key_id = one\n")
        defer { withExtendedLifetime(directory) {} }
        #expect(throws: StoreError.self) { try chain(environment).credentials() }
    }

    @Test func neverShowInAnyDescription() throws {
        let environment = keys.merging(["AWS_SESSION_TOKEN": "hunter2-token"]) { $1 }
        let store = try S3Store(
            location: "s3://bucket?region=eu-1&endpoint=http://127.0.0.1:1",
            environment: environment, retryPolicy: RetryPolicy(attempts: 1))
        let credentials = try chain(environment).credentials()
        var shown = "\(store) \(credentials) \(String(reflecting: credentials)) \(store.location)"
        dump(credentials, to: &shown)
        dump(store, to: &shown)
        dump(chain(environment), to: &shown)
        for result in store.perform([.head(.probe(run: "a", name: "b"))]) {
            shown += "\(result) \(String(reflecting: result))"
            if case .failure(let error) = result { shown += "\(error)" }
        }
        #expect(shown.contains("no answer"))
        #expect(!shown.contains("hunter2"), "\(shown)")
    }
}
